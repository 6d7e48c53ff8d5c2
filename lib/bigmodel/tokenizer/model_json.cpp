// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/model_json.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/json_fields.h"
#include "bigmodel/tokenizer/models/bpe.h"
#include "bigmodel/tokenizer/models/merge_table.h"
#include "bigmodel/tokenizer/models/unigram.h"
#include "bigmodel/tokenizer/models/word_piece.h"
#include "bigmodel/tokenizer/vocabulary.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

/// A large member: where it begins, and about how many parts it has.
struct Large {
  JsonCursor at;
  JsonCursor::Extent extent = {};
};

/// The members of the object: the large ones are read later, where all the others are known as values.
struct Members {
  std::string object = {};
  std::optional<Large> vocab = {}, merges = {};
  Json small = Json::object();
  bool edited = false;
  std::string own_vocab = {}, own_merges = {};  ///< what an edit put in their place
};

/// An edit may have set a member that was skipped.
void take_edited(Members& members, const char* key, std::optional<Large>& large, std::string& text) {
  const auto it = members.small.find(key);
  if (it == members.small.end()) return;
  text = it->dump();
  large.emplace(Large{JsonCursor(text, members.object), {it->size(), text.size()}});
}

Members read_members(JsonCursor& cursor, const std::string& object) {
  Members out{.object = object};
  if (cursor.peek() != JsonCursor::Kind::object) cursor.fail("model: expected an object");
  cursor.begin_object();
  std::string key;
  bool first = true;
  while (cursor.next_key(key, first)) {
    std::optional<Large>* large = key == "vocab" ? &out.vocab : key == "merges" ? &out.merges : nullptr;
    const bool has_parts = cursor.peek() == JsonCursor::Kind::object || cursor.peek() == JsonCursor::Kind::array;
    if (large != nullptr && has_parts) {
      if (*large) (*large)->at.skip();   // a member that comes twice counts the last time, but is checked
      large->emplace(Large{cursor});
      (*large)->extent = cursor.skip_unchecked();
    } else if (large != nullptr) {
      large->emplace(Large{cursor});
      cursor.skip();
    } else {
      try {
        out.small[key] = Json::parse(cursor.skip());
      } catch (const Json::exception& e) {
        throw FormatError(fmt::format("{}: {}", object, e.what()));
      }
    }
  }
  return out;
}

Vocabulary read_vocabulary(const Members& members) {
  if (!members.vocab) throw FormatError(fmt::format("{}: no 'vocab', expected an object", members.object));
  Vocabulary out;
  out.reserve(members.vocab->extent.count, members.vocab->extent.text_bytes);
  JsonCursor cursor = members.vocab->at;
  cursor.begin_object();
  std::string buffer;
  std::string_view token;
  bool first = true;
  while (cursor.next_key_view(token, buffer, first)) out.add(token, cursor.id());
  out.freeze();
  return out;
}

/// Adds merges to a table, some at a time: what the look-ups of one read from memory is on its way while others are read.
class MergeBatch {
 public:
  /// `prefix_size` bytes of a right part are not joined.
  MergeBatch(MergeTable& merges, const Vocabulary& vocabulary, std::size_t prefix_size, const std::string& object)
      : merges_(merges), vocabulary_(vocabulary), prefix_size_(prefix_size), object_(object) {}

  /// Buffers for the next merge's texts, valid until it is added.
  std::pair<std::string&, std::string&> buffers() { return {pending_[count_].left_buffer, pending_[count_].right_buffer}; }

  /// The parts and what they make must be in the vocabulary. The texts stay valid until flush().
  void add(std::string_view left, std::string_view right) {
    Pending& p = pending_[count_++];
    p.left = left;
    p.right = right;
    p.left_hash = hash_bytes(left);
    p.right_hash = hash_bytes(right);
    vocabulary_.fetch_slot(p.left_hash);
    vocabulary_.fetch_slot(p.right_hash);
    if (count_ == pending_.size()) flush();
  }

