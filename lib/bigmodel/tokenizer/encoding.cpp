// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/encoding.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"

namespace bigmodel::tokenizer {
namespace {

/// Tokens of all overflowing parts together; combinations of parts grow fast.
constexpr std::size_t kMostOverflow = std::size_t{1} << 24;
constexpr std::uint64_t kLongestPadding = std::uint64_t{1} << 26;

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

template <typename T>
std::vector<T> cut(const std::vector<T>& from, std::size_t begin, std::size_t end) {
  // Lists that were not asked for are empty, and an odd template may leave too few tokens.
  begin = std::min(begin, from.size());
  end = std::min(end, from.size());
  return {from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(end)};
}

template <typename T>
void fill(std::vector<T>& to, std::size_t count, const T& value, Direction side) {
  to.insert(side == Direction::left ? to.begin() : to.end(), count, value);
}

std::size_t weight(const Encoding& e) {
  std::size_t sum = e.size() + 1;
  for (const Encoding& o : e.overflowing) sum += weight(o);
  return sum;
}

}  // namespace

std::vector<int> Encoding::sequence_ids() const {
  std::vector<int> out(size(), -1);
  if (!sequences[0] && !sequences[1]) return std::vector<int>(size(), 0);
  // The reference asks for sequences 0 ... n - 1; one that it does not know covers everything.
  const int count = (sequences[0] ? 1 : 0) + (sequences[1] ? 1 : 0);
  for (int i = 0; i < count; ++i) {
    const auto range = sequences[static_cast<std::size_t>(i)].value_or(std::pair<std::size_t, std::size_t>{0, size()});
    for (std::size_t k = range.first; k < std::min(range.second, size()); ++k) out[k] = i;
  }
  return out;
}

void Encoding::merge(const Encoding& other) {
  std::vector<Encoding> combined;
  std::size_t total = 0;
  const auto keep = [&](Encoding e) {
    total += weight(e);
    if (total > kMostOverflow) throw CapacityError("truncation: too many combinations of overflowing parts, raise max_length");
    combined.push_back(std::move(e));
  };
  for (const Encoding& mine : overflowing) {
    Encoding with_other = mine;
    with_other.merge(other);
    keep(std::move(with_other));
    for (const Encoding& theirs : other.overflowing) {
      Encoding with_theirs = mine;
      with_theirs.merge(theirs);
      keep(std::move(with_theirs));
    }
  }
  for (const Encoding& theirs : other.overflowing) {
    Encoding with_theirs = *this;
    with_theirs.merge(theirs);
    keep(std::move(with_theirs));
  }
  const std::size_t shift = size();
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    if (other.sequences[i]) sequences[i] = {shift + other.sequences[i]->first, shift + other.sequences[i]->second};
  }
  append(ids, other.ids);
  append(type_ids, other.type_ids);
  append(tokens, other.tokens);
  append(offsets, other.offsets);
  append(words, other.words);
  append(special_tokens_mask, other.special_tokens_mask);
  append(attention_mask, other.attention_mask);
  overflowing = std::move(combined);
}

Encoding Encoding::part(std::size_t begin, std::size_t end) const {
  Encoding out;
  out.ids = cut(ids, begin, end);
  out.type_ids = cut(type_ids, begin, end);
  out.tokens = cut(tokens, begin, end);
  out.offsets = cut(offsets, begin, end);
  out.words = cut(words, begin, end);
  out.special_tokens_mask = cut(special_tokens_mask, begin, end);
  out.attention_mask = cut(attention_mask, begin, end);
  return out;
}

void Encoding::truncate(std::size_t max_length, std::size_t stride, Direction direction) {
  const std::size_t length = size();
  if (max_length >= length) return;
  if (max_length == 0) {
    Encoding all = std::move(*this);
    *this = {};
    overflowing.push_back(std::move(all));
    return;
  }
  if (stride >= max_length) {
    throw UsageError(fmt::format("truncation: stride {}, expected less than the {} tokens that are left without special ones", stride, max_length));
  }
  const std::size_t step = max_length - stride;
  std::vector<std::pair<std::size_t, std::size_t>> parts;
  if (direction == Direction::right) {
    for (std::size_t begin = 0;; begin += step) {
      parts.emplace_back(begin, std::min(begin + max_length, length));
      if (parts.back().second == length) break;
    }
  } else {
    for (std::size_t end = length;; end -= step) {
      parts.emplace_back(end > max_length ? end - max_length : 0, end);
      if (parts.back().first == 0) break;
    }
  }
  if (parts.size() * max_length > kMostOverflow + length) throw CapacityError("truncation: too many overlapping parts, lower the stride");
  Encoding kept = part(parts.front().first, parts.front().second);
  for (std::size_t i = 1; i < parts.size(); ++i) kept.overflowing.push_back(part(parts[i].first, parts[i].second));
  *this = std::move(kept);
}

