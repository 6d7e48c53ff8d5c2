// SPDX-License-Identifier: Apache-2.0
#include "commands/doctor_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>
#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/config.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTimmPrefix = "timm/";

TypeState state_of(spec::SpecLibrary& library, const std::string& type, const WorkContext& work) {
  TypeState out{.model_type = type};
  try {
    const Config config = parse_config(Json{{"model_type", type}}.dump(), "default config");
    out.classes = class_names(library, config);
    for (const std::string& name : out.classes) {
      work.throw_if_stopped();
      try {
        check_runnable(build_meta_graph(library, config, {.class_name = name, .disk_rules = false}));
        out.runnable.push_back(name);
      } catch (const CancelledError&) {
        throw;
      } catch (const Error& e) {  // a class that is only built by others says nothing about the rest
        if (out.missing.empty()) out.missing = e.what();
      }
    }
  } catch (const CancelledError&) {
    throw;
  } catch (const Error& e) {
    if (out.missing.empty()) out.missing = e.what();
  }
  if (!out.runnable.empty()) out.missing.clear();
  return out;
}

/// The types that the reference builds, by name.
std::vector<std::string> reference_types() {
  std::vector<std::string> out;
  for (const EmbeddedFile& file : embedded::reference_types_files()) {
    std::istringstream lines{std::string(file.content)};
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.front() != '#') out.push_back(line);
    }
  }
  return out;
}

}  // namespace

std::size_t TypeSurvey::described_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(types, &TypeState::described));
}

std::size_t TypeSurvey::runnable_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(types, [](const TypeState& t) { return !t.runnable.empty(); }));
}

TypeSurvey survey_types(spec::SpecLibrary& library, const WorkContext& work) {
  TypeSurvey out;
  std::vector<std::string> types = library.type_names();
  out.timm_count = std::erase_if(types, [](const std::string& type) { return type.starts_with(kTimmPrefix); });
  for (const std::string& type : types) {
    work.report("trying types", out.types.size(), types.size());
    out.types.push_back(state_of(library, type, work));
  }
  for (const std::string& type : reference_types()) {
    if (!library.has(type)) out.types.push_back({.model_type = type, .described = false, .missing = "a description"});
  }
  std::ranges::sort(out.types, {}, &TypeState::model_type);
  return out;
}

std::string text_of(const TypeSurvey& survey, const Terminal& terminal) {
  TextTable table{{{"type"}, {"described"}, {"classes", Align::right}, {"runs"}}, {}};
  for (const TypeState& type : survey.types) {
    table.rows.push_back({type.model_type, type.described ? "yes" : "no", fmt::format("{}", type.classes.size()),
                          type.missing.empty() ? fmt::format("yes: {}", fmt::join(type.runnable, ", ")) : "no: " + type.missing});
  }
  return fmt::format("{}{} of {} types are described, {} of them run; and {} architectures of timm\n", box_table(table, terminal),
                     survey.described_count(), survey.types.size(), survey.runnable_count(), survey.timm_count);
}

Json json_of(const TypeSurvey& survey) {
  Json json{{"schema", "bigmodel.doctor-types/1"}, {"described_count", survey.described_count()}, {"runnable_count", survey.runnable_count()},
            {"timm_count", survey.timm_count}, {"types", Json::array()}};
  for (const TypeState& type : survey.types) {
    Json entry{{"model_type", type.model_type}, {"described", type.described}, {"classes", type.classes}, {"runnable", type.runnable}};
    if (!type.missing.empty()) entry["missing"] = type.missing;
    json["types"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace bigmodel::app
