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

  std::size_t size() const noexcept { return entries_.size(); }
  std::optional<std::uint32_t> find(std::string_view token) const noexcept;
  /// Empty optional where no token has the id. The view lives as long as the vocabulary.
  std::optional<std::string_view> text_of(std::uint32_t id) const noexcept;
  std::uint32_t highest_id() const noexcept { return highest_; }
  /// Whether two texts share one id.
  bool has_shared_ids() const noexcept { return shared_ids_; }
  std::size_t longest_text() const noexcept { return longest_; }

 private:
  struct Entry {
    std::uint32_t offset = 0, size = 0, id = 0;
  };
  std::string_view text(const Entry& e) const noexcept { return std::string_view(texts_).substr(e.offset, e.size); }
  std::size_t slot_of(std::string_view token, std::uint64_t hash) const noexcept;
  void grow();

  std::string texts_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;    ///< entry + 1, 0 where free
  std::vector<std::uint32_t> by_id_;    ///< entry + 1 of id where ids are dense, else empty
  std::vector<std::uint32_t> sorted_;   ///< entries by id where they are not
  std::uint32_t highest_ = 0;
  std::size_t longest_ = 0;
  bool shared_ids_ = false;
};

}  // namespace bigmodel::tokenizer
