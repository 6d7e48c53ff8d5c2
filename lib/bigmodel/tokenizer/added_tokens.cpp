// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/unicode_class.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

bool is_space_at(std::string_view text, std::size_t at) { return is_in(code_point_at(text, at).value, CharClass::white_space); }

std::size_t without_spaces_before(std::string_view text, std::size_t end) {
  while (end > 0) {
    const CodePoint p = code_point_before(text, end);
    if (!is_in(p.value, CharClass::white_space)) break;
    end -= p.size;
  }
  return end;
}

std::size_t after_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space_at(text, at)) at += utf8_length(text[at]);
  return at;
}

}  // namespace

void StringSet::freeze() {
  // Of equal texts the first in id order is found.
  std::ranges::sort(texts_, [](const Text& a, const Text& b) { return a.text != b.text ? a.text < b.text : a.id < b.id; });
  first_.fill({0, 0});
  for (std::uint32_t i = 0; i < texts_.size(); ++i) {
    if (texts_[i].text.empty()) continue;
    auto& [begin, end] = first_[static_cast<unsigned char>(texts_[i].text[0])];
    if (end == 0) begin = i;
    end = i + 1;
  }
}

std::optional<StringSet::Found> StringSet::find(std::string_view text, std::size_t from) const noexcept {
  // An empty text is found everywhere, where nothing longer is.
  const bool has_empty = !texts_.empty() && texts_[0].text.empty();
  for (std::size_t at = from; at < text.size(); ++at) {
    auto [begin, end] = first_[static_cast<unsigned char>(text[at])];
    std::optional<Found> best;
    if (has_empty && !is_continuation(text[at])) best = Found{at, at, texts_[0].id};
    // Narrows the sorted texts byte by byte; those that end here come first among them.
    for (std::size_t depth = 1; begin < end; ++depth) {
      if (texts_[begin].text.size() == depth) {
        best = Found{at, at + depth, texts_[begin].id};
        while (begin < end && texts_[begin].text.size() == depth) ++begin;
      }
      if (at + depth >= text.size() || begin >= end) break;
      const auto wanted = static_cast<unsigned char>(text[at + depth]);
      const auto byte = [&](const Text& t) { return static_cast<unsigned char>(t.text[depth]); };
      if (end - begin == 1) {
        const std::string& only = texts_[begin].text;
        if (text.substr(at).starts_with(only)) best = Found{at, at + only.size(), texts_[begin].id};
        break;
      }
      const auto first = texts_.begin() + begin, last = texts_.begin() + end;
      const auto low = std::partition_point(first, last, [&](const Text& t) { return byte(t) < wanted; });
      const auto high = std::partition_point(low, last, [&](const Text& t) { return byte(t) <= wanted; });
      begin = static_cast<std::uint32_t>(low - texts_.begin());
      end = static_cast<std::uint32_t>(high - texts_.begin());
    }
    if (best) return best;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> AddedTokens::find(const Model& model, std::string_view content) const {
  if (const auto it = ids_.find(std::string(content)); it != ids_.end()) return it->second;
  return model.find(content);
}

const AddedToken* AddedTokens::by_id(std::uint32_t id) const noexcept {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &it->second;
}

bool AddedTokens::has(const AddedToken& token) const {
  const auto it = ids_.find(token.content);
  const AddedToken* known = it == ids_.end() ? nullptr : by_id(it->second);
  return known != nullptr && *known == token;
}

std::size_t AddedTokens::count_beyond(const Model& model) const {
  std::size_t count = 0;
  for (const auto& [content, id] : ids_) count += !model.find(content);
  return count;
}

void AddedTokens::add(std::span<const AddedToken> tokens, const Model& model, const Normalizer* normalizer) {
  ids_.reserve(ids_.size() + tokens.size());
  by_id_.reserve(by_id_.size() + tokens.size());
  for (const AddedToken& token : tokens) {
    if (token.special && !token.content.empty()) special_.insert(token.content);
  }
  for (const AddedToken& token : tokens) {
    if (token.content.empty() || has(token)) continue;
    std::uint32_t id = 0;
    if (const auto known = find(model, token.content)) {
      id = *known;
    } else {
      // The next id above the added ones, but not inside the model's vocabulary.
      const std::uint64_t size = model.vocabulary_size();
      const std::uint64_t next = !highest_ ? size : *highest_ >= size || size == 0 ? std::uint64_t{*highest_} + 1 : size;
      if (next > 0xFFFFFFFFULL) throw FormatError("added_tokens: no id below 2^32 is left");
      id = static_cast<std::uint32_t>(next);
    }
    ids_[token.content] = id;
    by_id_[id] = token;
    highest_ = std::max(highest_.value_or(0), id);
  }
  rebuild(normalizer);
}

void AddedTokens::rebuild(const Normalizer* normalizer) {
  raw_ = {};
  normalized_ = {};
  normalized_texts_.clear();
  raw_.reserve(by_id_.size());
  for (const auto& [id, token] : by_id_) {
    if (!token.normalized) {
      raw_.add(token.content, id);
    } else {
      std::string& text = normalized_texts_[id];
      text = normalizer != nullptr ? tokenizer::normalized(*normalizer, token.content) : token.content;
      normalized_.add(text, id);
    }
  }
  raw_.freeze();
  normalized_.freeze();
}

template <typename Emit>
void AddedTokens::cut(std::string_view text, const StringSet& set, Emit emit) const {
  std::size_t done = 0;
  const auto u32 = [](std::size_t n) { return static_cast<std::uint32_t>(n); };
  std::size_t from = 0;
  while (const auto found = set.find(text, from)) {
    auto [begin, end, id] = *found;
    from = end > begin ? end : end + utf8_length(text[end]);
    const AddedToken& token = *by_id(id);
    if (encode_special_tokens_ && is_special(token.content)) continue;
    if (token.single_word) {
      const bool open = begin == 0 || !is_in(code_point_before(text, begin).value, CharClass::word);
      const bool closed = end == text.size() || !is_in(code_point_at(text, end).value, CharClass::word);
      if (!open || !closed) continue;
    }
    if (token.lstrip) begin = std::max(without_spaces_before(text, begin), done);
    if (token.rstrip) end = after_spaces(text, end);
    if (done < begin) emit(u32(done), u32(begin), static_cast<const std::uint32_t*>(nullptr));
    emit(u32(begin), u32(end), &id);
    done = end;
  }
  if (done != text.size()) emit(u32(done), u32(text.size()), static_cast<const std::uint32_t*>(nullptr));
}

void AddedTokens::split(PreTokenized& text, bool normalized) const {
  const StringSet& set = normalized ? normalized_ : raw_;
  if (set.empty()) return;
  text.split_tokens([&](std::string_view t, auto emit) { cut(t, set, emit); });
}

}  // namespace bigmodel::tokenizer