  /// The same of a line "left right".
  void add_line(std::string_view line) {
    if (line.starts_with("#version")) return;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw FormatError(fmt::format("{}: bad merge {}, expected two tokens with a space between, got '{}'", object_, merges_.additions() + count_ + 1, line.substr(0, 80)));
    }
    add(line.substr(0, space), line.substr(space + 1));
  }

  void flush() {
    for (const bool text : {false, true}) {
      for (std::size_t i = 0; i < count_; ++i) {
        for (const std::uint64_t hash : {pending_[i].left_hash, pending_[i].right_hash}) text ? vocabulary_.fetch_text(hash) : vocabulary_.fetch_place(hash);
      }
    }
    for (std::size_t i = 0; i < count_; ++i) place(pending_[i]);
    count_ = 0;
  }

 private:
  struct Pending {
    std::string_view left, right;
    std::uint64_t left_hash = 0, right_hash = 0;
    std::string left_buffer, right_buffer;
  };

  std::uint32_t id_of(std::string_view token, std::uint64_t hash) const {
    const auto id = vocabulary_.find(token, hash);
    if (!id) throw FormatError(fmt::format("{}: token '{}' of merge {} is not in the vocabulary", object_, token.substr(0, 80), merges_.additions()));
    return *id;
  }

  void place(const Pending& p) {
    const std::uint32_t left = id_of(p.left, p.left_hash), right = id_of(p.right, p.right_hash);
    if (p.right.size() < prefix_size_) {
      throw FormatError(fmt::format("{}: token '{}' of a merge is shorter than the continuing_subword_prefix", object_, p.right.substr(0, 80)));
    }
    const std::string_view tail = p.right.substr(prefix_size_);
    // Merges mostly come in the order of the tokens that they make: a guess spares the look-up.
    const auto is_joined = [&](std::uint32_t id) {
      const auto text = vocabulary_.text_of(id);
      return text && text->size() == p.left.size() + tail.size() && text->starts_with(p.left) && text->ends_with(tail);
    };
    std::uint32_t joined = merges_.last_joined();
    if (!is_joined(joined) && !is_joined(++joined)) {
      joined_.assign(p.left).append(tail);
      joined = id_of(joined_, hash_bytes(joined_));
    }
    merges_.add(left, right, static_cast<std::uint32_t>(merges_.additions()), joined);
  }

  MergeTable& merges_;
  const Vocabulary& vocabulary_;
  std::size_t prefix_size_;
  const std::string& object_;
  std::array<Pending, 32> pending_;
  std::size_t count_ = 0;
  std::string joined_;
};

MergeTable read_merges(const Members& members, const Vocabulary& vocabulary, std::size_t prefix_size) {
  if (!members.merges) throw FormatError(fmt::format("{}: no 'merges', expected a list", members.object));
  const std::string object = members.object + ", merges";
  MergeTable out;
  out.reserve(members.merges->extent.count);
  MergeBatch batch(out, vocabulary, prefix_size, object);
  JsonCursor cursor = members.merges->at;
  cursor.begin_array();
  bool first = true;
  std::optional<bool> pairs;  // as pairs, else as lines
  while (cursor.next_element(first)) {
    const bool is_pair = cursor.peek() == JsonCursor::Kind::array;
    if (pairs && *pairs != is_pair) cursor.fail("merges are partly texts and partly pairs");
    pairs = is_pair;
    const auto [left_buffer, right_buffer] = batch.buffers();
    if (!is_pair) {
      batch.add_line(cursor.view(left_buffer));
      continue;
    }
    bool first_part = true;
    cursor.begin_array();
    if (!cursor.next_element(first_part)) cursor.fail("expected a pair of texts");
    const std::string_view left = cursor.view(left_buffer);
    if (!cursor.next_element(first_part)) cursor.fail("expected a pair of texts");
    const std::string_view right = cursor.view(right_buffer);
    if (cursor.next_element(first_part)) cursor.fail("expected a pair of texts");
    batch.add(left, right);
  }
  batch.flush();
  out.freeze();
  return out;
}

std::optional<std::string> optional_text(const JsonFields& fields, std::string_view key) {
  if (!fields.has_value(key)) return std::nullopt;
  return fields.text(key);
}

bool optional_flag(const JsonFields& fields, std::string_view key) { return fields.has_value(key) && fields.boolean(key); }

std::unique_ptr<Model> read_bpe(const Members& members) {
  const JsonFields fields(members.small, members.object);
  BpeOptions options;
  if (fields.has_value("dropout")) {
    const Json& dropout = fields.at("dropout");
    if (!dropout.is_number() || dropout.get<double>() < 0 || dropout.get<double>() > 1) fields.fail("dropout", "a number from 0 to 1");
    options.never_merge = dropout.get<double>() >= 1;
  }
  options.unk_token = optional_text(fields, "unk_token");
  options.continuing_subword_prefix = optional_text(fields, "continuing_subword_prefix");
  options.end_of_word_suffix = optional_text(fields, "end_of_word_suffix");
  options.fuse_unk = optional_flag(fields, "fuse_unk");
  options.byte_fallback = optional_flag(fields, "byte_fallback");
  options.ignore_merges = optional_flag(fields, "ignore_merges");
  Vocabulary vocabulary = read_vocabulary(members);
  MergeTable merges = read_merges(members, vocabulary, options.continuing_subword_prefix.value_or("").size());
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(options));
}

