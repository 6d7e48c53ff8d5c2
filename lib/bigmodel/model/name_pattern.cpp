// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/name_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::size_t kMostSteps = 4096;
constexpr std::size_t kMostWork = std::size_t{1} << 16;  ///< steps written, those of repeated parts that are written again included
constexpr std::size_t kMostBytes = 4096;
constexpr int kMostNesting = 32;
constexpr int kMostRepeats = 256;

using ByteSet = std::bitset<256>;

ByteSet range_set(char first, char last) {
  ByteSet out;
  for (int c = static_cast<unsigned char>(first); c <= static_cast<unsigned char>(last); ++c) out.set(static_cast<std::size_t>(c));
  return out;
}

ByteSet word_set() { return range_set('a', 'z') | range_set('A', 'Z') | range_set('0', '9') | range_set('_', '_'); }

bool is_word(std::string_view name, std::size_t at) { return at < name.size() && word_set().test(static_cast<unsigned char>(name[at])); }

bool is_plain(std::string_view text) { return text.find_first_of("\\.*+?|()[]{}^$") == std::string_view::npos; }

}  // namespace

/// Recursive descent that writes steps; a repeated part is parsed again for each of its copies.
class NameRegexParser {
 public:
  NameRegexParser(std::string_view text, NameRegex& out) : text_(text), out_(out) {}

  void parse() {
    alternatives();
    if (at_ < text_.size()) fail("an unmatched ')'");
    emit({.op = NameRegex::Op::match});
  }

 private:
  using Op = NameRegex::Op;
  using Step = NameRegex::Step;

  [[noreturn]] void fail(std::string_view what) const {
    throw UnsupportedError(fmt::format("pattern '{}': {} at {}, which is not understood", text_, what, at_));
  }

  std::uint32_t here() const { return static_cast<std::uint32_t>(out_.steps_.size()); }

  std::uint32_t emit(Step step) {
    if (out_.steps_.size() >= kMostSteps || ++work_ > kMostWork) fail("more steps than are taken");
    out_.steps_.push_back(step);
    return here() - 1;
  }

  void emit_set(const ByteSet& set) {
    out_.classes_.push_back(set);
    emit({.op = Op::set, .a = static_cast<std::uint32_t>(out_.classes_.size() - 1)});
  }

  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }

  char next() {
    if (at_ >= text_.size()) fail("an early end");
    return text_[at_++];
  }

  void alternatives() {
    if (++nesting_ > kMostNesting) fail("nesting");
    std::vector<std::uint32_t> done;
    while (true) {
      const std::uint32_t split = emit({.op = Op::split});
      out_.steps_[split].a = out_.steps_[split].b = split + 1;
      while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') repeated();
      if (!take("|")) break;
      done.push_back(emit({.op = Op::jump}));
      out_.steps_[split].b = here();
    }
    for (const std::uint32_t jump : done) out_.steps_[jump].a = here();
    --nesting_;
  }

  void repeated() {
    const std::size_t from = at_;
    const std::uint32_t start = here();
    atom();
    int least = 1, most = 1;
    const std::size_t after_atom = at_;
    if (take("*")) {
      least = 0, most = -1;
    } else if (take("+")) {
      most = -1;
    } else if (take("?")) {
      least = 0;
    } else if (at_ < text_.size() && text_[at_] == '{' && !counts(least, most)) {
      at_ = after_atom;
    }
    if (at_ == after_atom) return;
    take("?");  // lazy or not: the same names match
    const std::size_t after = at_;
    out_.steps_.resize(start);
    const auto again = [&] {
      at_ = from;
      atom();
    };
    for (int i = 0; i < least; ++i) again();
    if (most < 0) {
      const std::uint32_t split = emit({.op = Op::split});
      out_.steps_[split].a = here();
      again();
      emit({.op = Op::jump, .a = split});
      out_.steps_[split].b = here();
    } else {
      std::vector<std::uint32_t> splits;
      for (int i = least; i < most; ++i) {
        splits.push_back(emit({.op = Op::split}));
        out_.steps_[splits.back()].a = here();
        again();
      }
      for (const std::uint32_t split : splits) out_.steps_[split].b = here();
    }
    at_ = after;
  }

  std::optional<int> number() {
    int value = 0;
    const std::size_t from = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = value * 10 + (text_[at_++] - '0');
      if (value > kMostRepeats) fail("a repetition");
    }
    return at_ == from ? std::nullopt : std::optional(value);
  }

  /// "{3}", "{1,}", "{,4}", "{1,4}"; anything else is text.
  bool counts(int& least, int& most) {
    ++at_;
    const std::optional<int> first = number();
    const bool range = take(",");
    const std::optional<int> second = range ? number() : first;
    if (!take("}") || (!first && !second)) return false;
    least = first.value_or(0);
    most = second.value_or(-1);
    if (most >= 0 && most < least) fail("a repetition");
    return true;
  }

  void atom() {
    const char c = next();
    switch (c) {
      case '(': return group();
      case '[': return emit_set(char_class());
      case '.': return emit_set(~range_set('\n', '\n'));
      case '^': emit({.op = Op::begin}); return;
      case '$': emit({.op = Op::end}); return;
      case '\\': return escape();
      case '*':
      case '+':
      case '?': --at_; fail("a repetition of nothing");
      default: return emit_set(range_set(c, c));
    }
  }

  void group() {
    const bool ahead = take("?=");
    const bool not_ahead = !ahead && take("?!");
    if (ahead || not_ahead) {
      const std::uint32_t look = emit({.op = Op::look, .negative = not_ahead});
      out_.steps_[look].a = here();
      alternatives();
      emit({.op = Op::match});
      out_.steps_[look].b = here();
    } else {
      if (!take("?:") && take("?")) {
        if (!take("P<")) fail("a kind of group");
        while (next() != '>') {}
      }
      alternatives();
    }
    if (!take(")")) fail("an unmatched '('");
  }

  std::optional<ByteSet> class_escape(char c) {
    switch (c) {
      case 'd': return range_set('0', '9');
      case 'D': return ~range_set('0', '9');
      case 'w': return word_set();
      case 'W': return ~word_set();
      case 's': return range_set(' ', ' ') | range_set('\t', '\r');
      case 'S': return ~(range_set(' ', ' ') | range_set('\t', '\r'));
      default: return std::nullopt;
    }
  }

  void escape() {
    const char c = next();
    if (const auto set = class_escape(c)) return emit_set(*set);
    if (c == 'b' || c == 'B') {
      emit({.op = Op::word_edge, .negative = c == 'B'});
      return;
    }
    if (c == 'A' || c == 'Z') {
      emit({.op = c == 'A' ? Op::begin : Op::end});
      return;
    }
    if (is_word(std::string_view(&c, 1), 0) && c != '_') fail("an escape");
    emit_set(range_set(c, c));
  }

  ByteSet char_class() {
    const bool negative = take("^") || take("!");
    ByteSet set;
    bool first = true;
    while (first || at_ >= text_.size() || text_[at_] != ']') {
      first = false;
      char low = next();
      if (low == '\\') {
        low = next();
        if (const auto more = class_escape(low)) {
          set |= *more;
          continue;
        }
      }
      char high = low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        ++at_;
        high = next();
        if (high == '\\') high = next();
      }
      set |= range_set(low, high);
    }
    ++at_;
    return negative ? ~set : set;
  }

  std::string_view text_;
  NameRegex& out_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  std::size_t work_ = 0;
};

