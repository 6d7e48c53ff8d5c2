// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/post_processor.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/byte_alphabet.h"
#include "bigmodel/tokenizer/json_fields.h"
#include "bigmodel/tokenizer/unicode_class.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

bool is_space(char32_t c) { return c == kByteCharacters[' '] || is_in(c, CharClass::white_space); }

std::uint32_t leading_spaces(std::string_view token) {
  std::uint32_t count = 0;
  for (std::size_t at = 0; at < token.size(); ++count) {
    const CodePoint p = code_point_at(token, at);
    if (!is_space(p.value)) break;
    at += p.size;
  }
  return count;
}

std::uint32_t trailing_spaces(std::string_view token) {
  std::uint32_t count = 0;
  for (std::size_t end = token.size(); end > 0; ++count) {
    const CodePoint p = code_point_before(token, end);
    if (!is_space(p.value)) break;
    end -= p.size;
  }
  return count;
}

/// Takes the white space of tokens out of their offsets.
void trim_offsets(Encoding& e, bool add_prefix_space) {
  for (std::size_t i = 0; i < std::min(e.offsets.size(), e.tokens.size()); ++i) {
    auto& [begin, end] = e.offsets[i];
    std::uint32_t leading = leading_spaces(e.tokens[i]);
    const std::uint32_t trailing = trailing_spaces(e.tokens[i]);
    if (leading > 0) {
      // A single space there may be the one that was put before the text.
      if ((i == 0 || begin == 0) && leading == 1 && add_prefix_space) leading = 0;
      begin = std::min(begin + leading, end);
    }
    if (trailing > 0 && end >= trailing) end = std::max(end - trailing, begin);
  }
}

void trim_all(std::vector<Encoding>& encodings, bool add_prefix_space) {
  for (Encoding& e : encodings) {
    trim_offsets(e, add_prefix_space);
    for (Encoding& o : e.overflowing) trim_offsets(o, add_prefix_space);
  }
}

class ByteLevelProcessor final : public PostProcessor {
 public:
  ByteLevelProcessor(bool add_prefix_space, bool trim) : add_prefix_space_(add_prefix_space), trim_(trim) {}
  std::size_t added_tokens(bool) const override { return 0; }
  std::vector<Encoding> process(std::vector<Encoding> encodings, bool) const override {
    if (trim_) trim_all(encodings, add_prefix_space_);
    for (std::size_t i = 0; i < std::min<std::size_t>(encodings.size(), 2); ++i) encodings[i].set_sequence(i);
    return encodings;
  }

 private:
  bool add_prefix_space_, trim_;
};

struct SpecialToken {
  std::string token;
  std::uint32_t id = 0;
};

/// [CLS] text [SEP], and pair [SEP] (BERT) or [SEP] pair [SEP] (RoBERTa).
class ClsSepProcessor final : public PostProcessor {
 public:
  struct Options {
    SpecialToken cls, sep;
    bool is_roberta = false, trim_offsets = false, add_prefix_space = false;
  };
  explicit ClsSepProcessor(Options options) : o_(std::move(options)) {}
  std::size_t added_tokens(bool is_pair) const override { return !is_pair ? 2 : o_.is_roberta ? 4 : 3; }
  std::vector<Encoding> process(std::vector<Encoding> encodings, bool add_special_tokens) const override {
    if (o_.is_roberta) {
      if (o_.trim_offsets) trim_all(encodings, o_.add_prefix_space);
      for (Encoding& e : encodings) std::ranges::fill(e.type_ids, 0U);
    }
    if (!add_special_tokens) return encodings;
    for (std::size_t i = 0; i < encodings.size(); ++i) {
      wrap(encodings[i], i);
      for (Encoding& o : encodings[i].overflowing) {
        o.overflowing.clear();
        wrap(o, i);
      }
    }
    return encodings;
  }