std::unique_ptr<Model> read_word_piece(const Members& members) {
  const JsonFields fields(members.small, members.object);
  WordPiece::Options options{fields.text("unk_token"), fields.text("continuing_subword_prefix"), fields.count("max_input_chars_per_word")};
  return std::make_unique<WordPiece>(read_vocabulary(members), std::move(options));
}

std::unique_ptr<Model> read_word_level(const Members& members) {
  const JsonFields fields(members.small, members.object);
  return std::make_unique<WordLevel>(read_vocabulary(members), fields.text("unk_token"), fields.boolean_or("sentence_piece_words", false));
}

/// {"token", "scoreless", "otherwise"}: the token's place, where it must have the score 0 if scoreless; else the other number.
std::uint64_t unk_by_text(const Json& rule, const Vocabulary& vocabulary, const std::vector<double>& scores, const std::string& object) {
  const std::string token = rule.at("token");
  const auto id = vocabulary.find(token);
  if (id && (!rule.at("scoreless").get<bool>() || scores[*id] == 0)) return *id;
  const auto otherwise = rule.at("otherwise").get<std::int64_t>();
  if (otherwise < 0) throw FormatError(fmt::format("{}: the class needs the unknown token '{}' with a score of 0 in the vocabulary", object, token));
  return static_cast<std::uint64_t>(otherwise);
}

std::unique_ptr<Model> read_unigram(const Members& members) {
  const JsonFields fields(members.small, members.object);
  std::optional<std::uint64_t> unk_id;
  const bool by_text = members.edited && fields.has_value("unk_id") && fields.at("unk_id").is_object();
  if (fields.has_value("unk_id") && !by_text) unk_id = fields.count("unk_id");
  const bool byte_fallback = fields.boolean_or("byte_fallback", false);
  if (!members.vocab) throw FormatError(fmt::format("{}: no 'vocab', expected a list", members.object));
  JsonCursor cursor = members.vocab->at;
  Vocabulary vocabulary;
  std::vector<double> scores;
  std::string token;
  bool first = true;
  cursor.begin_array();
  while (cursor.next_element(first)) {
    bool first_part = true;
    cursor.begin_array();
    if (!cursor.next_element(first_part)) cursor.fail("expected [token, score]");
    cursor.string(token);
    if (!cursor.next_element(first_part)) cursor.fail("expected [token, score]");
    vocabulary.add(token, static_cast<std::uint32_t>(scores.size()));
    scores.push_back(cursor.real());
    if (cursor.next_element(first_part)) cursor.fail("expected [token, score]");
  }
  vocabulary.freeze();
  if (by_text) unk_id = unk_by_text(fields.at("unk_id"), vocabulary, scores, members.object);
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), unk_id, byte_fallback);
}

/// Merges that no model reads must still be JSON.
void check_merges(const Members& members) {
  if (members.merges) JsonCursor(members.merges->at).skip();
}

}  // namespace

struct ModelText::State {
  Members members;
};

ModelText::ModelText(JsonCursor& cursor, const std::string& object) : state_(std::make_unique<State>(State{read_members(cursor, object)})) {}
ModelText::ModelText(ModelText&&) noexcept = default;
ModelText& ModelText::operator=(ModelText&&) noexcept = default;
ModelText::~ModelText() = default;

std::unique_ptr<Model> ModelText::build(const std::function<void(Json&)>& edit) {
  Members& members = state_->members;
  const std::string& object = members.object;
  if (edit) {
    // A rule for the unknown token is an edit's to set; a file's object is a wrong kind like any other.
    const auto unk = members.small.find("unk_id"), type = members.small.find("type");
    const bool unigram = type == members.small.end() || *type == "Unigram";
    if (unigram && unk != members.small.end() && unk->is_object()) static_cast<void>(JsonFields(members.small, object).count("unk_id"));
    edit(members.small);
    members.edited = true;
    take_edited(members, "vocab", members.vocab, members.own_vocab);
    take_edited(members, "merges", members.merges, members.own_merges);
  }
  if (const auto type = members.small.find("type"); type != members.small.end()) {
    if (*type == "BPE") return read_bpe(members);
    check_merges(members);
    if (*type == "WordPiece") return read_word_piece(members);
    if (*type == "WordLevel") return read_word_level(members);
    if (*type == "Unigram") return read_unigram(members);
    throw UnsupportedError(fmt::format("{}: unknown type {}", object, type->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80)));
  }
  check_merges(members);
  std::string reasons;
  for (const auto read : {read_bpe, read_word_piece, read_word_level, read_unigram}) {
    try {
      return read(members);
    } catch (const FormatError& e) {
      reasons += reasons.empty() ? "" : "; ";
      reasons += e.message();
    }
  }
  throw FormatError(fmt::format("{}: no 'type', and it is none of BPE, WordPiece, WordLevel, Unigram ({})", object, reasons));
}

}  // namespace bigmodel::tokenizer
