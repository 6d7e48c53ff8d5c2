// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/normalizer.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "bigmodel/core/base64.h"
#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/byte_alphabet.h"
#include "bigmodel/tokenizer/json_fields.h"
#include "bigmodel/tokenizer/precompiled_charsmap.h"
#include "bigmodel/tokenizer/regex.h"
#include "bigmodel/tokenizer/unicode_class.h"
#include "bigmodel/tokenizer/unicode_normalize.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

void to_form(AlignedText& text, NormalForm form) {
  if (surely_normal(text.text(), form)) return;
  std::vector<Change> changes;
  normalize(text.text(), form, changes);
  text.transform(changes);
}

void to_lowercase(AlignedText& text) {
  std::vector<Change> changes;
  changes.reserve(text.text().size());
  bool changed = false;
  const std::string& in = text.text();
  for (std::size_t at = 0; at < in.size();) {
    const CodePoint p = code_point_at(in, at);
    at += p.size;
    const auto lower = lowercase_of(p.value);
    changed |= lower[0] != p.value;
    changes.push_back({lower[0], 0});
    if (lower[1] != 0) changes.push_back({lower[1], 1});
  }
  if (changed) text.transform(changes);
}

bool no_upper_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80 && !(c >= 'A' && c <= 'Z'); });
}

class FormNormalizer final : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}
  void normalize(AlignedText& text) const override { to_form(text, form_); }
  bool surely_unchanged(std::string_view text) const override { return surely_normal(text, form_); }

 private:
  NormalForm form_;
};

class Lowercase final : public Normalizer {
 public:
  void normalize(AlignedText& text) const override { to_lowercase(text); }
  bool surely_unchanged(std::string_view text) const override { return no_upper_ascii(text); }
};

class StripAccents final : public Normalizer {
 public:
  void normalize(AlignedText& text) const override {
    if (!is_ascii(text.text())) text.filter([](char32_t c) { return !is_in(c, CharClass::mark); });
  }
  bool surely_unchanged(std::string_view text) const override { return is_ascii(text); }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void normalize(AlignedText& text) const override {
    std::vector<Change> changes;
    for (std::size_t at = 0; at < text.text().size();) {
      const CodePoint p = code_point_at(text.text(), at);
      at += p.size;
      changes.push_back({p.value, 0});
    }
    const auto is_space = [](const Change& c) { return is_in(c.c, CharClass::white_space); };
    std::size_t leading = 0, end = changes.size();
    if (left_) leading = static_cast<std::size_t>(std::ranges::find_if_not(changes, is_space) - changes.begin());
    while (right_ && end > leading && is_space(changes[end - 1])) --end;
    if (leading == 0 && end == changes.size()) return;
    text.transform(std::span<const Change>(changes).subspan(leading, end - leading), leading);
  }
  bool surely_unchanged(std::string_view text) const override {
    const auto solid = [](char c) { return c > ' ' && c < 0x7F; };
    return !text.empty() && (!left_ || solid(text.front())) && (!right_ || solid(text.back()));
  }

 private:
  bool left_, right_;
};

class Nmt final : public Normalizer {
 public:
  void normalize(AlignedText& text) const override {
    text.filter([](char32_t c) {
      return !((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F);
    });
    text.map([](char32_t c) -> char32_t {
      const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                         c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      return space ? U' ' : c;
    });
  }
  bool surely_unchanged(std::string_view text) const override {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7F; });
  }
};

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

struct BertOptions {
  bool clean_text, handle_chinese_chars, strip_accents, lowercase;
};

class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(BertOptions options) : o_(options) {}
  void normalize(AlignedText& text) const override {
    if (o_.clean_text) {
      text.filter([](char32_t c) { return !is_in(c, CharClass::bert_control); });
      text.map([](char32_t c) -> char32_t { return is_in(c, CharClass::white_space) ? U' ' : c; });
    }
    if (o_.handle_chinese_chars) space_chinese(text);
    if (o_.strip_accents) {
      to_form(text, NormalForm::nfd);
      if (!is_ascii(text.text())) text.filter([](char32_t c) { return !is_in(c, CharClass::nonspacing_mark); });
    }
    if (o_.lowercase) to_lowercase(text);
  }
  bool surely_unchanged(std::string_view text) const override {
    return std::ranges::all_of(text, [this](char c) { return c >= ' ' && c < 0x7F && (!o_.lowercase || !(c >= 'A' && c <= 'Z')); });
  }

 private:
  static void space_chinese(AlignedText& text) {
    if (is_ascii(text.text())) return;
    std::vector<Change> changes;
    for (std::size_t at = 0; at < text.text().size();) {
      const CodePoint p = code_point_at(text.text(), at);
      at += p.size;
      if (is_chinese(p.value)) {
        changes.insert(changes.end(), {{U' ', 0}, {p.value, 1}, {U' ', 1}});
      } else {
        changes.push_back({p.value, 0});
      }
    }
    text.transform(changes);
  }
  BertOptions o_;
};