 private:
  void wrap(Encoding& e, std::size_t index) const {
    if (o_.is_roberta) std::ranges::fill(e.type_ids, 0U);
    std::ranges::fill(e.special_tokens_mask, std::uint8_t{0});
    std::ranges::fill(e.attention_mask, std::uint8_t{1});
    const std::size_t size = e.size();
    const bool before = index == 0 || o_.is_roberta;
    if (before) {
      const SpecialToken& first = index == 0 ? o_.cls : o_.sep;
      e.add_special(first.id, first.token, 0, Direction::left);
    }
    e.add_special(o_.sep.id, o_.sep.token, index == 0 || o_.is_roberta ? 0 : 1, Direction::right);
    e.sequences = {};
    e.sequences[index == 0 ? 0 : 1] = {before ? 1 : 0, (before ? 1 : 0) + size};
  }
  Options o_;
};

struct TemplatePiece {
  std::size_t sequence = 0;  ///< 0 or 1; or
  std::string special;       ///< the name of a special token
  bool is_special = false;
  std::uint32_t type_id = 0;
};

class TemplateProcessing final : public PostProcessor {
 public:
  /// What a name of the template puts in. Real files have as many tokens as ids; others are taken as they are.
  struct Special {
    std::vector<std::uint32_t> ids;
    std::vector<std::string> tokens;
  };
  struct Options {
    std::vector<TemplatePiece> single, pair;
    std::map<std::string, Special> special_tokens;
  };
  explicit TemplateProcessing(Options options) : o_(std::move(options)) {}
  std::size_t added_tokens(bool is_pair) const override {
    std::size_t count = 0;
    for (const TemplatePiece& piece : is_pair ? o_.pair : o_.single) {
      if (const auto it = o_.special_tokens.find(piece.special); piece.is_special && it != o_.special_tokens.end()) count += it->second.ids.size();
    }
    return count;
  }
  std::vector<Encoding> process(std::vector<Encoding> encodings, bool add_special_tokens) const override {
    if (encodings.empty() || encodings.size() > 2) {
      throw UnsupportedError("post_processor: TemplateProcessing after another that already put special tokens in");
    }
    std::vector<Encoding> out;
    for (const TemplatePiece& piece : encodings.size() == 2 ? o_.pair : o_.single) {
      if (!piece.is_special) {
        if (piece.sequence >= encodings.size()) throw UnsupportedError("post_processor: the template for one text names sequence B");
        Encoding& e = encodings[piece.sequence];
        std::ranges::fill(e.type_ids, piece.type_id);
        e.set_sequence(piece.sequence);
        out.push_back(e);
      } else if (add_special_tokens) {
        const auto it = o_.special_tokens.find(piece.special);
        if (it == o_.special_tokens.end()) {
          throw FormatError(fmt::format("post_processor: the template names '{}', which is not among its special_tokens", piece.special));
        }
        Encoding e;
        for (const std::uint32_t id : it->second.ids) e.add_special(id, {}, piece.type_id, Direction::right);
        e.tokens = it->second.tokens;
        out.push_back(std::move(e));
      }
    }
    return out;
  }

 private:
  Options o_;
};

