// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/models/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/byte_alphabet.h"
#include "bigmodel/tokenizer/models/word_cache.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

constexpr std::uint64_t kMissing = ~std::uint64_t{0};
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";
/// Above this many symbols a heap beats looking through all pairs.
constexpr std::size_t kFewSymbols = 96;
constexpr std::size_t kCachedBytes = 64;

struct Candidate {
  std::uint32_t rank, position, joined;
  bool operator>(const Candidate& other) const noexcept {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

struct Bpe::BpeScratch final : Model::Scratch {
  std::vector<Symbol> symbols;
  std::vector<MergeTable::Entry> pairs;  ///< of symbols i and i + 1
  std::vector<std::int32_t> next, previous;
  std::vector<Candidate> heap;
  std::string text;
  WordCache cache;
};

Bpe::Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), options_(std::move(options)) {
  look_at_vocabulary();
}

std::uint64_t Bpe::look_up(std::string_view token) const {
  const auto id = vocabulary_.find(token);
  return id ? *id : kMissing;
}

void Bpe::look_at_vocabulary() {
  std::string text;
  for (char32_t c = 0; c < 128; ++c) {
    text.assign(1, static_cast<char>(c));
    ascii_ids_[c] = look_up(text);
  }
  bool all_bytes = true;
  for (unsigned b = 0; b < 256; ++b) {
    text.clear();
    append_utf8(text, kByteCharacters[b]);
    raw_ids_[b] = look_up(text);
    all_bytes &= raw_ids_[b] != kMissing;
    fallback_ids_[b] = look_up(fmt::format("<0x{:02X}>", b));
  }
  if (options_.unk_token) unk_id_ = vocabulary_.find(*options_.unk_token);
  const bool plain = !options_.continuing_subword_prefix && !options_.end_of_word_suffix;
  const bool empty_affixes = options_.continuing_subword_prefix.value_or("").empty() && options_.end_of_word_suffix.value_or("").empty();
  takes_raw_bytes_ = all_bytes && (plain || empty_affixes);
  splits_at_spaces_ = takes_raw_bytes_ ? false : empty_affixes && !options_.ignore_merges && no_merge_enters_a_word();
}

bool Bpe::no_merge_enters_a_word() const {
  if (!vocabulary_.find(kSpaceMark)) return false;
  if (options_.unk_token && options_.unk_token->ends_with(kSpaceMark)) return false;
  return std::ranges::none_of(merges_.slots(), [this](const MergeTable::Entry& e) {
    if (e.rank == MergeTable::kNone) return false;
    return vocabulary_.text_of(e.right).value_or("").starts_with(kSpaceMark) && !vocabulary_.text_of(e.left).value_or("").ends_with(kSpaceMark);
  });
}

std::unique_ptr<Model::Scratch> Bpe::make_scratch() const { return std::make_unique<BpeScratch>(); }

void Bpe::tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const {
  auto& s = static_cast<BpeScratch&>(scratch);
  if (!splits_at_spaces_) {
    tokenize_cached(word, s, out, false);
    return;
  }
  const std::size_t start = out.size();
  std::size_t begin = 0;
  while (begin < word.size()) {
    // Past the marks that the part begins with, up to the next mark.
    std::size_t at = begin;
    while (word.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
    const std::size_t end = std::min(word.find(kSpaceMark, at), word.size());
    const std::size_t first = out.size();
    tokenize_cached(word.substr(begin, end - begin), s, out, false);
    if (begin > 0) {
      // Dropped characters (no unknown token) shift what follows: bounds go on from the last token's end.
      const std::uint32_t shift = first == start ? 0 : out[first - 1].end;
      for (std::size_t i = first; i < out.size(); ++i) {
        out[i].begin += shift;
        out[i].end += shift;
      }
    }
    begin = end;
  }
}

void Bpe::tokenize_raw(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const {
  tokenize_cached(word, static_cast<BpeScratch&>(scratch), out, true);
}

void Bpe::tokenize_cached(std::string_view word, BpeScratch& scratch, std::vector<ModelToken>& out, bool raw) const {
  const bool cached = word.size() <= kCachedBytes;
  std::uint64_t hash = 0;
  if (cached) {
    hash = hash_bytes(word);
    if (scratch.cache.find(word, hash, out)) return;
  }
  const std::size_t first = out.size();
  merge_word(word, scratch, raw);
  std::uint32_t at = 0;
  for (const Symbol& symbol : scratch.symbols) {
    out.push_back({symbol.id, at, at + symbol.size});
    at += symbol.size;
  }
  if (cached) scratch.cache.add(word, hash, std::span<const ModelToken>(out).subspan(first));
}

std::uint32_t Bpe::unk_id() const {
  if (!unk_id_) throw UnsupportedError(fmt::format("BPE: a character is not in the vocabulary, and neither is the unknown token '{}'", *options_.unk_token));
  return *unk_id_;
}

void Bpe::characters(std::string_view word, BpeScratch& scratch) const {
  std::optional<Symbol> unk;
  const bool affixes = options_.continuing_subword_prefix || options_.end_of_word_suffix;
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t size = utf8_length(word[begin]);
    const bool is_last = begin + size == word.size();
    std::string_view text = word.substr(begin, size);
    std::uint64_t id = kMissing;
    if (affixes) {
      scratch.text.clear();
      if (begin > 0) scratch.text += options_.continuing_subword_prefix.value_or("");
      scratch.text += text;
      if (is_last) scratch.text += options_.end_of_word_suffix.value_or("");
      text = scratch.text;
      id = look_up(text);
    } else {
      id = size == 1 ? ascii_ids_[static_cast<unsigned char>(word[begin])] : look_up(text);
    }
    begin += size;
    if (id != kMissing) {
      if (unk) scratch.symbols.push_back(*unk);
      unk.reset();
      scratch.symbols.push_back({static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(size)});
      continue;
    }
    const auto fallback = [this](char c) { return fallback_ids_[static_cast<unsigned char>(c)]; };
    if (options_.byte_fallback && std::ranges::none_of(text, [&](char c) { return fallback(c) == kMissing; })) {
      for (const char c : text) scratch.symbols.push_back({static_cast<std::uint32_t>(fallback(c)), 1});
      continue;
    }
    if (!options_.unk_token) continue;
    if (unk && options_.fuse_unk) {
      unk->size += static_cast<std::uint32_t>(size);
      continue;
    }
    if (unk) scratch.symbols.push_back(*unk);
    unk = Symbol{unk_id(), static_cast<std::uint32_t>(size)};
  }
  if (unk) scratch.symbols.push_back(*unk);
}

void Bpe::merge_word(std::string_view word, BpeScratch& scratch, bool raw) const {
  scratch.symbols.clear();
  if (options_.ignore_merges) {
    scratch.text.clear();
    if (raw) append_byte_alphabet(scratch.text, word);
    if (const auto id = vocabulary_.find(raw ? std::string_view(scratch.text) : word)) {
      scratch.symbols.push_back({*id, static_cast<std::uint32_t>(word.size())});
      return;
    }
  }
  if (raw) {
    for (const char c : word) scratch.symbols.push_back({static_cast<std::uint32_t>(raw_ids_[static_cast<unsigned char>(c)]), 1});
  } else {
    characters(word, scratch);
  }
  if (options_.never_merge) return;
  if (scratch.symbols.size() <= kFewSymbols && !vocabulary_.has_shared_ids()) {
    merge_few(scratch);
  } else {
    merge_many(scratch);
  }
}

void Bpe::merge_few(BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<MergeTable::Entry>& pairs = scratch.pairs;
  std::size_t count = symbols.size();
  if (count < 2) return;
  pairs.resize(count - 1);
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = merges_.find(symbols[i].id, symbols[i + 1].id);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == MergeTable::kNone) break;
    symbols[best] = {pairs[best].joined, symbols[best].size + symbols[best + 1].size};
    for (std::size_t i = best + 1; i + 1 < count; ++i) symbols[i] = symbols[i + 1];
    for (std::size_t i = best; i + 2 < count; ++i) pairs[i] = pairs[i + 1];
    --count;
    if (best > 0) pairs[best - 1] = merges_.find(symbols[best - 1].id, symbols[best].id);
    if (best + 1 < count) pairs[best] = merges_.find(symbols[best].id, symbols[best + 1].id);
  }
  symbols.resize(count);
}

