// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/pre_tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/byte_alphabet.h"
#include "bigmodel/tokenizer/json_fields.h"
#include "bigmodel/tokenizer/split_pattern.h"
#include "bigmodel/tokenizer/unicode_class.h"

namespace bigmodel::tokenizer {

bool PreTokenizer::find_isolated(std::string_view, std::vector<Match>&) const { return false; }

namespace {

using Json = nlohmann::ordered_json;

bool is_punctuation(char32_t c) { return is_in(c, CharClass::punctuation); }
bool is_white_space(char32_t c) { return is_in(c, CharClass::white_space); }

void split_known(SplitPattern pattern, std::string_view text, std::vector<Match>& out) {
  out.clear();
  if (text.empty()) out.push_back({0, 0, false});
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = split_match_end(pattern, text, at);
    out.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(end), true});
    at = end;
  }
}

class SplitByPattern final : public PreTokenizer {
 public:
  SplitByPattern(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), known_(known_split_pattern(regex_.pattern())), behavior_(behavior), invert_(invert) {}

  void pre_tokenize(PreTokenized& text) const override {
    text.split_by_matches([this](std::string_view t, std::vector<Match>& out) { find(t, out); }, behavior_, invert_);
  }
  bool find_isolated(std::string_view text, std::vector<Match>& out) const override {
    // Known patterns match everything, so that removing what lies between changes nothing.
    if (behavior_ != SplitBehavior::isolated && !(known_ && invert_ && behavior_ == SplitBehavior::removed)) return false;
    find(text, out);
    return true;
  }
  std::optional<SplitPattern> known() const { return known_; }

 private:
  void find(std::string_view text, std::vector<Match>& out) const {
    if (known_) {
      split_known(*known_, text, out);
    } else {
      regex_.split(text, out);
    }
  }
  Regex regex_;
  std::optional<SplitPattern> known_;
  SplitBehavior behavior_;
  bool invert_;
};

class SplitByClass final : public PreTokenizer {
 public:
  SplitByClass(bool (*is_match)(char32_t), SplitBehavior behavior) : is_match_(is_match), behavior_(behavior) {}
  void pre_tokenize(PreTokenized& text) const override {
    text.split_by_matches([this](std::string_view t, std::vector<Match>& out) { match_characters(t, is_match_, out); }, behavior_, false);
  }

 private:
  bool (*is_match_)(char32_t);
  SplitBehavior behavior_;
};

class CharDelimiterSplit final : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  void pre_tokenize(PreTokenized& text) const override {
    text.split_by_matches(
        [this](std::string_view t, std::vector<Match>& out) { match_characters(t, [this](char32_t c) { return c == delimiter_; }, out); },
        SplitBehavior::removed, false);
  }

 private:
  char32_t delimiter_;
};

/// `\w+|[^\w\s]+`, only the matches.
class Whitespace final : public PreTokenizer {
 public:
  void pre_tokenize(PreTokenized& text) const override {
    text.split([](std::string_view t, auto emit) {
      constexpr auto kWord = static_cast<std::uint16_t>(CharClass::word);
      constexpr auto kSpace = static_cast<std::uint16_t>(CharClass::white_space);
      std::uint32_t begin = 0;
      int kind = 0;  // 0: white space, 1: word, 2: other
      for (std::uint32_t at = 0; at < t.size();) {
        const CodePoint p = code_point_at(t, at);
        const std::uint16_t bits = classes_of(p.value);
        const int now = bits & kWord ? 1 : bits & kSpace ? 0 : 2;
        if (now != kind) {
          if (kind != 0) emit(begin, at);
          begin = at;
          kind = now;
        }
        at += p.size;
      }
      if (kind != 0) emit(begin, static_cast<std::uint32_t>(t.size()));
    });
  }
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  void pre_tokenize(PreTokenized& text) const override {
    text.split_by_matches([](std::string_view t, std::vector<Match>& out) { match_characters(t, is_white_space, out); },
                          SplitBehavior::removed, false);
    text.split_by_matches([](std::string_view t, std::vector<Match>& out) { match_characters(t, is_punctuation, out); },
                          SplitBehavior::isolated, false);
  }
};

/// Cuts where the script changes. What stands before the first character with a script is lost, as in the reference.
class UnicodeScripts final : public PreTokenizer {
 public:
  void pre_tokenize(PreTokenized& text) const override {
    text.split([](std::string_view t, auto emit) {
      int last = kAnyScript;
      std::optional<std::uint32_t> begin;
      for (std::uint32_t at = 0; at < t.size();) {
        const CodePoint p = code_point_at(t, at);
        const int script = script_of(p.value);
        if (script != kAnyScript) {
          if (!begin || script != last) {
            if (begin) emit(*begin, at);
            begin = at;
          }
          last = script;
        }
        at += p.size;
      }
      if (begin) emit(*begin, static_cast<std::uint32_t>(t.size()));
    });
  }
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(std::uint64_t length) : length_(length) {}
  void pre_tokenize(PreTokenized& text) const override {
    if (length_ == 0) throw FormatError("pre_tokenizer, FixedLength: length 0, expected at least 1");
    text.split([this](std::string_view t, auto emit) {
      std::uint32_t begin = 0;
      std::uint64_t count = 0;
      for (std::uint32_t at = 0; at < t.size();) {
        at += static_cast<std::uint32_t>(utf8_length(t[at]));
        if (++count == length_) {
          emit(begin, at);
          begin = at;
          count = 0;
        }
      }
      emit(begin, static_cast<std::uint32_t>(t.size()));
    });
  }

