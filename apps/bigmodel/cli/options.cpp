// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/core/suggestion.h"

namespace bigmodel::app {
namespace {

std::string shown(const OptionSpec& option) {
  const bool positional = std::isupper(static_cast<unsigned char>(option.name[0])) != 0;
  return positional ? std::string(option.name) : fmt::format("--{}", option.name);
}

[[noreturn]] void refuse(const OptionSpec& option, std::string_view expected, std::string_view got, std::string hint) {
  throw UsageError(fmt::format("{}: not a valid value, expected {}, got '{}'", shown(option), expected, got),
                   std::move(hint));
}

std::int64_t parse_integer(const OptionSpec& option, std::string_view text) {
  const std::optional<std::int64_t> out = parse_number<std::int64_t>(text);
  if (out && *out < 0) refuse(option, "a whole number of 0 or more", text, {});
  if (!out && !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) refuse(option, "a number below 2^63", text, {});
  if (!out) refuse(option, "a whole number", text, {});
  return *out;
}

double parse_number(const OptionSpec& option, std::string_view text) {
  const std::optional<double> out = bigmodel::parse_number<double>(text);
  if (!out || !std::isfinite(*out)) refuse(option, "a number", text, {});
  return *out;
}

DType parse_dtype(const OptionSpec& option, std::string_view text) {
  if (const std::optional<DType> dtype = find_dtype(text)) return *dtype;
  std::vector<std::string> known;
  for (const DType dtype : all_dtypes()) known.emplace_back(name(dtype));
  std::string hint = did_you_mean(text, known);
  if (hint.empty()) hint = "such as float32, float16, bfloat16, int8 or int4";
  refuse(option, "a dtype", text, std::move(hint));
}

void check(const OptionSpec& option, const std::string& text) {
  switch (option.kind) {
    case ValueKind::integer: parse_integer(option, text); return;
    case ValueKind::number: parse_number(option, text); return;
    case ValueKind::size: parse_byte_size(text, shown(option)); return;
    case ValueKind::dtype: parse_dtype(option, text); return;
    case ValueKind::flag:
    case ValueKind::text:
    case ValueKind::choice:
    case ValueKind::path:
    case ValueKind::model: break;
  }
  if (text.empty()) refuse(option, "some text", text, {});
  if (option.choices.empty() || option.open_choices) return;
  if (std::ranges::find(option.choices, text) != option.choices.end()) return;
  const std::vector<std::string> known(option.choices.begin(), option.choices.end());
  refuse(option, fmt::format("{}", fmt::join(option.choices, "|")), text, did_you_mean(text, known));
}

}  // namespace

std::optional<bool> parse_boolean(std::string_view text) {
  std::string upper;
  for (const char c : text) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE") return true;
  if (upper == "0" || upper == "OFF" || upper == "NO" || upper == "FALSE") return false;
  return std::nullopt;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    if (!part.empty()) out.emplace_back(part);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  return out;
}

const OptionSpec& Options::spec(std::string_view name) const {
  const OptionSpec* found = find_option(command_, name);
  if (found == nullptr && command_ != nullptr) {
    for (const OptionSpec& positional : command_->positionals) {
      if (positional.name == name) found = &positional;
    }
  }
  BIGMODEL_ASSERT(found != nullptr && "a command asked for an option that its table row lacks");
  return *found;
}

void Options::set(const OptionSpec& option, GivenValue value) {
  if (option.kind != ValueKind::flag) {
    if (option.list != ListStyle::single) {
      std::vector<std::string> parts;
      for (const std::string& text : value.texts) {
        for (std::string& part : split_list(text)) parts.push_back(std::move(part));
      }
      if (parts.empty()) refuse(option, "at least one value", value.texts.empty() ? "" : value.texts.front(), {});
      value.texts = std::move(parts);
    } else if (!option.repeated && value.texts.size() > 1) {
      value.texts.erase(value.texts.begin(), value.texts.end() - 1);
    }
    for (const std::string& text : value.texts) check(option, text);
  }
  values_.insert_or_assign(std::string(option.name), std::move(value));
}

bool Options::flag(std::string_view name) const {
  const auto it = values_.find(name);
  return it != values_.end() && !it->second.texts.empty() && it->second.texts.back() == "true";
}

bool Options::given(std::string_view name) const { return values_.find(name) != values_.end(); }

std::optional<std::string> Options::find_text(std::string_view name) const {
  if (const auto it = values_.find(name); it != values_.end() && !it->second.texts.empty()) {
    return it->second.texts.back();
  }
  const OptionSpec& option = spec(name);
  if (option.default_text.empty()) return std::nullopt;
  return std::string(option.default_text);
}

std::string Options::text(std::string_view name) const {
  std::optional<std::string> found = find_text(name);
  BIGMODEL_ASSERT(found.has_value());
  return *std::move(found);
}

std::vector<std::string> Options::list(std::string_view name) const {
  if (const auto it = values_.find(name); it != values_.end()) return it->second.texts;
  std::string text(spec(name).default_text);
  std::ranges::replace(text, ' ', ',');
  return split_list(text);
}

std::optional<std::int64_t> Options::find_integer(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  if (!text) return std::nullopt;
  return parse_integer(spec(name), *text);
}

std::optional<double> Options::find_number(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  if (!text) return std::nullopt;
  return parse_number(spec(name), *text);
}

std::optional<std::uint64_t> Options::find_size_bytes(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  if (!text) return std::nullopt;
  return parse_byte_size(*text, fmt::format("--{}", name));
}

std::optional<DType> Options::find_dtype_value(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  if (!text) return std::nullopt;
  return parse_dtype(spec(name), *text);
}

std::vector<DType> Options::dtypes(std::string_view name) const {
  std::vector<DType> out;
  for (const std::string& text : list(name)) out.push_back(parse_dtype(spec(name), text));
  return out;
}

}  // namespace bigmodel::app
