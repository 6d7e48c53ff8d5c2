// SPDX-License-Identifier: Apache-2.0
// What a text becomes: ids with everything known about each, and the ways to cut, join and pad that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bigmodel::tokenizer {

inline constexpr std::uint32_t kNoWord = ~std::uint32_t{0};

enum class Direction { left, right };

struct TruncationParams {
  enum class Strategy { longest_first, only_first, only_second };
  Direction direction = Direction::right;
  Strategy strategy = Strategy::longest_first;
  std::uint64_t max_length = 512, stride = 0;
};

struct PaddingParams {
  std::optional<std::uint64_t> fixed_length;  ///< else the longest of the batch
  Direction direction = Direction::right;
  std::uint64_t pad_to_multiple_of = 0;
  std::uint32_t pad_id = 0, pad_type_id = 0;
  std::string pad_token = "[PAD]";
};

/// Parallel lists. With EncodeOptions::ids_only `tokens`, `offsets` and `words` are empty.
struct Encoding {
  using Offsets = std::pair<std::uint32_t, std::uint32_t>;

  std::vector<std::uint32_t> ids, type_ids;
  std::vector<std::string> tokens;
  std::vector<Offsets> offsets;            ///< [begin, end) in code points of the original text
  std::vector<std::uint32_t> words;        ///< kNoWord for special tokens
  std::vector<std::uint8_t> special_tokens_mask, attention_mask;
  std::vector<Encoding> overflowing;       ///< what truncation cut off
  std::array<std::optional<std::pair<std::size_t, std::size_t>>, 2> sequences;  ///< tokens [begin, end) of text and pair

  std::size_t size() const noexcept { return ids.size(); }
  /// 0 or 1 for tokens of the text or its pair, else -1.
  std::vector<int> sequence_ids() const;
  void set_sequence(std::size_t index) { sequences[index] = {0, size()}; }

  /// Appends another, with all combinations of what was cut off. Throws CapacityError where those are too many.
  void merge(const Encoding& other);
  /// Keeps `max_length` tokens; the rest goes to `overflowing` in steps that overlap by `stride`.
  /// Throws UsageError unless stride < max_length.
  void truncate(std::size_t max_length, std::size_t stride, Direction direction);
  void pad(std::size_t length, const PaddingParams& params);
  /// One special token before or after the others.
  void add_special(std::uint32_t id, const std::string& token, std::uint32_t type_id, Direction side);
  /// Tokens [begin, end), without overflow and sequences.
  Encoding part(std::size_t begin, std::size_t end) const;
};

/// Throws UsageError where the strategy cannot be followed.
void truncate_encodings(Encoding& encoding, Encoding* pair, const TruncationParams& params);
/// To one length. Throws CapacityError if that is absurd.
void pad_encodings(std::span<Encoding> encodings, const PaddingParams& params);

}  // namespace bigmodel::tokenizer
