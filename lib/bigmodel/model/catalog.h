// SPDX-License-Identifier: Apache-2.0
// Well-known models that work without a network: the structural keys of their config.json, embedded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

struct CatalogEntry {
  std::string name;                     ///< repository id as people type it
  std::vector<std::string> aliases;     ///< other ids of a model of the same structure
  std::string class_name;               ///< "auto" or "base": the class that the total below belongs to
  std::int64_t parameters = 0;          ///< of that class, as the reference builds it
  std::optional<std::int64_t> published_parameters;  ///< where the published total differs
  std::string note;                     ///< why it differs
  std::string source;                   ///< where the config comes from
  std::string parameters_source;        ///< where the total comes from
  std::string config;                   ///< JSON
};

/// By name or alias; a bare name is also found under its organisation's id and the other way round (aliases).
std::optional<CatalogEntry> find_catalog_entry(std::string_view name);

/// All entries, in file order.
std::vector<CatalogEntry> catalog();

/// Names and aliases, for suggestions.
std::vector<std::string> catalog_names();

}  // namespace bigmodel
