// SPDX-License-Identifier: Apache-2.0
// Token texts and their ids, both ways, in little memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::tokenizer {

/// Hash of a byte string; good for tables, not against an adversary.
std::uint64_t hash_bytes(std::string_view bytes) noexcept;

/// Insert all, then freeze(), then look up from any thread. Adding a text again gives it the new id.
class Vocabulary {
 public:
  void reserve(std::size_t tokens, std::size_t text_bytes);
  void add(std::string_view token, std::uint32_t id);
  void freeze();

  std::size_t size() const noexcept { return offsets_.size() - 1; }
  std::optional<std::uint32_t> find(std::string_view token) const noexcept { return find(token, hash_bytes(token)); }
  /// `hash` is hash_bytes(token).
  std::optional<std::uint32_t> find(std::string_view token, std::uint64_t hash) const noexcept;
  /// Empty optional where no token has the id. The view lives as long as the vocabulary.
  std::optional<std::string_view> text_of(std::uint32_t id) const noexcept;
  std::uint32_t highest_id() const noexcept { return highest_; }
  /// Whether two texts share one id.
  bool has_shared_ids() const noexcept { return shared_ids_; }
  std::size_t longest_text() const noexcept { return longest_; }

  // For many look-ups in a row: each step fetches what the next one, and in the end find(), reads.
  void fetch_slot(std::uint64_t hash) const noexcept {
    if (!slots_.empty()) __builtin_prefetch(&slots_[home(hash)]);
  }
  void fetch_place(std::uint64_t hash) const noexcept {
    if (const std::size_t entry = likely_entry(hash); entry < size()) __builtin_prefetch(&offsets_[entry]);
  }
  void fetch_text(std::uint64_t hash) const noexcept {
    if (const std::size_t entry = likely_entry(hash); entry < size()) __builtin_prefetch(texts_.data() + offsets_[entry]);
  }

 private:
  /// A slot holds an entry + 1 (0: free) in its low bits, and bits of the hash above, so that most other texts are told apart
  /// without looking at them.
  static constexpr unsigned kEntryBits = 24;

  std::string_view text(std::size_t entry) const noexcept { return std::string_view(texts_.data() + offsets_[entry], offsets_[entry + 1] - offsets_[entry]); }
  std::uint32_t id_at(std::size_t entry) const noexcept { return ids_.empty() ? static_cast<std::uint32_t>(entry) : ids_[entry]; }
  std::size_t home(std::uint64_t hash) const noexcept { return static_cast<std::size_t>((static_cast<unsigned __int128>(hash) * slots_.size()) >> 64); }
  std::uint32_t tag(std::uint64_t hash) const noexcept { return static_cast<std::uint32_t>(hash) & ~entry_mask_; }
  std::size_t likely_entry(std::uint64_t hash) const noexcept { return slots_.empty() ? size() : std::size_t{slots_[home(hash)] & entry_mask_} - 1; }
  std::size_t slot_of(std::string_view token, std::uint64_t hash) const noexcept;
  void resize(std::size_t tokens);

  std::string texts_;
  std::vector<std::uint32_t> offsets_{0};  ///< of entry i's text, and of the end
  std::vector<std::uint32_t> ids_;         ///< empty where entry i has id i
  std::vector<std::uint32_t> slots_;       ///< at least half as many again as there are entries
  std::uint32_t entry_mask_ = (std::uint32_t{1} << kEntryBits) - 1;
  std::vector<std::uint32_t> by_id_;       ///< entry + 1 of id where ids are dense, else empty
  std::vector<std::uint32_t> sorted_;      ///< entries by id where they are not
  std::uint32_t highest_ = 0;
  std::size_t longest_ = 0;
  bool shared_ids_ = false;
};

}  // namespace bigmodel::tokenizer
