// SPDX-License-Identifier: Apache-2.0
// Decompositions come from utf8proc, cut back to what Unicode 9.0 had; ordering and composition follow UAX #15.
#include "bigmodel/tokenizer/unicode_normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "bigmodel/tokenizer/unicode_class.h"

namespace bigmodel::tokenizer {
namespace {

struct Ordered {
  char32_t c = 0;
  int change = 0;
  int combining_class = 0;
};

int combining_class(char32_t c) {
  if (c < 0x300 || !is_in(c, CharClass::assigned_9)) return 0;
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

constexpr char32_t kHangulS = 0xAC00, kHangulL = 0x1100, kHangulV = 0x1161, kHangulT = 0x11A7;
constexpr char32_t kHangulLCount = 19, kHangulVCount = 21, kHangulTCount = 28;
constexpr char32_t kHangulSCount = kHangulLCount * kHangulVCount * kHangulTCount;

/// 0 where the pair does not compose.
char32_t compose(char32_t a, char32_t b) {
  if (a - kHangulL < kHangulLCount && b - kHangulV < kHangulVCount) {
    return kHangulS + ((a - kHangulL) * kHangulVCount + (b - kHangulV)) * kHangulTCount;
  }
  if (a - kHangulS < kHangulSCount && (a - kHangulS) % kHangulTCount == 0 && b - kHangulT - 1 < kHangulTCount - 1) {
    return a + (b - kHangulT);
  }
  if (b < 0x300) return 0;
  if (!is_in(a, CharClass::assigned_9) || !is_in(b, CharClass::assigned_9)) return 0;
  std::array<utf8proc_int32_t, 2> pair{static_cast<utf8proc_int32_t>(a), static_cast<utf8proc_int32_t>(b)};
  const auto length = utf8proc_normalize_utf32(pair.data(), 2, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  if (length != 1) return 0;
  const auto made = static_cast<char32_t>(pair[0]);
  return is_in(made, CharClass::assigned_9) ? made : 0;
}

/// Decomposes into canonical order; the first character of each source character has change 0, the others 1.
void decompose(std::string_view text, bool compatibility, std::vector<Ordered>& out) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatibility ? UTF8PROC_COMPAT : 0));
  std::size_t sorted_until = 0;
  const auto sort_pending = [&] {
    std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(sorted_until), out.end(),
                     [](const Ordered& a, const Ordered& b) { return a.combining_class < b.combining_class; });
    sorted_until = out.size();
  };
  const auto push = [&](char32_t c, int change) {
    const int k = combining_class(c);
    // Starters stay where they are: what stands before one is final.
    if (k == 0) sort_pending();
    out.push_back({c, change, k});
    if (k == 0) sorted_until = out.size();
  };
  std::array<utf8proc_int32_t, 64> buffer{};
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint p = code_point_at(text, at);
    at += p.size;
    if (p.value < 0xA0 || !is_in(p.value, CharClass::assigned_9)) {
      push(p.value, 0);
      continue;
    }
    int boundary = 0;
    const auto size = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(p.value), buffer.data(),
                                              static_cast<utf8proc_ssize_t>(buffer.size()), options, &boundary);
    if (size <= 0 || size > static_cast<utf8proc_ssize_t>(buffer.size())) {
      push(p.value, 0);
      continue;
    }
    for (utf8proc_ssize_t i = 0; i < size; ++i) push(static_cast<char32_t>(buffer[static_cast<std::size_t>(i)]), i > 0);
  }
  sort_pending();
}

void recompose(const std::vector<Ordered>& in, std::vector<Change>& out) {
  std::vector<Change> waiting;  // marks after the starter that did not compose with it
  bool has_starter = false;
  Change starter;
  int last_class = -1;
  const auto flush = [&] {
    if (has_starter) out.push_back(starter);
    out.insert(out.end(), waiting.begin(), waiting.end());
    waiting.clear();
    has_starter = false;
    last_class = -1;
  };
  for (const Ordered& o : in) {
    if (!has_starter) {
      if (o.combining_class != 0) {
        out.push_back({o.c, o.change});
        continue;
      }
      starter = {o.c, o.change};
      has_starter = true;
      continue;
    }
    const bool blocked = last_class >= 0 && last_class >= o.combining_class;
    if (!blocked) {
      if (const char32_t made = compose(starter.c, o.c)) {
        starter = {made, starter.change + o.change - 1};
        continue;
      }
    }
    if (o.combining_class == 0) {
      flush();
      starter = {o.c, o.change};
      has_starter = true;
      continue;
    }
    waiting.push_back({o.c, o.change});
    last_class = o.combining_class;
  }
  flush();
}

}  // namespace

bool surely_normal(std::string_view text, NormalForm form) noexcept {
  if (is_ascii(text)) return true;
  if (form != NormalForm::nfc) return false;
  // Below U+0300 everything is in NFC; Han and Hangul syllables and kana without marks are too.
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint p = code_point_at(text, at);
    at += p.size;
    if (p.value < 0x300 || (p.value >= 0x4E00 && p.value <= 0x9FD5) || (p.value >= 0xAC00 && p.value <= 0xD7A3)) continue;
    if ((p.value >= 0x3001 && p.value <= 0x3029) || (p.value >= 0x3041 && p.value <= 0x3096)) continue;
    if (p.value >= 0x30A0 && p.value <= 0x30FF) continue;
    if (p.value >= 0x410 && p.value <= 0x44F) continue;
    return false;
  }
  return true;
}

void normalize(std::string_view text, NormalForm form, std::vector<Change>& out) {
  std::vector<Ordered> decomposed;
  decomposed.reserve(text.size());
  decompose(text, form == NormalForm::nfkc || form == NormalForm::nfkd, decomposed);
  out.clear();
  out.reserve(decomposed.size());
  if (form == NormalForm::nfd || form == NormalForm::nfkd) {
    for (const Ordered& o : decomposed) out.push_back({o.c, o.change});
  } else {
    recompose(decomposed, out);
  }
}

}  // namespace bigmodel::tokenizer
