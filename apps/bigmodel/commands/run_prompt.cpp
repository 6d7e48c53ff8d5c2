// SPDX-License-Identifier: Apache-2.0
#include "commands/run_prompt.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::int64_t> row_of(const Json& json, const std::string& object) {
  if (!json.is_array()) throw FormatError(fmt::format("{}: expected a list of ids, got {}", object, json.type_name()));
  std::vector<std::int64_t> out;
  for (const Json& id : json) {
    if (!id.is_number_integer() || (id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX)) {
      throw FormatError(fmt::format("{}: expected an id, got {}", object, id.dump().substr(0, 40)));
    }
    out.push_back(id.get<std::int64_t>());
  }
  return out;
}

std::vector<std::vector<std::int64_t>> rows_of(const Json& json, const std::string& object) {
  if (json.is_array() && !json.empty() && !json.front().is_array()) return {row_of(json, object)};
  if (!json.is_array()) throw FormatError(fmt::format("{}: expected a list of lists of ids, got {}", object, json.type_name()));
  std::vector<std::vector<std::int64_t>> out;
  for (const Json& row : json) out.push_back(row_of(row, object));
  return out;
}

}  // namespace

std::vector<std::int64_t> parse_ids(std::string_view text, std::string_view option) {
  std::vector<std::int64_t> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), id);
    if (error != std::errc{} || end != part.data() + part.size()) {
      throw UsageError(fmt::format("{}: expected ids such as 1,15,7, got '{}'", option, part.substr(0, 40)));
    }
    out.push_back(id);
  }
  return out;
}

TokenBatch parse_ids_json(std::string_view text, const std::string& object, std::int64_t pad_id) {
  const Json json = parse_json(text, object);
  if (!json.is_object()) return pad_left(rows_of(json, object), pad_id);
  if (!json.contains("input_ids")) throw FormatError(fmt::format("{}: has no input_ids", object));
  const auto rows = rows_of(json["input_ids"], object);
  if (!json.contains("attention_mask")) return pad_left(rows, pad_id);
  const auto mask = rows_of(json["attention_mask"], object);
  TokenBatch out;
  out.rows = static_cast<std::int64_t>(rows.size());
  if (rows.empty() || rows.front().empty()) throw UsageError(fmt::format("{}: there are no ids", object));
  out.length = static_cast<std::int64_t>(rows.front().size());
  if (mask.size() != rows.size()) throw FormatError(fmt::format("{}: attention_mask has {} rows, expected {}", object, mask.size(), rows.size()));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].size() != rows.front().size() || mask[r].size() != rows.front().size()) {
      throw FormatError(fmt::format("{}: row {} has {} ids and {} mask values, expected {} of both", object, r, rows[r].size(), mask[r].size(), out.length));
    }
    if (mask[r].back() == 0) throw UsageError(fmt::format("{}: row {} is padded on the right", object, r), "pad prompts on the left");
    out.ids.insert(out.ids.end(), rows[r].begin(), rows[r].end());
    for (const std::int64_t m : mask[r]) out.valid.push_back(m != 0 ? 1 : 0);
  }
  return out;
}

}  // namespace bigmodel::app
