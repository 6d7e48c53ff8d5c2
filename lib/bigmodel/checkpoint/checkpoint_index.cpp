// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/checkpoint_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "bigmodel/checkpoint/plain_json.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/repeated_name.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

/// The largest real index (222,747 tensors) has some 30 MB.
constexpr std::uint64_t kIndexLimitBytes = std::uint64_t{128} << 20;
constexpr std::uint64_t kIndexValues = 10'000'000;

std::optional<std::uint64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  // Some tools wrote total_size as a JSON float (13731385408.0).
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number >= 0 && number < 9.0e15 && std::floor(number) == number) return static_cast<std::uint64_t>(number);
  }
  return std::nullopt;
}

/// Numbers the shards of an index by their first mention.
class WeightMapReader {
 public:
  WeightMapReader(CheckpointIndex& index, const std::string& object) : index_(index), object_(object) {}

  void add(std::string_view tensor, std::string_view shard) { index_.weight_map.push_back({std::string(tensor), number_of(shard)}); }

 private:
  std::uint32_t number_of(std::string_view shard) {
    const auto it = numbers_.find(shard);
    if (it != numbers_.end()) return it->second;
    if (const std::string fault = shard_name_fault(shard); !fault.empty()) {
      throw FormatError(fmt::format("{}: shard name \"{}\" {}, expected a relative path inside the folder", object_, shard.substr(0, 120), fault));
    }
    const auto number = static_cast<std::uint32_t>(index_.shards.size());
    index_.shards.emplace_back(shard);
    numbers_.emplace(shard, number);
    return number;
  }

  CheckpointIndex& index_;
  const std::string& object_;
  std::unordered_map<std::string_view, std::uint32_t> numbers_;  ///< views of the JSON
};

void read_weight_map(const Json& map, CheckpointIndex& index, const std::string& object) {
  WeightMapReader reader(index, object);
  index.weight_map.reserve(map.size());
  for (const auto& [tensor, shard] : map.items()) {
    if (!shard.is_string()) {
      throw FormatError(fmt::format("{}: weight_map \"{}\" is {}, expected a file name", object, tensor.substr(0, 120), shard.type_name()));
    }
    reader.add(tensor, shard.get_ref<const std::string&>());
  }
}

bool take_plain_map(PlainJson& json, std::vector<std::pair<std::string_view, std::string_view>>& out) {
  const auto member = [&](std::string_view tensor) { return json.string(out.emplace_back(tensor, std::string_view{}).second); };
  if (!json.object(member)) return false;
  std::vector<std::string_view> tensors;
  tensors.reserve(out.size());
  for (const auto& [tensor, shard] : out) tensors.push_back(tensor);
  return !repeated_name(tensors);
}

bool take_plain_metadata(PlainJson& json, CheckpointIndex& index) {
  return json.object([&](std::string_view key) {
    if (std::ranges::find(index.metadata, key, &std::pair<std::string, std::string>::first) != index.metadata.end()) return false;
    std::uint64_t number = 0;
    if (json.number(number)) {
      if (key == "total_size") index.total_size = number;
      index.metadata.emplace_back(key, std::to_string(number));
      return true;
    }
    std::string_view text;
    if (!json.string(text)) return false;
    index.metadata.emplace_back(key, fmt::format("\"{}\"", text));
    return true;
  });
}

/// What writers write, without a value for each string; nullopt where the text is anything else.
std::optional<CheckpointIndex> plain_index(std::string_view text, const std::string& object) {
  if (text.size() > kIndexLimitBytes) return std::nullopt;
  PlainJson json(text);
  CheckpointIndex index;
  std::vector<std::pair<std::string_view, std::string_view>> map;
  bool has_map = false, has_metadata = false;
  const bool plain = json.object([&](std::string_view key) {
    if (key == "weight_map") return !std::exchange(has_map, true) && take_plain_map(json, map);
    return key == "metadata" && !std::exchange(has_metadata, true) && take_plain_metadata(json, index);
  });
  if (!plain || !has_map || !json.at_end() || 2 * map.size() > kIndexValues) return std::nullopt;
  WeightMapReader reader(index, object);
  index.weight_map.reserve(map.size());
  for (const auto& [tensor, shard] : map) reader.add(tensor, shard);
  return index;
}

