// SPDX-License-Identifier: Apache-2.0
// The keys that the JSON of every command about a model starts with.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "commands/model_argument.h"

namespace bigmodel::app {

/// schema, model, source, library, model_type, class.
nlohmann::ordered_json model_json(std::string_view command, const FoundModel& model, const MetaGraph& graph);

}  // namespace bigmodel::app
