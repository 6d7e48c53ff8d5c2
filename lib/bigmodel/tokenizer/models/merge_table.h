// SPDX-License-Identifier: Apache-2.0
// BPE's merges: a pair of ids, its rank and the id of the joined token.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace bigmodel::tokenizer {

/// Add all, then freeze(), then look up from any thread.
class MergeTable {
 public:
  struct Entry {
    std::uint32_t left = 0, right = 0;
    std::uint32_t rank = kNone;
    std::uint32_t joined = 0;
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  void reserve(std::size_t merges);
  /// A pair added again gets the new rank and id. `rank` < kNone.
  void add(std::uint32_t left, std::uint32_t right, std::uint32_t rank, std::uint32_t joined);
  void freeze();
  /// rank == kNone where the pair does not merge.
  Entry find(std::uint32_t left, std::uint32_t right) const noexcept {
    if (slots_.empty()) return {};
    for (std::size_t at = home(left, right);; at = at + 1 == slots_.size() ? 0 : at + 1) {
      const Entry& e = slots_[at];
      if (e.rank == kNone || (e.left == left && e.right == right)) return e;
    }
  }
  std::size_t size() const noexcept { return size_; }
  /// Calls of add(): the next rank.
  std::size_t additions() const noexcept { return additions_; }
  /// The id that the last add() was called with.
  std::uint32_t last_joined() const noexcept { return last_joined_; }
  const std::vector<Entry>& slots() const noexcept { return slots_; }

 private:
  void place(const Entry& entry);
  std::size_t home(std::uint32_t left, std::uint32_t right) const noexcept {
    std::uint64_t h = (std::uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15ULL;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93ULL;
    return static_cast<std::size_t>((static_cast<unsigned __int128>(h) * slots_.size()) >> 64);
  }

  std::vector<Entry> slots_;         ///< five for three merges
  std::array<Entry, 16> waiting_;  ///< the last ones added
  std::size_t size_ = 0, additions_ = 0;
  std::uint32_t last_joined_ = 0;
};

}  // namespace bigmodel::tokenizer