void append_escaped(std::string& out, std::string_view text) {
  // ensure_ascii as Python's json writes it.
  out += Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
}

void append_object(std::string& out, const std::vector<std::pair<std::string, std::string>>& pairs, bool values_are_json) {
  if (pairs.empty()) {
    out += "{}";
    return;
  }
  out += "{\n";
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    out += "    ";
    append_escaped(out, pairs[i].first);
    out += ": ";
    if (values_are_json) {
      out += pairs[i].second;
    } else {
      append_escaped(out, pairs[i].second);
    }
    out += i + 1 < pairs.size() ? ",\n" : "\n";
  }
  out += "  }";
}

}  // namespace

std::string shard_name_fault(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.find('\0') != std::string_view::npos) return "holds a NUL";
  if (name.front() == '/' || name.front() == '\\') return "is absolute";
  if (name.size() > 1 && name[1] == ':') return "names a drive";
  std::string_view rest = name;
  while (true) {
    const std::size_t cut = rest.find_first_of("/\\");
    const std::string_view part = rest.substr(0, cut);
    if (part == "..") return "climbs out of the folder";
    if (part.empty() || part == ".") return "has an empty part";
    if (cut == std::string_view::npos) return {};
    rest.remove_prefix(cut + 1);
  }
}

CheckpointIndex parse_checkpoint_index(std::string_view text, const std::string& object) {
  if (std::optional<CheckpointIndex> plain = plain_index(text, object)) return *std::move(plain);
  const Json json = parse_json(text, object, JsonLimits{.size_bytes = kIndexLimitBytes, .depth = 32, .values = kIndexValues});
  if (!json.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object with \"weight_map\"", object, json.type_name()));
  CheckpointIndex index;
  bool has_map = false;
  for (const auto& [key, value] : json.items()) {
    if (key == "weight_map") {
      if (!value.is_object()) throw FormatError(fmt::format("{}: weight_map is {}, expected an object", object, value.type_name()));
      read_weight_map(value, index, object);
      has_map = true;
    } else if (key == "metadata" && value.is_object()) {
      for (const auto& [name, entry] : value.items()) {
        if (name == "total_size") index.total_size = whole_number(entry);
        index.metadata.emplace_back(name, entry.dump(-1, ' ', true, Json::error_handler_t::replace));
      }
    }
  }
  // accelerate also reads the map alone: {tensor: file}.
  const bool bare_map = !has_map && !json.empty() && std::ranges::all_of(json, [](const Json& value) { return value.is_string(); });
  if (bare_map) {
    read_weight_map(json, index, object);
  } else if (!has_map) {
    throw FormatError(fmt::format("{}: no \"weight_map\"", object), "it is no index of a sharded checkpoint");
  }
  return index;
}

CheckpointIndex read_checkpoint_index(const std::filesystem::path& path) {
  CheckpointIndex index = parse_checkpoint_index(read_file(path, kIndexLimitBytes), path.string());
  index.name = path.filename().string();
  if (index.weight_map.empty()) throw FormatError(fmt::format("{}: weight_map names no tensor", path.string()));
  if (index.name.find(".safetensors.") == std::string::npos) return index;
  for (const std::string& shard : index.shards) {
    // As in the reference: who asks for safetensors is not led to a pickle.
    if (!shard.ends_with(".safetensors")) throw FormatError(fmt::format("{}: names \"{}\", expected .safetensors files", path.string(), shard.substr(0, 120)));
  }
  return index;
}

std::string checkpoint_index_text(const std::vector<std::pair<std::string, std::string>>& metadata,
                                  const std::vector<std::pair<std::string, std::string>>& weight_map, IndexLayout layout) {
  std::string out = "{\n  \"metadata\": ";
  if (layout == IndexLayout::transformers) {
    // Python sorts by code point; UTF-8 bytes sort alike.
    auto sorted_metadata = metadata;
    auto sorted_map = weight_map;
    std::ranges::sort(sorted_metadata);
    std::ranges::sort(sorted_map);
    append_object(out, sorted_metadata, true);
    out += ",\n  \"weight_map\": ";
    append_object(out, sorted_map, false);
    out += "\n}\n";
    return out;
  }
  append_object(out, metadata, true);
  out += ",\n  \"weight_map\": ";
  append_object(out, weight_map, false);
  out += "\n}";
  return out;
}

}  // namespace bigmodel
