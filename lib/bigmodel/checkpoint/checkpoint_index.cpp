// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/checkpoint_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

/// The largest real index (222,747 tensors) has some 30 MB.
constexpr std::uint64_t kIndexLimitBytes = std::uint64_t{128} << 20;

std::optional<std::uint64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  // Some tools wrote total_size as a JSON float (13731385408.0).
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number >= 0 && number < 9.0e15 && std::floor(number) == number) return static_cast<std::uint64_t>(number);
  }
  return std::nullopt;
}

void read_weight_map(const Json& map, CheckpointIndex& index, const std::string& object) {
  std::unordered_map<std::string, std::uint32_t> shards;
  index.weight_map.reserve(map.size());
  for (const auto& [tensor, shard] : map.items()) {
    if (!shard.is_string()) {
      throw FormatError(fmt::format("{}: weight_map \"{}\" is {}, expected a file name", object, tensor.substr(0, 120), shard.type_name()));
    }
    const auto& name = shard.get_ref<const std::string&>();
    const auto [it, fresh] = shards.emplace(name, static_cast<std::uint32_t>(index.shards.size()));
    if (fresh) {
      if (const std::string fault = shard_name_fault(name); !fault.empty()) {
        throw FormatError(fmt::format("{}: shard name \"{}\" {}, expected a relative path inside the folder", object, name.substr(0, 120), fault));
      }
      index.shards.push_back(name);
    }
    index.weight_map.push_back({tensor, it->second});
  }
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
  const Json json = parse_json(text, object, JsonLimits{.size_bytes = kIndexLimitBytes, .depth = 32, .values = 10'000'000});
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
