// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/catalog.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "bigmodel/core/embedded_file.h"
#include "bigmodel/core/error.h"

namespace bigmodel {

namespace embedded {
std::vector<EmbeddedFile> catalog_files();
}

namespace {

using Json = nlohmann::ordered_json;

/// Calls `line` until it returns false. The file is ours, one JSON object a line.
void for_each_line(const std::function<bool(std::string_view)>& line) {
  std::string_view rest = embedded::catalog_files().front().content;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (end > 0 && !line(rest.substr(0, end))) return;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

CatalogEntry parsed(std::string_view line) {
  const Json json = Json::parse(line);
  CatalogEntry out;
  out.name = json.at("name");
  if (json.contains("aliases")) out.aliases = json["aliases"].get<std::vector<std::string>>();
  out.class_name = json.at("class");
  out.parameters = json.at("parameters");
  if (json.contains("published_parameters")) out.published_parameters = json["published_parameters"].get<std::int64_t>();
  if (json.contains("note")) out.note = json["note"];
  out.source = json.at("source");
  out.parameters_source = json.at("parameters_source");
  out.config = json.at("config").dump();
  return out;
}

}  // namespace

std::optional<CatalogEntry> find_catalog_entry(std::string_view name) {
  std::optional<CatalogEntry> out;
  // Only a line that mentions the quoted name is parsed: the program answers in milliseconds.
  const std::string quoted = '"' + std::string(name) + '"';
  for_each_line([&](std::string_view line) {
    if (line.find(quoted) == std::string_view::npos) return true;
    CatalogEntry entry = parsed(line);
    if (entry.name != name && std::ranges::find(entry.aliases, name) == entry.aliases.end()) return true;
    out = std::move(entry);
    return false;
  });
  return out;
}

std::vector<CatalogEntry> catalog() {
  std::vector<CatalogEntry> out;
  for_each_line([&out](std::string_view line) {
    out.push_back(parsed(line));
    return true;
  });
  return out;
}

std::vector<std::string> catalog_names() {
  std::vector<std::string> out;
  for (const CatalogEntry& entry : catalog()) {
    out.push_back(entry.name);
    out.insert(out.end(), entry.aliases.begin(), entry.aliases.end());
  }
  return out;
}

}  // namespace bigmodel
