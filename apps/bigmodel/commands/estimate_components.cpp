// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_components.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/checkpoint_totals.h"
#include "bigmodel/checkpoint/gguf_header.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/hub/hub_error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/planning/loaded_bytes.h"
#include "commands/fetch_checkpoint.h"
#include "commands/model_argument.h"
#include "render/digits.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string binary(std::int64_t size_bytes) { return format_binary(static_cast<std::uint64_t>(size_bytes)); }

/// An object or a list.
Json json_of(PartFiles& files, const std::string& path) { return parse_json(files.text(path), fmt::format("{}: {}", files.object(), path)); }

Json object_of(PartFiles& files, const std::string& path) {
  Json out = json_of(files, path);
  if (!out.is_object()) throw FormatError(fmt::format("{}: {}: expected an object, got {}", files.object(), path, out.type_name()));
  return out;
}

std::string text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

Component component_of(std::string name, std::string class_name, const Checkpoint& checkpoint) {
  const CheckpointTotals totals = checkpoint_totals(checkpoint);
  Component out{.name = std::move(name), .class_name = std::move(class_name)};
  out.tensors = static_cast<std::int64_t>(totals.tensors);
  out.parameters = totals.parameters;
  out.bytes = static_cast<std::int64_t>(totals.size_bytes);
  for (const DTypeTotal& total : totals.dtypes) out.dtypes.emplace_back(bigmodel::name(total.dtype), static_cast<std::int64_t>(total.size_bytes));
  return out;
}

/// model_index.json: {"unet": ["diffusers", "UNet2DConditionModel"], "_class_name": ...}; parts without weights have no files to price.
ComponentsResult pipeline(PartFiles& files) {
  const Json index = object_of(files, "model_index.json");
  ComponentsResult out{.library = "diffusers", .class_name = text_of(index, "_class_name"), .source = files.source()};
  for (const auto& [name, value] : index.items()) {
    const bool is_part = value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string();
    if (!is_part || name.find('/') != std::string::npos || name.starts_with('.')) continue;
    if (!files.has(name)) {
      out.warnings.push_back(fmt::format("part '{}' of model_index.json has no folder here", name));
      continue;
    }
    try {
      out.components.push_back(component_of(name, value[1].get<std::string>(), files.weights(name)));
    } catch (const NotFoundError&) {
      // A scheduler, a tokenizer or a processor; a model without its weights has a config.json.
      if (files.has(name + "/config.json") && !files.has(name + "/preprocessor_config.json")) {
        out.warnings.push_back(fmt::format("part '{}' has a config.json and no weights here", name));
      }
    }
  }
  if (out.components.empty()) throw NotFoundError(fmt::format("{}: a diffusers pipeline, and none of its parts has weights here", files.object()), "fetch them");
  return out;
}

/// What the adapter stands on: priced by its description, in the dtype that its config states.
std::optional<Component> base_of(const std::string& base, const spec::SpecLibrary& library, const Options& options, Session& session,
                                 std::vector<std::string>& warnings) {
  try {
    const FoundModel model = find_model(base, library, options, session);
    const std::unique_ptr<spec::SpecLibrary> own = load_descriptions(options, session);
    const MetaGraph graph = build_checkpoint_graph(*own, model.config);
    const DType dtype = graph.stored_dtype.value_or(DType::float16);
    const GraphTotals totals = graph_totals(graph);
    Component out{.name = base, .class_name = graph.class_name, .tensors = totals.tensors, .parameters = totals.parameters};
    out.bytes = LoadedSizes(graph).bytes(dtype).bytes;
    out.dtypes = {{std::string(name(dtype)), out.bytes}};
    return out;
  } catch (const Error& e) {
    warnings.push_back(fmt::format("the base model {} is not counted: {}", base, e.what()));
    return std::nullopt;
  }
}

