// SPDX-License-Identifier: Apache-2.0
// Checks JSON against the subset of JSON Schema that schemas/ uses. An unknown keyword is a fault, so that no rule of a
// schema is silently skipped.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bigmodel::test {

/// Faults as "/path: what"; empty where the value conforms.
std::vector<std::string> schema_faults(const nlohmann::json& schema, const nlohmann::json& value);

/// The schema schemas/NAME.schema.json of this repository.
nlohmann::json load_schema(const std::string& name);

/// Faults of a text that should be one JSON value, as one string; empty where it conforms.
std::string faults_of(const std::string& schema_name, const std::string& text);

}  // namespace bigmodel::test
