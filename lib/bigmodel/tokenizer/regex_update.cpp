// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/regex_update.h"

#include <fmt/format.h>
#include <oniguruma.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "bigmodel/tokenizer/unicode_tables.h"

namespace bigmodel::tokenizer {
namespace {

/// Since 6.9.10 the engine itself knows Unicode 16.0.
bool engine_is_current() {
  int major = 0, minor = 0, patch = 0;
  if (std::sscanf(onig_version(), "%d.%d.%d", &major, &minor, &patch) != 3) return false;
  return major > 6 || (major == 6 && (minor > 9 || (minor == 9 && patch >= 10)));
}

std::string ranges_text(std::span<const CodePointRange> ranges) {
  std::string out;
  for (const CodePointRange& r : ranges) {
    out += fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(r.first));
    if (r.last != r.first) out += fmt::format("-\\x{{{:x}}}", static_cast<std::uint32_t>(r.last));
  }
  return out;
}

const PropertyUpdate* update_of(std::string_view name) {
  const auto updates = tables::property_updates();
  const auto it = std::ranges::find(updates, name, &PropertyUpdate::name);
  return it == updates.end() ? nullptr : &*it;
}

/// A bare \w asks a table of Latin-1 for the first 256 code points, and there superscripts and fractions are word characters;
/// between brackets they are not.
constexpr std::string_view kBareWords = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

/// The class `old` (such as \p{L}) at Unicode 16.0, as a bracket expression.
std::string updated(const PropertyUpdate& update, std::string_view old, bool negated, std::string_view more = {}) {
  const std::string kept = update.lost.empty() ? std::string(old) : fmt::format("[{}&&[^{}]]", old, ranges_text(update.lost));
  return fmt::format("[{}{}{}{}]", negated ? "^" : "", kept, ranges_text(update.gained), more);
}

class Rewriter {
 public:
  explicit Rewriter(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) {
      const std::string_view rest = in_.substr(at_);
      if (rest.starts_with("\\")) {
        escape(rest);
      } else if (depth_ == 0 && rest.starts_with("(?#")) {
        copy(std::min(rest.find(')'), rest.size() - 1) + 1);
      } else if (depth_ > 0 && rest.starts_with("[:")) {
        posix(rest);
      } else if (rest[0] == '[') {
        open(rest);
      } else {
        if (rest[0] == ']' && depth_ > 0) --depth_;
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  void copy(std::size_t size) {
    out_ += in_.substr(at_, size);
    at_ += std::min(size, in_.size() - at_);
  }

  void open(std::string_view rest) {
    ++depth_;
    const std::size_t head = rest.starts_with("[^") ? 2 : 1;
    // A bracket right at the beginning stands for itself.
    const bool literal = rest.size() > head && rest[head] == ']' && rest.find(']', head + 1) != std::string_view::npos;
    copy(head + (literal ? 1 : 0));
  }

  void posix(std::string_view rest) {
    const std::size_t end = rest.find(":]");
    if (end == std::string_view::npos || end > 20) {
      open(rest);
      return;
    }
    std::string_view name = rest.substr(2, end - 2);
    const bool negated = name.starts_with("^");
    if (negated) name.remove_prefix(1);
    if (const PropertyUpdate* update = update_of(fmt::format("posix:{}", name))) {
      out_ += updated(*update, fmt::format("[:{}:]", name), negated);
      at_ += end + 2;
    } else {
      copy(end + 2);
    }
  }

  void escape(std::string_view rest) {
    if (rest.size() < 2) {
      copy(1);
      return;
    }
    const char c = rest[1];
    if (c == 'w' || c == 'W' || c == 'd' || c == 'D') {
      const bool negated = c == 'W' || c == 'D';
      const std::string plain = c == 'w' || c == 'W' ? "\\w" : "\\d";
      out_ += updated(*update_of(plain), plain, negated, depth_ == 0 && plain == "\\w" ? kBareWords : std::string_view());
      at_ += 2;
    } else if (depth_ == 0 && (c == 'b' || c == 'B')) {
      const std::string word = updated(*update_of("\\w"), "\\w", false, kBareWords);
      out_ += c == 'b' ? fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word) : fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word);
      at_ += 2;
    } else if ((c == 'p' || c == 'P') && rest.size() > 2 && rest[2] == '{') {
      property(rest);
    } else {
      copy(2);
    }
  }

  void property(std::string_view rest) {
    const std::size_t end = rest.find('}');
    if (end == std::string_view::npos) {
      copy(2);
      return;
    }
    std::string_view name = rest.substr(3, end - 3);
    bool negated = rest[1] == 'P';
    if (name.starts_with("^")) {
      negated = !negated;
      name.remove_prefix(1);
    }
    std::string plain;
    for (const char c : name) {
      if (c == ' ' || c == '_' || c == '-') continue;
      plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    const PropertyUpdate* update = update_of(plain);
    if (update == nullptr) {
      copy(end + 1);
      return;
    }
    out_ += updated(*update, fmt::format("\\p{{{}}}", name), negated);
    at_ += end + 1;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string out_;
};

}  // namespace

std::string update_classes(std::string_view pattern) {
  if (engine_is_current()) return std::string(pattern);
  return Rewriter(pattern).run();
}

}  // namespace bigmodel::tokenizer
