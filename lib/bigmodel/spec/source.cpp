// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/source.h"

#include <fmt/format.h>

namespace bigmodel::spec {
namespace {

constexpr std::size_t kLongestExcerpt = 160;

std::string with_place(const std::string& what, const Place& place) {
  if (place.source == nullptr) return what;
  return fmt::format("{}:{}:{}: {}", place.source->name, place.line, place.column, what);
}

std::string excerpt_of(const Place& place) {
  if (place.source == nullptr || place.line == 0 || place.source->owned == nullptr) return {};
  std::string_view text = place.source->text;
  for (std::uint32_t line = 1; line < place.line; ++line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n')).substr(0, kLongestExcerpt);
  const std::size_t column = place.column == 0 ? 0 : std::min<std::size_t>(place.column - 1, text.size());
  return fmt::format("    {}\n    {}^", text, std::string(column, ' '));
}

}  // namespace

SpecError::SpecError(std::string what, const Place& place, std::string hint)
    : FormatError(with_place(what, place), std::move(hint)),
      plain_(std::move(what)),
      excerpt_(excerpt_of(place)),
      place_(place) {}

}  // namespace bigmodel::spec