void Encoding::pad(std::size_t length, const PaddingParams& params) {
  for (Encoding& o : overflowing) o.pad(length, params);
  if (size() >= length) return;
  const std::size_t count = length - size();
  const bool full = !tokens.empty() || !offsets.empty() || ids.empty();
  fill(ids, count, params.pad_id, params.direction);
  fill(type_ids, count, params.pad_type_id, params.direction);
  if (full) {
    fill(tokens, count, params.pad_token, params.direction);
    fill(offsets, count, Offsets{0, 0}, params.direction);
    fill(words, count, kNoWord, params.direction);
  }
  fill(special_tokens_mask, count, std::uint8_t{1}, params.direction);
  fill(attention_mask, count, std::uint8_t{0}, params.direction);
  if (params.direction == Direction::right) return;
  for (auto& sequence : sequences) {
    if (sequence) sequence = {sequence->first + count, sequence->second + count};
  }
}

void Encoding::add_special(std::uint32_t id, const std::string& token, std::uint32_t type_id, Direction side) {
  fill(ids, 1, id, side);
  fill(type_ids, 1, type_id, side);
  fill(tokens, 1, token, side);
  fill(offsets, 1, Offsets{0, 0}, side);
  fill(words, 1, kNoWord, side);
  fill(special_tokens_mask, 1, std::uint8_t{1}, side);
  fill(attention_mask, 1, std::uint8_t{1}, side);
}

void truncate_encodings(Encoding& encoding, Encoding* pair, const TruncationParams& params) {
  using Strategy = TruncationParams::Strategy;
  const auto cut_to = [&](Encoding& e, std::size_t length) { e.truncate(length, params.stride, params.direction); };
  const std::size_t limit = params.max_length;
  if (limit == 0) {
    cut_to(encoding, 0);
    if (pair != nullptr) cut_to(*pair, 0);
    return;
  }
  const std::size_t total = encoding.size() + (pair != nullptr ? pair->size() : 0);
  if (total <= limit) return;
  if (params.strategy == Strategy::longest_first) {
    if (pair == nullptr) {
      cut_to(encoding, limit);
      return;
    }
    std::size_t shorter = encoding.size(), longer = pair->size();
    const bool swapped = shorter > longer;
    if (swapped) std::swap(shorter, longer);
    longer = shorter > limit ? shorter : std::max(shorter, limit - shorter);
    if (shorter + longer > limit) {
      shorter = limit / 2;
      longer = shorter + limit % 2;
    }
    if (swapped) std::swap(shorter, longer);
    cut_to(encoding, shorter);
    cut_to(*pair, longer);
    return;
  }
  Encoding* target = params.strategy == Strategy::only_first ? &encoding : pair;
  if (target == nullptr) throw UsageError("truncation: strategy only_second, but there is no second text");
  if (target->size() <= total - limit) {
    throw UsageError(fmt::format("truncation: the text of {} tokens is too short to lose {}", target->size(), total - limit));
  }
  cut_to(*target, target->size() - (total - limit));
}

void pad_encodings(std::span<Encoding> encodings, const PaddingParams& params) {
  if (encodings.empty()) return;
  std::uint64_t length = 0;
  for (const Encoding& e : encodings) length = std::max<std::uint64_t>(length, e.size());
  if (params.fixed_length) length = *params.fixed_length;
  if (length > kLongestPadding || params.pad_to_multiple_of > kLongestPadding) {
    throw CapacityError(fmt::format("padding to {} tokens, expected at most {}", std::max(length, params.pad_to_multiple_of), kLongestPadding));
  }
  if (params.pad_to_multiple_of > 0 && length % params.pad_to_multiple_of > 0) {
    length += params.pad_to_multiple_of - length % params.pad_to_multiple_of;
  }
  for (Encoding& e : encodings) e.pad(length, params);
}

}  // namespace bigmodel::tokenizer