 private:
  std::uint64_t length_;
};

enum class PrependScheme { first, never, always };

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(char32_t replacement, PrependScheme scheme, bool split) : scheme_(scheme), split_(split) { append_utf8(replacement_, replacement); }
  void pre_tokenize(PreTokenized& text) const override {
    text.rewrite([this](AlignedText& t) {
      t.replace_literal(" ", replacement_);
      const bool wanted = scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && t.origin() == 0);
      if (wanted && !t.text().starts_with(replacement_)) t.prepend(replacement_);
    });
    if (!split_) return;
    text.split([this](std::string_view t, auto emit) {
      std::size_t begin = 0;
      while (begin < t.size()) {
        const std::size_t next = std::min(t.find(replacement_, begin + 1), t.size());
        emit(static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(next));
        begin = next;
      }
    });
  }

 private:
  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

class AddPrefixSpace final : public PreTokenizer {
 public:
  void pre_tokenize(PreTokenized& text) const override {
    text.rewrite([](AlignedText& t) {
      if (!t.text().starts_with(' ')) t.prepend(" ");
    });
  }
};

class ByteAlphabet final : public PreTokenizer {
 public:
  void pre_tokenize(PreTokenized& text) const override { text.rewrite(to_byte_alphabet); }
};

PrependScheme read_scheme(const JsonFields& fields) {
  PrependScheme scheme = PrependScheme::always;
  if (fields.has("prepend_scheme")) {
    const std::string name = fields.text("prepend_scheme");
    if (name == "first") {
      scheme = PrependScheme::first;
    } else if (name == "never") {
      scheme = PrependScheme::never;
    } else if (name != "always") {
      fields.fail("prepend_scheme", "first, never or always");
    }
  }
  // The older spelling must not contradict.
  if (fields.has_value("add_prefix_space") && !fields.boolean("add_prefix_space") && scheme != PrependScheme::never) {
    fields.fail("add_prefix_space", "true, or prepend_scheme never");
  }
  return scheme;
}

void add_steps(const Json& json, const std::string& object, PreTokenizerPlan& plan) {
  const JsonFields fields(json, object);
  const std::string type = fields.text("type");
  const JsonFields inner(json, fmt::format("{}, {}", object, type));
  const auto add = [&](std::unique_ptr<PreTokenizer> step) {
    if (plan.byte_alphabet_last) plan.steps.push_back(std::make_unique<ByteAlphabet>());
    plan.byte_alphabet_last = false;
    plan.steps.push_back(std::move(step));
  };
  if (type == "Sequence") {
    for (const Json& part : inner.array("pretokenizers")) add_steps(part, object, plan);
  } else if (type == "ByteLevel") {
    const bool prefix = inner.boolean("add_prefix_space");
    inner.boolean("trim_offsets");
    if (prefix) add(std::make_unique<AddPrefixSpace>());
    if (inner.boolean_or("use_regex", true)) add(std::make_unique<SplitByPattern>(Regex(std::string(kGpt2Regex)), SplitBehavior::isolated, false));
    if (plan.byte_alphabet_last) plan.steps.push_back(std::make_unique<ByteAlphabet>());
    plan.byte_alphabet_last = true;
  } else if (type == "Split") {
    add(std::make_unique<SplitByPattern>(inner.pattern("pattern"), inner.behavior("behavior"), inner.boolean("invert")));
  } else if (type == "Metaspace") {
    const char32_t replacement = inner.character("replacement");
    const PrependScheme scheme = read_scheme(inner);
    const bool split = inner.has_value("split") ? inner.boolean("split") : true;
    add(std::make_unique<Metaspace>(replacement, scheme, split));
  } else if (type == "BertPreTokenizer") {
    add(std::make_unique<BertPreTokenizer>());
  } else if (type == "Whitespace") {
    add(std::make_unique<Whitespace>());
  } else if (type == "WhitespaceSplit") {
    add(std::make_unique<SplitByClass>(is_white_space, SplitBehavior::removed));
  } else if (type == "CharDelimiterSplit") {
    add(std::make_unique<CharDelimiterSplit>(inner.character("delimiter")));
  } else if (type == "Punctuation") {
    const SplitBehavior behavior = inner.has("behavior") ? inner.behavior("behavior") : SplitBehavior::isolated;
    add(std::make_unique<SplitByClass>(is_punctuation, behavior));
  } else if (type == "Digits") {
    const bool single = inner.boolean("individual_digits");
    add(std::make_unique<SplitByClass>([](char32_t c) { return is_in(c, CharClass::numeric); },
                                       single ? SplitBehavior::isolated : SplitBehavior::contiguous));
  } else if (type == "UnicodeScripts") {
    add(std::make_unique<UnicodeScripts>());
  } else if (type == "FixedLength") {
    add(std::make_unique<FixedLength>(inner.count("length")));
  } else {
    throw UnsupportedError(fmt::format("{}: unknown type '{}'", object, type.substr(0, 80)));
  }
}

}  // namespace

PreTokenizerPlan read_pre_tokenizer(const Json& json, const std::string& object) {
  PreTokenizerPlan plan;
  if (!json.is_null()) add_steps(json, object, plan);
  return plan;
}

void pre_tokenize(const PreTokenizerPlan& plan, PreTokenized& text, bool raw_bytes) {
  for (const auto& step : plan.steps) step->pre_tokenize(text);
  if (plan.byte_alphabet_last && !raw_bytes) text.rewrite(to_byte_alphabet);
}

}  // namespace bigmodel::tokenizer
