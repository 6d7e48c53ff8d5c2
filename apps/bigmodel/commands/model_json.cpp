// SPDX-License-Identifier: Apache-2.0
#include "commands/model_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace bigmodel::app {

nlohmann::ordered_json model_json(std::string_view command, const FoundModel& model, const MetaGraph& graph) {
  return {{"schema", fmt::format("bigmodel.{}/1", command)},
          {"model", model.argument},
          {"source", model.source},
          {"library", model.config.library},
          {"model_type", graph.model_type},
          {"class", graph.class_name}};
}

}  // namespace bigmodel::app