void Bpe::merge_many(BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  const auto count = static_cast<std::int32_t>(symbols.size());
  if (count < 2) return;
  std::vector<std::int32_t>& next = scratch.next;
  std::vector<std::int32_t>& previous = scratch.previous;
  next.resize(symbols.size());
  previous.resize(symbols.size());
  for (std::int32_t i = 0; i < count; ++i) {
    next[static_cast<std::size_t>(i)] = i + 1 < count ? i + 1 : -1;
    previous[static_cast<std::size_t>(i)] = i - 1;
  }
  std::vector<Candidate>& heap = scratch.heap;
  heap.clear();
  const auto candidate = [&](std::size_t left, std::size_t right) -> std::optional<Candidate> {
    const MergeTable::Entry e = merges_.find(symbols[left].id, symbols[right].id);
    if (e.rank == MergeTable::kNone) return std::nullopt;
    return Candidate{e.rank, static_cast<std::uint32_t>(left), e.joined};
  };
  const auto push = [&](std::size_t left, std::size_t right) {
    if (const auto c = candidate(left, right)) {
      heap.push_back(*c);
      std::ranges::push_heap(heap, std::greater<>());
    }
  };
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    if (const auto c = candidate(i, i + 1)) heap.push_back(*c);
  }
  std::ranges::make_heap(heap, std::greater<>());
  while (!heap.empty()) {
    const Candidate top = heap.front();
    std::ranges::pop_heap(heap, std::greater<>());
    heap.pop_back();
    const std::size_t left = top.position;
    if (symbols[left].size == 0 || next[left] < 0) continue;
    const auto right = static_cast<std::size_t>(next[left]);
    // An entry from before one of the two changed.
    const MergeTable::Entry now = merges_.find(symbols[left].id, symbols[right].id);
    if (now.rank == MergeTable::kNone || now.joined != top.joined) continue;
    symbols[left] = {top.joined, symbols[left].size + symbols[right].size};
    symbols[right].size = 0;
    next[left] = next[right];
    if (next[left] >= 0) previous[static_cast<std::size_t>(next[left])] = static_cast<std::int32_t>(left);
    if (previous[left] >= 0) push(static_cast<std::size_t>(previous[left]), left);
    if (next[left] >= 0) push(left, static_cast<std::size_t>(next[left]));
  }
  std::erase_if(symbols, [](const Symbol& s) { return s.size == 0; });
}

}  // namespace bigmodel::tokenizer