class Replace final : public Normalizer {
 public:
  Replace(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void normalize(AlignedText& text) const override {
    if (!pattern_.literal().empty()) {
      text.replace_literal(pattern_.literal(), content_);
      return;
    }
    std::vector<Match> matches;
    pattern_.split(text.text(), matches);
    text.replace(matches, content_);
  }
  bool surely_unchanged(std::string_view text) const override {
    return !pattern_.literal().empty() && text.find(pattern_.literal()) == std::string_view::npos;
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void normalize(AlignedText& text) const override { text.prepend(prefix_); }
  bool surely_unchanged(std::string_view text) const override { return text.empty(); }

 private:
  std::string prefix_;
};

class ByteLevelNormalizer final : public Normalizer {
 public:
  void normalize(AlignedText& text) const override { to_byte_alphabet(text); }
  bool surely_unchanged(std::string_view text) const override {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
  }
};

/// Same count: one for one. More: the last ones were inserted. Fewer: the last one swallows the rest.
void append_replacement(std::vector<Change>& changes, std::string_view from, std::string_view to) {
  const auto old_count = static_cast<std::ptrdiff_t>(count_code_points(from));
  std::ptrdiff_t new_count = 0;
  for (std::size_t at = 0; at < to.size(); ++new_count) {
    const CodePoint p = code_point_at(to, at);
    at += p.size;
    changes.push_back({p.value, 0});
  }
  const std::ptrdiff_t more = new_count - old_count;
  if (more > 0) {
    for (std::ptrdiff_t i = 0; i < more; ++i) changes[changes.size() - 1 - static_cast<std::size_t>(i)].change = 1;
  } else if (more < 0 && !changes.empty()) {
    changes.back().change += static_cast<int>(more);
  }
}

/// SentencePiece's map as sentencepiece itself applies it: the longest key at every place. Where it drops blanks, those that one
/// replacement or character begins with go if what stands before them ends with one, or if nothing does: "  " from one key stays.
class LongestPrecompiled final : public Normalizer {
 public:
  LongestPrecompiled(PrecompiledCharsmap map, bool drops_blanks) : map_(std::move(map)), drops_blanks_(drops_blanks) {}
  void normalize(AlignedText& text) const override {
    const std::string_view in = text.text();
    std::vector<Change> changes;
    changes.reserve(in.size());
    bool modified = false;
    std::size_t leading = 0;  // characters before the first that leaves anything
    for (std::size_t at = 0; at < in.size();) {
      const auto made = map_.longest(in.substr(at));
      const std::size_t size = made ? made->second : code_point_at(in, at).size;
      const std::string_view from = in.substr(at, size);
      std::string_view to = made ? made->first : from;
      const bool after_blank = changes.empty() || changes.back().c == U' ';
      while (drops_blanks_ && after_blank && to.starts_with(' ')) to.remove_prefix(1);
      at += size;
      modified = modified || made || to.size() != from.size();
      if (to.empty() && changes.empty()) {
        leading += count_code_points(from);
      } else {
        append_replacement(changes, from, to);
      }
    }
    if (modified) text.transform(changes, leading);
  }
  bool surely_unchanged(std::string_view text) const override { return text.empty(); }

 private:
  PrecompiledCharsmap map_;
  bool drops_blanks_;
};

/// SentencePiece's map as the reference applies it: to a grapheme below 6 bytes by its shortest key, else to each character.
class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(PrecompiledCharsmap map) : map_(std::move(map)) {}
  void normalize(AlignedText& text) const override {
    const std::string& in = text.text();
    std::vector<Change> changes;
    changes.reserve(in.size());
    bool modified = false;
    for (std::size_t begin = 0; begin < in.size();) {
      const std::size_t end = grapheme_end(in, begin);
      const std::string_view grapheme = std::string_view(in).substr(begin, end - begin);
      begin = end;
      if (grapheme.size() < 6) {
        if (const auto made = map_.shortest(grapheme)) {
          append_replacement(changes, grapheme, *made);
          modified = true;
          continue;
        }
      }
      for (std::size_t at = 0; at < grapheme.size();) {
        const CodePoint p = code_point_at(grapheme, at);
        const std::string_view part = grapheme.substr(at, p.size);
        at += p.size;
        if (const auto made = map_.shortest(part)) {
          append_replacement(changes, part, *made);
          modified = true;
        } else {
          changes.push_back({p.value, 0});
        }
      }
    }
    if (modified) text.transform(changes);
  }
  bool surely_unchanged(std::string_view text) const override { return text.empty(); }

 private:
  static std::size_t grapheme_end(std::string_view text, std::size_t begin) {
    CodePoint p = code_point_at(text, begin);
    std::size_t at = begin + p.size;
    utf8proc_int32_t state = 0;
    // Everything up to the first pair is needed for the state that emoji and flags ask for.
    while (at < text.size()) {
      const CodePoint next = code_point_at(text, at);
      if (p.value < 0x80 && next.value < 0x80 && !(p.value == '\r' && next.value == '\n')) break;
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(p.value), static_cast<utf8proc_int32_t>(next.value), &state)) break;
      at += next.size;
      p = next;
    }
    return at;
  }

  PrecompiledCharsmap map_;
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  void normalize(AlignedText& text) const override {
    for (const auto& part : parts_) part->normalize(text);
  }
  bool surely_unchanged(std::string_view text) const override {
    return std::ranges::all_of(parts_, [&](const auto& part) { return part->surely_unchanged(text); });
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

std::unique_ptr<Normalizer> read_precompiled(const JsonFields& fields) {
  const auto bytes = decode_base64(fields.text("precompiled_charsmap"));
  if (!bytes) fields.fail("precompiled_charsmap", "base64");
  PrecompiledCharsmap map(*bytes, fields.object());
  if (fields.boolean_or("bigmodel:longest", false)) return std::make_unique<LongestPrecompiled>(std::move(map), fields.boolean_or("bigmodel:drops_blanks", false));
  return std::make_unique<Precompiled>(std::move(map));
}

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Json& json, const std::string& object) {
  const JsonFields fields(json, object);
  const std::string type = fields.text("type");
  const JsonFields inner(json, fmt::format("{}, {}", object, type));
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const Json& part : inner.array("normalizers")) parts.push_back(read_normalizer(part, object));
    return std::make_unique<NormalizerSequence>(std::move(parts));
  }
  if (type == "NFC") return std::make_unique<FormNormalizer>(NormalForm::nfc);
  if (type == "NFD") return std::make_unique<FormNormalizer>(NormalForm::nfd);
  if (type == "NFKC") return std::make_unique<FormNormalizer>(NormalForm::nfkc);
  if (type == "NFKD") return std::make_unique<FormNormalizer>(NormalForm::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip") return std::make_unique<Strip>(inner.boolean("strip_left"), inner.boolean("strip_right"));
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "Prepend") return std::make_unique<Prepend>(inner.text("prepend"));
  if (type == "Replace") return std::make_unique<Replace>(inner.pattern("pattern"), inner.text("content"));
  if (type == "Precompiled") return read_precompiled(inner);
  if (type == "BertNormalizer") {
    const bool lowercase = inner.boolean("lowercase");
    const bool accents = inner.has_value("strip_accents") ? inner.boolean("strip_accents") : lowercase;
    return std::make_unique<BertNormalizer>(
        BertOptions{inner.boolean("clean_text"), inner.boolean("handle_chinese_chars"), accents, lowercase});
  }
  throw UnsupportedError(fmt::format("{}: unknown type '{}'", object, type.substr(0, 80)));
}

std::string normalized(const Normalizer& normalizer, std::string_view text) {
  AlignedText work;
  work.assign(text, {}, 0);
  normalizer.normalize(work);
  return work.text();
}

}  // namespace bigmodel::tokenizer