ComponentsResult adapter(PartFiles& files, const spec::SpecLibrary& library, const Options& options, Session& session) {
  const Json config = object_of(files, "adapter_config.json");
  ComponentsResult out{.library = "peft", .class_name = text_of(config, "peft_type"), .source = files.source()};
  out.components.push_back(component_of("adapter", out.class_name, files.weights("")));
  const std::string base = text_of(config, "base_model_name_or_path");
  if (base.empty()) {
    out.warnings.push_back("adapter_config.json names no base model: only the adapter is counted");
  } else if (auto component = base_of(base, library, options, session, out.warnings)) {
    out.components.push_back(*std::move(component));
    out.assumptions.push_back(fmt::format("the base model {} is counted by its description, in the dtype that its config states", base));
  }
  return out;
}

/// `model` takes what the first file says of a model.
Component gguf_component(PartFiles& files, const std::vector<std::string>& names, std::optional<GgufHeader>& model) {
  Component out{.name = names.front()};
  for (const std::string& name : names) {
    if (!files.has(name)) throw NotFoundError(fmt::format("{}: {}: one of {} parts, and it is not here", files.object(), name, names.size()), "download it");
    GgufHeader header = files.gguf(name);
    if (out.class_name.empty()) out.class_name = header.kind.empty() || header.kind == "model" ? header.architecture : header.kind;
    for (const GgufTensor& tensor : header.tensors) {
      ++out.tensors;
      out.parameters = checked_add(out.parameters, element_count(tensor.shape, tensor.name), "parameters");
      const auto size_bytes = static_cast<std::int64_t>(tensor.size_bytes);
      out.bytes = checked_add(out.bytes, size_bytes, "bytes");
      auto it = std::ranges::find(out.dtypes, tensor.type.name, &std::pair<std::string, std::int64_t>::first);
      if (it == out.dtypes.end()) it = out.dtypes.insert(it, {std::string(tensor.type.name), 0});
      it->second += size_bytes;
    }
    if (model || (!header.kind.empty() && header.kind != "model") || header.architecture == "clip") continue;
    header.tensors.clear();
    model = std::move(header);
  }
  return out;
}

/// One model, in one file or a numbered set, and its projectors. `names`: of which the first of each set counts.
ComponentsResult gguf(PartFiles& files, const std::vector<std::string>& names, const std::string& source) {
  ComponentsResult out{.library = "gguf", .source = source};
  std::vector<std::string> models;
  for (const std::string& name : names) {
    const std::vector<std::string> set = gguf_set(name);
    if (names.size() > 1 && set.front() != name) continue;
    out.components.push_back(gguf_component(files, set, out.gguf));
    const Component& component = out.components.back();
    if (component.class_name != "mmproj" && component.class_name != "clip") models.push_back(component.name);
  }
  if (models.size() > 1) {
    throw UsageError(fmt::format("{}: holds {} GGUF models ({})", files.object(), models.size(), fmt::join(models, ", ")), "name one of them");
  }
  out.class_name = out.components.front().class_name;
  return out;
}

/// What has no config.json at its top; nullopt for what is none of these.
std::optional<ComponentsResult> parts_of(PartFiles& files, const spec::SpecLibrary& library, const Options& options, Session& session) {
  if (files.has("config.json")) return std::nullopt;
  if (files.has("model_index.json")) return pipeline(files);
  if (files.has("adapter_config.json")) return adapter(files, library, options, session);
  const std::vector<std::string> names = files.gguf_names();
  if (names.empty()) return std::nullopt;
  return gguf(files, names, files.source() == "folder" ? "file" : files.source());
}

template <typename Member>
std::int64_t sum(const std::vector<Component>& components, Member member) {
  std::int64_t out = 0;
  for (const Component& component : components) out = checked_add(out, component.*member, "components");
  return out;
}

std::string dtypes_text(const Component& component) {
  std::string out;
  for (const auto& [dtype, size_bytes] : component.dtypes) {
    out += fmt::format("{}{}", out.empty() ? "" : ", ", component.dtypes.size() == 1 ? dtype : fmt::format("{} {}", dtype, binary(size_bytes)));
  }
  return out;
}

}  // namespace