class ProcessorSequence final : public PostProcessor {
 public:
  explicit ProcessorSequence(std::vector<std::unique_ptr<PostProcessor>> parts) : parts_(std::move(parts)) {}
  std::size_t added_tokens(bool is_pair) const override {
    std::size_t count = 0;
    for (const auto& part : parts_) count += part->added_tokens(is_pair);
    return count;
  }
  std::vector<Encoding> process(std::vector<Encoding> encodings, bool add_special_tokens) const override {
    for (const auto& part : parts_) encodings = part->process(std::move(encodings), add_special_tokens);
    return encodings;
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> parts_;
};

SpecialToken read_special(const JsonFields& fields, std::string_view key) {
  const Json& value = fields.array(key);
  if (value.size() != 2 || !value[0].is_string()) fields.fail(key, "[token, id]");
  return {value[0].get<std::string>(), as_id(value[1], fields.object())};
}

std::vector<TemplatePiece> read_template(const JsonFields& fields, std::string_view key) {
  std::vector<TemplatePiece> out;
  for (const Json& json : fields.array(key)) {
    if (!json.is_object() || json.size() != 1) fields.fail(key, R"({"Sequence": ...} or {"SpecialToken": ...} in the list)");
    const JsonFields piece(json.begin().value(), fmt::format("{}, {}", fields.object(), key));
    TemplatePiece p;
    p.type_id = piece.id("type_id");
    const std::string id = piece.text("id");
    if (json.begin().key() == "SpecialToken") {
      p.is_special = true;
      p.special = id;
    } else if (json.begin().key() == "Sequence") {
      if (id != "A" && id != "B") piece.fail("id", "A or B");
      p.sequence = id == "A" ? 0 : 1;
    } else {
      fields.fail(key, R"({"Sequence": ...} or {"SpecialToken": ...} in the list)");
    }
    out.push_back(std::move(p));
  }
  return out;
}

std::unique_ptr<PostProcessor> read_template_processing(const JsonFields& fields) {
  TemplateProcessing::Options options;
  options.single = read_template(fields, "single");
  options.pair = read_template(fields, "pair");
  const Json& specials = fields.at("special_tokens");
  if (!specials.is_object()) fields.fail("special_tokens", "an object");
  for (const auto& [name, json] : specials.items()) {
    const JsonFields special(json, fmt::format("{}, special token '{}'", fields.object(), name.substr(0, 80)));
    const std::string id = special.text("id");
    TemplateProcessing::Special made;
    for (const Json& value : special.array("ids")) made.ids.push_back(as_id(value, special.object()));
    for (const Json& value : special.array("tokens")) {
      if (!value.is_string()) special.fail("tokens", "texts");
      made.tokens.push_back(value.get<std::string>());
    }
    options.special_tokens[name] = std::move(made);
  }
  return std::make_unique<TemplateProcessing>(std::move(options));
}

}  // namespace

std::unique_ptr<PostProcessor> read_post_processor(const Json& json, const std::string& object) {
  const JsonFields fields(json, object);
  const std::string type = fields.text("type");
  const JsonFields inner(json, fmt::format("{}, {}", object, type));
  if (type == "TemplateProcessing") return read_template_processing(inner);
  if (type == "ByteLevel") return std::make_unique<ByteLevelProcessor>(inner.boolean("add_prefix_space"), inner.boolean("trim_offsets"));
  if (type == "BertProcessing") {
    return std::make_unique<ClsSepProcessor>(ClsSepProcessor::Options{read_special(inner, "cls"), read_special(inner, "sep")});
  }
  if (type == "RobertaProcessing") {
    return std::make_unique<ClsSepProcessor>(ClsSepProcessor::Options{read_special(inner, "cls"), read_special(inner, "sep"), true,
                                                                      inner.boolean("trim_offsets"), inner.boolean("add_prefix_space")});
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<PostProcessor>> parts;
    for (const Json& part : inner.array("processors")) parts.push_back(read_post_processor(part, object));
    return std::make_unique<ProcessorSequence>(std::move(parts));
  }
  throw UnsupportedError(fmt::format("{}: unknown type '{}'", object, type.substr(0, 80)));
}

Encoding post_process(const PostProcessor* processor, Encoding encoding, Encoding* pair, bool add_special_tokens) {
  if (processor == nullptr && pair == nullptr) return encoding;
  std::vector<Encoding> encodings;
  encodings.push_back(std::move(encoding));
  if (pair != nullptr) encodings.push_back(std::move(*pair));
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    encodings[i].set_sequence(i);
    if (processor == nullptr) continue;
    for (Encoding& o : encodings[i].overflowing) o.set_sequence(i);
    std::ranges::fill(encodings[i].type_ids, static_cast<std::uint32_t>(i));
  }
  if (processor != nullptr) encodings = processor->process(std::move(encodings), add_special_tokens);
  if (encodings.empty()) return {};
  // One without overflow, or alone, needs no copy.
  Encoding out;
  for (Encoding& e : encodings) {
    if (out.size() == 0 && out.overflowing.empty() && e.overflowing.empty()) {
      const auto sequences = out.sequences;
      out = std::move(e);
      for (std::size_t i = 0; i < 2; ++i) {
        if (!out.sequences[i]) out.sequences[i] = sequences[i];
      }
    } else {
      out.merge(e);
    }
  }
  return out;
}

}  // namespace bigmodel::tokenizer
