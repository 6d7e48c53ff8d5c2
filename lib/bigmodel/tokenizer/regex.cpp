// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/regex.h"

#include <fmt/format.h>
#include <oniguruma.h>

#include <array>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/regex_update.h"

namespace bigmodel::tokenizer {
namespace {

constexpr std::size_t kLongestPattern = std::size_t{1} << 16;
/// Oniguruma's own limit for one start; a whole search may take so many times a start.
constexpr unsigned long kStepsInMatch = 10'000'000;
constexpr unsigned long kStepsInSearch = 40'000'000;
constexpr unsigned int kMatchStack = 20'000'000;

const OnigUChar* bytes(const char* p) { return reinterpret_cast<const OnigUChar*>(p); }

std::string onig_message(int code, OnigErrorInfo* info = nullptr) {
  std::array<OnigUChar, ONIG_MAX_ERROR_MESSAGE_LEN> buffer{};
  const int size = info == nullptr ? onig_error_code_to_str(buffer.data(), code) : onig_error_code_to_str(buffer.data(), code, info);
  return {reinterpret_cast<const char*>(buffer.data()), static_cast<std::size_t>(size)};
}

bool is_special(char c) { return std::string_view("\\.+*?()|[]{}^$#&-~").find(c) != std::string_view::npos; }

}  // namespace

struct Regex::Compiled {
  OnigRegex regex = nullptr;

  explicit Compiled(const std::string& pattern) {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
    const std::string updated = update_classes(pattern);
    OnigErrorInfo info{};
    const int code = onig_new(&regex, bytes(updated.data()), bytes(updated.data() + updated.size()), ONIG_OPTION_NONE,
                              ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
    if (code != ONIG_NORMAL) {
      throw FormatError(fmt::format("regular expression '{}': {}", pattern.substr(0, 120), onig_message(code, &info)));
    }
  }
  ~Compiled() { onig_free(regex); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
};

Regex::Regex(std::string pattern) : pattern_(std::move(pattern)) {
  if (pattern_.size() > kLongestPattern) {
    throw UnsupportedError(fmt::format("regular expression of {} bytes, expected at most {}", pattern_.size(), kLongestPattern));
  }
  compiled_ = std::make_shared<const Compiled>(pattern_);
}

Regex Regex::of_literal(std::string_view text) {
  std::string pattern;
  for (const char c : text.substr(0, kLongestPattern)) {
    if (is_special(c)) pattern += '\\';
    pattern += c;
  }
  Regex out(std::move(pattern));
  out.literal_ = text;
  return out;
}

void split_literal(std::string_view text, std::string_view wanted, std::vector<Match>& out) {
  std::size_t done = 0;
  for (std::size_t at = text.find(wanted); at != std::string_view::npos; at = text.find(wanted, done)) {
    if (at > done) out.push_back({static_cast<std::uint32_t>(done), static_cast<std::uint32_t>(at), false});
    done = at + wanted.size();
    out.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(done), true});
  }
  if (done < text.size()) out.push_back({static_cast<std::uint32_t>(done), static_cast<std::uint32_t>(text.size()), false});
}

void Regex::split(std::string_view text, std::vector<Match>& out) const {
  out.clear();
  if (text.empty()) {
    out.push_back({0, 0, false});
    return;
  }
  if (!literal_.empty()) {
    split_literal(text, literal_, out);
    return;
  }
  struct Region {
    OnigRegion* p = onig_region_new();
    ~Region() { onig_region_free(p, 1); }
  } region;
  struct Limits {
    OnigMatchParam* p = onig_new_match_param();
    ~Limits() { onig_free_match_param(p); }
  } limits;
  if (region.p == nullptr || limits.p == nullptr) throw std::bad_alloc();
  onig_initialize_match_param(limits.p);
  onig_set_retry_limit_in_match_of_match_param(limits.p, kStepsInMatch);
  onig_set_retry_limit_in_search_of_match_param(limits.p, kStepsInSearch);
  onig_set_match_stack_limit_size_of_match_param(limits.p, kMatchStack);
  const OnigUChar* begin = bytes(text.data());
  const OnigUChar* end = begin + text.size();
  std::size_t from = 0, previous = 0;
  std::size_t last_match_end = std::string_view::npos;
  while (from <= text.size()) {
    const int at = onig_search_with_param(compiled_->regex, begin, end, begin + from, end, region.p, ONIG_OPTION_NONE, limits.p);
    if (at == ONIG_MISMATCH) break;
    if (at < 0) {
      throw UnsupportedError(fmt::format("regular expression '{}': {} after {} of {} bytes", pattern_.substr(0, 120), onig_message(at),
                                         from, text.size()));
    }
    const auto match_begin = static_cast<std::size_t>(region.p->beg[0]);
    const auto match_end = static_cast<std::size_t>(region.p->end[0]);
    // An empty match right after the last one would never end.
    if (match_begin == match_end && last_match_end == match_end) {
      from += from < text.size() ? utf8_length(text[from]) : 1;
      continue;
    }
    from = last_match_end = match_end;
    if (previous != match_begin) out.push_back({static_cast<std::uint32_t>(previous), static_cast<std::uint32_t>(match_begin), false});
    out.push_back({static_cast<std::uint32_t>(match_begin), static_cast<std::uint32_t>(match_end), true});
    previous = match_end;
  }
  if (previous != text.size()) out.push_back({static_cast<std::uint32_t>(previous), static_cast<std::uint32_t>(text.size()), false});
}

}  // namespace bigmodel::tokenizer
