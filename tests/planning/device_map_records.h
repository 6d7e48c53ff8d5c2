// SPDX-License-Identifier: Apache-2.0
// Replays the device-map goldens: one record in, the first difference from what the reference answered out.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "bigmodel/model/graph_json.h"

namespace bigmodel::test {

/// id -> tree, of a trees.jsonl file.
using Trees = std::map<std::string, GraphJson>;

/// Each answers "" where results, exceptions, warnings and log agree.
std::string infer_difference(const Trees& trees, const nlohmann::ordered_json& record);
std::string balanced_difference(const Trees& trees, const nlohmann::ordered_json& record);
std::string module_sizes_difference(const Trees& trees, const nlohmann::ordered_json& record);
std::string maximum_sizes_difference(const Trees& trees, const nlohmann::ordered_json& record);
std::string ties_difference(const Trees& trees, const nlohmann::ordered_json& record);
std::string check_difference(const Trees& trees, const nlohmann::ordered_json& record);

}  // namespace bigmodel::test
