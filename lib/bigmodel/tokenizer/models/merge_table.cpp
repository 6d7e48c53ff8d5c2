// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/models/merge_table.h"

#include <algorithm>

namespace bigmodel::tokenizer {

void MergeTable::reserve(std::size_t merges) {
  const std::size_t wanted = (merges + waiting_.size() + 1) * 5 / 3 + 1;
  if (wanted <= slots_.size()) return;
  std::vector<Entry> old;
  old.swap(slots_);
  slots_.resize(wanted);
  size_ = 0;
  for (const Entry& e : old) {
    if (e.rank != kNone) place(e);
  }
}

void MergeTable::add(std::uint32_t left, std::uint32_t right, std::uint32_t rank, std::uint32_t joined) {
  if (slots_.size() * 3 < (size_ + waiting_.size() + 1) * 5) reserve(std::max<std::size_t>(8, size_ * 2) + waiting_.size());
  last_joined_ = joined;
  // The memory that an entry goes to is far from the last one's: it is on its way while others are read.
  Entry& waiting = waiting_[additions_ % waiting_.size()];
  if (additions_ >= waiting_.size()) place(waiting);
  ++additions_;
  waiting = {left, right, rank, joined};
  __builtin_prefetch(&slots_[home(left, right)]);
}

void MergeTable::freeze() {
  const std::size_t count = std::min(additions_, waiting_.size());
  for (std::size_t i = additions_ - count; i < additions_; ++i) place(waiting_[i % waiting_.size()]);
}

void MergeTable::place(const Entry& entry) {
  std::size_t at = home(entry.left, entry.right);
  while (slots_[at].rank != kNone && (slots_[at].left != entry.left || slots_[at].right != entry.right)) {
    at = at + 1 == slots_.size() ? 0 : at + 1;
  }
  size_ += slots_[at].rank == kNone;
  slots_[at] = entry;
}

}  // namespace bigmodel::tokenizer
