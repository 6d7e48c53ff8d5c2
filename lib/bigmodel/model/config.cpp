// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/model/quantization_config.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

/// No config comes near these: they bound memory before anything is believed.
constexpr JsonLimits kConfigLimits{.size_bytes = std::uint64_t{16} << 20, .depth = 100, .values = 2'000'000};

spec::Value to_value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean: return json.get<bool>();
    case Json::value_t::number_integer: return json.get<std::int64_t>();
    case Json::value_t::number_unsigned: {
      const auto v = json.get<std::uint64_t>();
      if (v > static_cast<std::uint64_t>(INT64_MAX)) return static_cast<double>(v);
      return static_cast<std::int64_t>(v);
    }
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::string: return json.get<std::string>();
    case Json::value_t::array: {
      spec::List out;
      out.reserve(json.size());
      for (const Json& item : json) out.push_back(to_value(item));
      return out;
    }
    case Json::value_t::object: {
      spec::Map out;
      out.reserve(json.size());
      for (const auto& [key, item] : json.items()) out.emplace_back(key, to_value(item));
      return out;
    }
    default: return {};
  }
}

const std::string* text_of(const spec::Map& map, std::string_view key) {
  const spec::Value* v = spec::find(map, key);
  return v == nullptr ? nullptr : v->if_string();
}

void set(spec::Map& map, std::string_view key, spec::Value value) {
  const auto it = std::ranges::find(map, key, &std::pair<std::string, spec::Value>::first);
  if (it != map.end()) {
    it->second = std::move(value);
  } else {
    map.emplace_back(std::string(key), std::move(value));
  }
}

/// As timm's load_model_config_from_hf: the pretrained_cfg is the model's own record, model_args go to the constructor. A file without a
/// pretrained_cfg is that record itself, as older versions wrote it.
void lift_timm_keys(Config& config, const std::string& architecture) {
  spec::Map lifted;
  static const spec::Map kNone;
  const spec::Value* pretrained = spec::find(config.data, "pretrained_cfg");
  const spec::Map& record = pretrained == nullptr ? config.data : pretrained->if_map() != nullptr ? *pretrained->if_map() : kNone;
  for (const std::string_view key : {"num_classes", "global_pool"}) {
    const spec::Value* v = spec::find(config.data, key);
    if (v == nullptr || v->is_null()) v = spec::find(record, key);
    const std::int64_t* number = v == nullptr ? nullptr : v->if_int();
    if (v != nullptr && !v->is_null() && (number == nullptr || *number >= 0)) set(lifted, key, *v);
  }
  const spec::Value* args = spec::find(config.data, "model_args");
  const spec::Map& model_args = args != nullptr && args->if_map() != nullptr ? *args->if_map() : kNone;
  const spec::Value* dynamic = spec::find(model_args, "dynamic_img_size");
  const spec::Value* strict = spec::find(model_args, "strict_img_size");
  const bool any_size = (dynamic != nullptr && dynamic->truthy()) || (strict != nullptr && !strict->truthy());
  // The record's input has the channels the model takes, and, where the size is fixed, the size.
  const spec::Value* size = spec::find(record, "input_size");
  if (size != nullptr && size->if_list() != nullptr && size->if_list()->size() == 3) {
    const spec::List& dims = *size->if_list();
    set(lifted, "in_chans", dims[0]);
    if (const spec::Value* fixed = spec::find(record, "fixed_input_size"); fixed != nullptr && fixed->truthy() && !any_size) {
      set(lifted, "img_size", spec::List{dims[1], dims[2]});
    }
  }
  for (const auto& [key, value] : model_args) set(lifted, key, value);
  config.library = "timm";
  config.model_type = "timm/" + architecture;
  config.data = std::move(lifted);
}

void read_architectures(Config& config) {
  const spec::Value* v = spec::find(config.data, "architectures");
  if (v == nullptr || v->is_null()) return;
  const spec::List* list = v->if_list();
  if (list == nullptr) throw FormatError(fmt::format("{}: key 'architectures': expected a list, got {}", config.where, v->describe()));
  for (const spec::Value& name : *list) {
    if (const std::string* text = name.if_string()) config.architectures.push_back(*text);
  }
}

}  // namespace

Config parse_config(std::string_view text, std::string where, ConfigLibrary library) {
  const Json json = parse_json(text, where, kConfigLimits);
  if (!json.is_object()) throw FormatError(fmt::format("{}: expected a JSON object, got {}", where, json.type_name()));
  Config config;
  config.where = std::move(where);
  config.text = text;
  config.data = *to_value(json).if_map();
  config.has_auto_map = spec::find(config.data, "auto_map") != nullptr;
  config.quantization_method = quantization_method_name(config.data);
  const std::string* model_type = text_of(config.data, "model_type");
  const std::string* architecture = text_of(config.data, "architecture");
  const bool timm = library == ConfigLibrary::timm || (library == ConfigLibrary::automatic && model_type == nullptr && architecture != nullptr);
  if (timm) {
    if (architecture == nullptr) {
      throw FormatError(fmt::format("{}: key 'architecture' is missing, expected the name of a timm architecture", config.where));
    }
    lift_timm_keys(config, std::string(*architecture));
    return config;
  }
  read_architectures(config);
  if (model_type != nullptr && !model_type->empty()) {
    config.model_type = *model_type;
    return config;
  }
  if (const spec::Value* stated = spec::find(config.data, "model_type"); stated != nullptr && !stated->is_null() && model_type == nullptr) {
    throw FormatError(fmt::format("{}: key 'model_type': expected a string, got {}", config.where, stated->describe()));
  }
  throw FormatError(fmt::format("{}: key 'model_type' is missing", config.where),
                    "add \"model_type\" to the file, or pass --library_name timm where it is a timm model");
}

Config read_config(const std::filesystem::path& path, ConfigLibrary library) {
  return parse_config(read_file(path, kConfigLimits.size_bytes), path.string(), library);
}

Config timm_config(std::string_view architecture) {
  Config config;
  config.where = fmt::format("timm/{}", architecture);
  config.library = "timm";
  config.model_type = config.where;
  config.text = Json{{"architecture", architecture}}.dump();
  return config;
}

}  // namespace bigmodel
