// SPDX-License-Identifier: Apache-2.0
// What the files around the weights can lie about: the index, and accelerate's offload folder.
#include <fmt/format.h>

#include "attacks/attack.h"
#include "checkpoint/safetensors_file.h"

namespace bigmodel::test {
namespace {

using namespace std::string_literals;

std::string shard(std::string_view name) { return safetensors_file(fmt::format(R"({{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}})", name), "x"); }

Attack of_files(const char* name, std::vector<Attack::File> files, const char* what, bool accept, const char* words) {
  return {.path = "folders/"s + name, .files = std::move(files), .what = what, .accepted = accept, .words = words};
}

/// A folder with one good shard and this index.
Attack index(const char* name, const std::string& text, const char* what, const char* words) {
  return of_files(name, {{"s.safetensors", shard("a")}, {"model.safetensors.index.json", text}}, what, false, words);
}

std::string map_to(std::string_view file) { return fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", file); }

void add_indexes(std::vector<Attack>& out) {
  for (const auto& [name, file, what, words] : {
           std::tuple("climbs", "../s.safetensors", "a shard above the folder", "climbs out of the folder"),
           std::tuple("climbs_inside", "x/../../s.safetensors", "a shard above the folder, by a way round", "climbs out of the folder"),
           std::tuple("climbs_backslash", "..\\\\s.safetensors", "a shard above the folder on Windows", "climbs out of the folder"),
           std::tuple("absolute", "/etc/passwd", "an absolute path", "is absolute"),
           std::tuple("absolute_share", "\\\\\\\\host\\\\s.safetensors", "a file of another machine", "is absolute"),
           std::tuple("drive", "C:s.safetensors", "a file of a drive", "names a drive"),
           std::tuple("nul", "s.safetensors\\u0000.txt", "a name with a NUL", "holds a NUL"),
           std::tuple("no_name", "", "an empty name", "is empty"),
           std::tuple("dot", "./s.safetensors", "a name with a point for a part", "has an empty part"),
           std::tuple("pickle_shard", "s.bin", "a PyTorch file behind a safetensors index, where readers expect no pickle", "expected .safetensors files"),
       }) {
    out.push_back(index(name, map_to(file), what, words));
  }
  out.push_back(index("key_twice", R"({"weight_map":{"a":"s.safetensors","a":"t.safetensors"}})", "one tensor in two shards, of which parsers take the first or the last", "appears twice"));
  out.push_back(index("map_twice", R"({"weight_map":{"a":"s.safetensors"},"weight_map":{}})", "two weight_maps", "appears twice"));
  out.push_back(index("map_no_object", R"({"weight_map":["s.safetensors"]})", "a list for the map", "weight_map is array"));
  out.push_back(index("shard_no_text", R"({"weight_map":{"a":{"file":"s.safetensors"}}})", "an object for a shard", "expected a file name"));
  out.push_back(index("no_map", R"({"metadata":{}})", "no weight_map", "no \"weight_map\""));
  out.push_back(index("deep", R"({"metadata":)" + std::string(10'000, '[') + std::string(10'000, ']') + R"(,"weight_map":{"a":"s.safetensors"}})", "a depth bomb", "nested deeper"));
  out.push_back(index("not_json", "{\"weight_map\"", "half an index", "not valid JSON"));
  out.push_back(index("not_in_shard", R"({"weight_map":{"b":"s.safetensors"}})", "a tensor that its shard does not have", "no tensor \"b\""));
  out.push_back(index("names_nothing", R"({"weight_map":{}})", "an index that names nothing", "names no tensor"));
  Attack missing = index("shard_missing", R"({"weight_map":{"a":"s.safetensors","b":"t.safetensors"}})", "a shard that is not there: some servers fill its tensors with what lies in memory", "which is not there");
  missing.exit_code = 3;
  out.push_back(std::move(missing));
  out.push_back(of_files("left_over", {{"s.safetensors", shard("a")}, {"t.safetensors", shard("a")}, {"model.safetensors.index.json", R"({"weight_map":{"a":"s.safetensors"}})"}},
                         "a shard of an earlier model that the index does not name", true, "only what the index names is read"));
  out.push_back(of_files("stale_tensor", {{"s.safetensors", shard("a")}, {"t.safetensors", safetensors_file(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "xy")},
                                          {"model.safetensors.index.json", R"({"weight_map":{"a":"s.safetensors","b":"t.safetensors"}})"}},
                         "a shard with a second copy of a tensor, which loaders that read whole shards take", false, "lies in another shard too"));
}

void add_offload_folders(std::vector<Attack>& out) {
  const auto offload = [&](const char* name, const char* entry, const char* key, const char* what, const char* words) {
    out.push_back(of_files(name, {{"w.dat", "abcd"}, {"index.json", fmt::format(R"({{"{}":{}}})", key, entry)}}, what, false, words));
  };
  offload("offload_climbs", R"({"dtype":"float32","shape":[1]})", "../w", "a tensor whose file lies above the folder", "climbs out of the folder");
  offload("offload_absolute", R"({"dtype":"float32","shape":[1]})", "/etc/passwd", "a tensor with an absolute path", "is absolute");
  offload("offload_size", R"({"dtype":"float32","shape":[2]})", "w", "a shape larger than the file", "4 bytes, expected 8");
  offload("offload_overflow", R"({"dtype":"float32","shape":[4611686018427387904,4]})", "w", "a shape that overflows", "");
  offload("offload_dimension", R"({"dtype":"float32","shape":[18446744073709551615]})", "w", "a dimension of 2^64 - 1", "no size");
  offload("offload_dtype", R"({"dtype":"object","shape":[1]})", "w", "a dtype of numpy that holds pickles", "unknown dtype");
  offload("offload_no_dtype", R"({"shape":[1]})", "w", "no dtype", "no dtype");
}

}  // namespace

std::vector<Attack> folder_attacks() {
  std::vector<Attack> out;
  add_indexes(out);
  add_offload_folders(out);
  return out;
}

}  // namespace bigmodel::test
