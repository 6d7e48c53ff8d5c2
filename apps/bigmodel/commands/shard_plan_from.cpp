// SPDX-License-Identifier: Apache-2.0
#include "commands/shard_plan_from.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/core/shape.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kListLimitBytes = std::uint64_t{256} << 20;

[[noreturn]] void refuse(const std::string& where, std::string_view expected) {
  throw FormatError(fmt::format("{}: is missing or of the wrong kind, expected {}", where, expected));
}

Shape shape_of(const Json& entry, const std::string& where) {
  const auto it = entry.find("shape");
  if (it == entry.end() || !it->is_array()) refuse(where + ".shape", "a list of whole numbers");
  Shape shape;
  for (const Json& dimension : *it) {
    if (!dimension.is_number_integer() || (dimension.is_number_unsigned() && dimension.get<std::uint64_t>() > INT64_MAX) || dimension.get<std::int64_t>() < 0) {
      refuse(where + ".shape", "a list of whole numbers");
    }
    shape.push_back(dimension.get<std::int64_t>());
  }
  return shape;
}

/// "base:512" names a storage of 512 bytes that is seen through slices.
std::optional<std::uint64_t> stated_bytes(std::string_view storage) {
  constexpr std::string_view kPrefix = "base:";
  if (!storage.starts_with(kPrefix)) return std::nullopt;
  storage.remove_prefix(kPrefix.size());
  return parse_number<std::uint64_t>(storage);
}

std::vector<ShardInput> inputs_of(const Json& list, const std::string& file) {
  if (!list.is_array()) refuse(file, "a JSON list of tensors");
  std::vector<ShardInput> out;
  std::unordered_map<std::string, std::uint64_t> storages;
  std::unordered_set<std::string> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& entry = list[i];
    const std::string where = fmt::format("{}: tensor {}", file, i);
    if (!entry.is_object()) refuse(where, "an object");
    const auto text = [&](const char* key) {
      const auto it = entry.find(key);
      if (it == entry.end() || !it->is_string()) refuse(fmt::format("{}.{}", where, key), "text");
      return it->get<std::string>();
    };
    ShardInput input{.name = text("name")};
    if (!names.insert(input.name).second) throw FormatError(fmt::format("{}: \"{}\" is there twice", where, input.name));
    const std::string dtype_name = text("dtype");
    std::optional<DType> dtype = find_dtype(dtype_name);
    if (!dtype) dtype = find_safetensors_dtype(dtype_name);
    if (!dtype) refuse(where + ".dtype", "a dtype such as float32 or F32");
    input.storage_bytes = static_cast<std::uint64_t>(byte_count(*dtype, element_count(shape_of(entry, where), where)));
    const auto storage = entry.find("storage");
    if (storage != entry.end() && !storage->is_null()) {
      const std::string key = storage->is_string() ? storage->get<std::string>() : storage->dump();
      input.storage = storages.emplace(key, storages.size() + 1).first->second;
      input.storage_bytes = stated_bytes(key).value_or(input.storage_bytes);
    } else if (input.storage_bytes == 0) {
      input.storage = 0;
    }
    if (const auto bytes = entry.find("storage_bytes"); bytes != entry.end()) {
      if (!bytes->is_number_unsigned()) refuse(where + ".storage_bytes", "a whole number");
      input.storage_bytes = bytes->get<std::uint64_t>();
    }
    out.push_back(std::move(input));
  }
  return out;
}

}  // namespace

std::string plan_of_list(const std::string& file, std::uint64_t max_shard_size_bytes, const ShardNames& names, ShardPolicy policy, bool indented) {
  const JsonLimits limits{.size_bytes = kListLimitBytes};
  const std::string object = file == "-" ? "standard input" : file;
  const Json list = parse_json(file == "-" ? read_descriptor(0, object, kListLimitBytes) : read_file(file, kListLimitBytes), object, limits);
  const std::vector<ShardInput> tensors = inputs_of(list, object);
  const ShardPlan plan = plan_shards(tensors, max_shard_size_bytes, names, policy);
  Json files = Json::object();
  Json weight_map = Json::object();
  for (const PlannedShard& shard : plan.shards) {
    Json& held = files[shard.file] = Json::array();
    for (const std::uint32_t i : shard.tensors) held.push_back(tensors[i].name);
  }
  // ordered_json finds keys one by one: the map is made whole, as tensor names are known to differ.
  Json::object_t pairs;
  for (const PlannedShard& shard : plan.shards) {
    for (const std::uint32_t i : shard.tensors) static_cast<Json::object_t::Container&>(pairs).emplace_back(tensors[i].name, shard.file);
  }
  weight_map = std::move(pairs);
  return json_text({{"filename_to_tensors", std::move(files)}, {"metadata", {{"total_size", plan.total_size}}}, {"weight_map", std::move(weight_map)}}, indented);
}

}  // namespace bigmodel::app
