// SPDX-License-Identifier: Apache-2.0
// `inspect --why NAME`: the chain of modules down to a name, the line of the description behind each, and the config
// keys that those lines read.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "commands/inspect_text.h"
#include "commands/model_json.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

struct Step {
  std::string name;   ///< full name
  std::string what;   ///< class, or dtype and shape
  SpecPlace place;
};

/// A child under the name, or null.
const ModuleTemplate* child_named(const ModuleTemplate& module, std::string_view name) {
  for (const ModuleChild& child : module.children) {
    if (child.count == 1) {
      if (child.name == name) return child.module.get();
      continue;
    }
    for (std::int64_t k = 0; k < child.count; ++k) {
      if (child.name_at(k) == name) return child.module.get();
    }
  }
  return nullptr;
}

/// Every module on the way, then the tensor; empty where nothing has the name.
std::vector<Step> steps_to(const InspectResult& result, const std::string& wanted) {
  std::vector<Step> steps{{"", result.graph.class_name, result.graph.root->place}};
  const ModuleTemplate* module = result.graph.root.get();
  std::string_view rest = wanted;
  std::string path;
  while (!rest.empty()) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const std::string here = path.empty() ? std::string(part) : fmt::format("{}.{}", path, part);
    if (const ModuleTemplate* child = child_named(*module, part)) {
      module = child;
      path = here;
      steps.push_back({here, child->class_name, child->place});
      rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
      continue;
    }
    for (const auto* tensors : {&module->parameters, &module->buffers}) {
      for (const TensorTemplate& tensor : *tensors) {
        if (tensor.name != rest) continue;
        const bool is_buffer = tensors == &module->buffers;
        steps.push_back({path.empty() ? tensor.name : path + "." + tensor.name,
                         fmt::format("{} {} {}{}", is_buffer ? "buffer" : "parameter",
                                     name(resolved_dtype(tensor, result.dtype)), to_string(tensor.shape),
                                     is_buffer && !tensor.persistent ? ", not in the checkpoint" : ""),
                         tensor.place});
        return steps;
      }
    }
    return {};
  }
  return steps;
}

std::string_view line_of(std::string_view text, std::uint32_t line) {
  for (std::uint32_t i = 1; i < line && !text.empty(); ++i) {
    const std::size_t end = text.find('\n');
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view{} : text.substr(begin);
}

/// Words of a line that are keys of the config, in order.
void collect_keys(std::string_view line, const spec::Map& config, std::vector<std::string>& keys) {
  std::string word;
  const auto finish = [&] {
    if (!word.empty() && spec::find(config, word) != nullptr && std::ranges::find(keys, word) == keys.end()) {
      keys.push_back(word);
    }
    word.clear();
  };
  for (const char c : line.substr(0, line.find('#'))) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_') {
      word += c;
    } else {
      finish();
    }
  }
  finish();
}

[[noreturn]] void refuse(const InspectResult& result, const std::string& wanted) {
  std::vector<std::string> known;
  for_each_module(result.graph, [&](const std::string& name, const ModuleTemplate&) { known.push_back(name); });
  for_each_tensor(result.graph, [&](const TensorVisit& visit) { known.push_back(visit.name); });
  std::string hint = did_you_mean(wanted, known);
  throw NotFoundError(fmt::format("{}: {} has no module, parameter or buffer of that name", wanted, result.graph.class_name),
                      hint.empty() ? "`inspect --tensors` lists them" : std::move(hint));
}

}  // namespace

void print_why(const InspectResult& result, const std::string& wanted,
               const std::function<std::string(const std::string&)>& text_of, Format format, Output& out) {
  const std::vector<Step> steps = steps_to(result, wanted);
  if (steps.empty()) refuse(result, wanted);
  std::map<std::uint32_t, std::string> texts;
  std::vector<std::string> keys;
  Json chain = Json::array();
  std::string human;
  for (const Step& step : steps) {
    Json entry{{"name", step.name}, {"what", step.what}};
    human += fmt::format("{}  {}\n", step.name.empty() ? "(model)" : step.name, step.what);
    if (step.place.line != 0 && step.place.file < result.graph.spec_files.size()) {
      const std::string& file = result.graph.spec_files[step.place.file];
      if (!texts.contains(step.place.file)) texts[step.place.file] = text_of(file);
      const std::string line(line_of(texts[step.place.file], step.place.line));
      collect_keys(line, result.model.config.data, keys);
      entry["file"] = file;
      entry["line"] = step.place.line;
      if (!line.empty()) entry["text"] = line;
      human += fmt::format("    {}:{}: {}\n", file, step.place.line, line);
    }
    chain.push_back(std::move(entry));
  }
  const std::unordered_map<std::string, std::string> tied = tied_names(result.graph);
  const auto tie = tied.find(wanted);
  if (tie != tied.end()) human += fmt::format("tied to {}\n", tie->second);
  if (!keys.empty()) human += fmt::format("keys of {}:\n", result.model.config.where);
  Json values = Json::object();
  for (const std::string& key : keys) {
    const std::string value = spec::find(result.model.config.data, key)->describe();
    values[key] = value;
    human += fmt::format("    {} = {}\n", key, value);
  }
  if (format == Format::table) {
    out.write(human);
    return;
  }
  if (format != Format::json && format != Format::jsonl) {
    throw UsageError("--format: an explanation is no table", "use table or json");
  }
  Json json = model_json("inspect", result.model, result.graph);
  json["why"] = {{"name", wanted}, {"chain", std::move(chain)}, {"config", std::move(values)}};
  if (tie != tied.end()) json["why"]["tied_to"] = tie->second;
  json["assumptions"] = result.assumptions;
  json["warnings"] = result.warnings;
  out.line(json_text(json, format == Format::json && out.terminal().is_tty));
}

}  // namespace bigmodel::app
