// SPDX-License-Identifier: Apache-2.0
#include "render/format.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"

namespace bigmodel::app {
namespace {

Format parse_format(const std::string& text) {
  if (text == "json") return Format::json;
  if (text == "jsonl") return Format::jsonl;
  if (text == "csv") return Format::csv;
  if (text == "markdown") return Format::markdown;
  if (text == "accelerate") return Format::accelerate;
  return Format::table;
}

}  // namespace

Format output_format(const Options& options) {
  const CommandSpec* command = options.command();
  const bool has_format =
      command != nullptr && std::ranges::find(command->options, "format", &OptionSpec::name) != command->options.end();
  if (!has_format) return options.flag("json") ? Format::json : Format::table;
  if (!options.flag("json")) return parse_format(options.text("format"));
  if (!options.given("format")) return Format::json;
  const Format format = parse_format(options.text("format"));
  if (format == Format::json || format == Format::jsonl) return format;
  const Origin of_json = options.values().find("json")->second.origin;
  const Origin of_format = options.values().find("format")->second.origin;
  if (of_format < of_json) return format;
  if (of_json < of_format) return Format::json;
  throw UsageError(fmt::format("--json: contradicts --format {}", options.text("format")), "give one of them");
}

OptionSpec format_option(std::vector<std::string_view> choices) {
  return {.name = "format",
          .letter = 'f',
          .kind = ValueKind::choice,
          .value_name = "FORMAT",
          .help = "how the result is printed",
          .default_text = "table",
          .choices = std::move(choices)};
}

}  // namespace bigmodel::app