std::int64_t ComponentsResult::bytes() const { return sum(components, &Component::bytes); }
std::int64_t ComponentsResult::parameters() const { return sum(components, &Component::parameters); }
std::int64_t ComponentsResult::tensors() const { return sum(components, &Component::tensors); }

std::optional<ComponentsResult> estimate_components(const std::string& argument, const spec::SpecLibrary& library, const Options& options, Session& session) {
  fs::path path = argument;
  std::error_code error;
  if (fs::is_regular_file(path, error)) {
    if (path.extension() != ".gguf") return std::nullopt;
    return gguf(*folder_files(path.parent_path()), {path.filename().string()}, "file");
  }
  if (!fs::is_directory(path, error)) return std::nullopt;
  if (options.given("subfolder")) path /= options.text("subfolder");
  return parts_of(*folder_files(path), library, options, session);
}

std::optional<ComponentsResult> hub_components(const std::string& argument, const spec::SpecLibrary& library, const Options& options, Session& session) {
  const HubSettings settings = hub_settings_of(options, session.environment);
  std::optional<RepoReference> repo = settings.offline ? std::nullopt : repository_argument(argument, options, settings);
  if (!repo) return std::nullopt;
  try {
    if (repo->path.ends_with(".gguf")) {
      const fs::path path = repo->path;
      return gguf(*hub_files(*repo, path.parent_path().string(), options, session), {path.filename().string()}, "hub");
    }
    return parts_of(*hub_files(*repo, repository_folder(argument, *repo, options), options, session), library, options, session);
  } catch (const RepoNotFoundError&) {
    return std::nullopt;
  }
}

std::optional<ComponentsResult> sentence_components(PartFiles& files) {
  if (!files.has("modules.json")) return std::nullopt;
  const Json modules = json_of(files, "modules.json");
  if (!modules.is_array()) return std::nullopt;
  ComponentsResult out{.library = "sentence-transformers", .class_name = "SentenceTransformer", .source = files.source()};
  for (const Json& module : modules) {
    if (!module.is_object()) continue;
    const std::string place = text_of(module, "path"), type = text_of(module, "type");
    if (place.find("..") != std::string::npos || place.starts_with('/')) continue;
    try {
      out.components.push_back(component_of(place.empty() ? "transformer" : place, type.substr(type.rfind('.') + 1), files.weights(place)));
    } catch (const NotFoundError&) {
      // Pooling and normalisation have no weights.
    }
  }
  return out;
}

TextTable components_table(const ComponentsResult& result) {
  TextTable table{{{"component"}, {"class"}, {"tensors", Align::right}, {"parameters", Align::right}, {"stored", Align::right}, {"as"}}, {}};
  for (const Component& c : result.components) {
    table.rows.push_back({c.name, c.class_name, grouped_digits(c.tensors), grouped_digits(c.parameters), binary(c.bytes), dtypes_text(c)});
  }
  return table;
}

std::string components_line(const std::string& argument, const ComponentsResult& result) {
  return fmt::format("{}: {}{}, {} parameters, {} as stored", argument, result.library, result.class_name.empty() ? "" : fmt::format(" {}", result.class_name),
                     grouped_digits(result.parameters()), binary(result.bytes()));
}

Json components_json(const ComponentsResult& result) {
  Json out = Json::array();
  for (const Component& c : result.components) {
    Json dtypes = Json::object();
    for (const auto& [dtype, size_bytes] : c.dtypes) dtypes[dtype] = size_bytes;
    Json row{{"name", c.name}, {"tensors", c.tensors}, {"parameters", c.parameters}, {"bytes", c.bytes}, {"dtypes", std::move(dtypes)}};
    if (!c.class_name.empty()) row["class"] = c.class_name;
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace bigmodel::app