NameRegex::NameRegex(std::string_view pattern) { NameRegexParser(pattern, *this).parse(); }

std::vector<std::size_t> NameRegex::ends(std::string_view name) const {
  return name.size() > kMostBytes ? std::vector<std::size_t>{} : run(0, name, 0);
}

std::vector<std::size_t> NameRegex::run(std::uint32_t start, std::string_view name, std::size_t from) const {
  std::vector<std::size_t> out;
  std::vector<std::uint32_t> now{start}, next, pending;
  std::vector<std::size_t> seen(steps_.size(), SIZE_MAX);
  for (std::size_t at = from; at <= name.size() && !now.empty(); ++at) {
    pending = now;
    next.clear();
    while (!pending.empty()) {
      const std::uint32_t s = pending.back();
      pending.pop_back();
      if (seen[s] == at) continue;
      seen[s] = at;
      const Step& step = steps_[s];
      switch (step.op) {
        case Op::set:
          if (at < name.size() && classes_[step.a].test(static_cast<unsigned char>(name[at]))) next.push_back(s + 1);
          break;
        case Op::split: pending.push_back(step.a); pending.push_back(step.b); break;
        case Op::jump: pending.push_back(step.a); break;
        case Op::begin: if (at == 0) pending.push_back(s + 1); break;
        case Op::end: if (at == name.size()) pending.push_back(s + 1); break;
        case Op::word_edge:
          if (((at > 0 && is_word(name, at - 1)) != is_word(name, at)) != step.negative) pending.push_back(s + 1);
          break;
        case Op::look:
          if (run(step.a, name, at).empty() == step.negative) pending.push_back(step.b);
          break;
        case Op::match: if (out.empty() || out.back() != at) out.push_back(at); break;
      }
    }
    now.swap(next);
  }
  return out;
}

NamePattern NamePattern::exact(std::string text) { return {Kind::exact, std::move(text)}; }

NamePattern NamePattern::module(std::string text) {
  NamePattern out(Kind::module, std::move(text));
  if (is_plain(out.text_)) return out;
  try {
    out.regex_.emplace_back(out.text_);
  } catch (const UnsupportedError&) {
    // Python would raise where the reference compiles it; as a plain name it still says what it means.
  }
  return out;
}

NamePattern NamePattern::target(std::string text) {
  return text.starts_with("re:") ? regex(std::string_view(text).substr(3)) : exact(std::move(text));
}

NamePattern NamePattern::wildcard(std::string_view text) {
  std::string pattern;
  bool in_class = false;
  for (const char c : text) {
    if (in_class) {
      pattern += c;
      in_class = c != ']';
    } else if (c == '*') {
      pattern += ".*";
    } else if (c == '?') {
      pattern += '.';
    } else {
      in_class = c == '[';
      if (!in_class && !is_plain({&c, 1})) pattern += '\\';
      pattern += c;
    }
  }
  NamePattern out(Kind::whole, std::string(text));
  out.regex_.emplace_back(pattern);
  return out;
}

NamePattern NamePattern::regex(std::string_view text) {
  NamePattern out(Kind::start, std::string(text));
  out.regex_.emplace_back(text);
  return out;
}

bool NamePattern::matches(std::string_view name) const {
  switch (kind_) {
    case Kind::exact: return name == text_;
    case Kind::start: return !regex_.front().ends(name).empty();
    case Kind::whole: {
      const std::vector<std::size_t> ends = regex_.front().ends(name);
      return !ends.empty() && ends.back() == name.size();
    }
    case Kind::module: break;
  }
  if (name.ends_with(text_)) return true;
  const auto at_boundary = [&](std::size_t end) { return end == name.size() || name[end] == '.' || (end > 0 && name[end - 1] == '.'); };
  if (regex_.empty()) return name.starts_with(text_) && at_boundary(text_.size());
  return std::ranges::any_of(regex_.front().ends(name), at_boundary);
}

}  // namespace bigmodel
