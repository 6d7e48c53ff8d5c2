// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/weight_slices.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <system_error>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/read_memory.h"
#include "bigmodel/io/direct_reader.h"

namespace bigmodel {
namespace {

/// What a disk reads while it would find another place.
constexpr std::uint64_t kCheapGap = std::uint64_t{128} << 10;
/// Scratch memory of slices that are read with gaps between them.
constexpr std::uint64_t kMostScratch = std::uint64_t{4} << 20;

std::uint64_t padded(std::uint64_t bytes) { return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment; }

}  // namespace

std::unique_ptr<TensorReader> SlicePool::take_reader() {
  const std::lock_guard lock(mutex_);
  if (readers_.empty()) return std::make_unique<TensorReader>(checkpoint_, disk_);
  std::unique_ptr<TensorReader> out = std::move(readers_.back());
  readers_.pop_back();
  return out;
}

std::shared_ptr<std::byte[]> SlicePool::memory(std::uint64_t size_bytes) {
  Piece piece;
  {
    const std::lock_guard lock(mutex_);
    const auto smaller = [](const Piece& a, const Piece& b) { return a.size_bytes < b.size_bytes; };
    std::ranges::sort(pieces_, smaller);
    const auto fits = std::ranges::find_if(pieces_, [&](const Piece& p) { return p.size_bytes >= size_bytes; });
    if (fits != pieces_.end()) {
      piece = std::move(*fits);
      pieces_.erase(fits);
    } else if (!pieces_.empty()) {
      // Too small for this one: it makes room for a larger piece.
      pieces_.pop_back();
    }
  }
  if (piece.memory == nullptr) piece = {read_memory(0, std::max<std::uint64_t>(size_bytes, 1)), size_bytes};
  std::byte* const start = piece.memory.get();
  return {start, [pool = weak_from_this(), piece = std::move(piece)](std::byte*) mutable {
            if (const std::shared_ptr<SlicePool> alive = pool.lock()) alive->give_back(std::move(piece));
          }};
}

void SlicePool::give_back(Piece piece) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    pieces_.push_back(std::move(piece));
  } catch (const std::bad_alloc&) {
    // Not kept, then.
  }
}

std::vector<std::int64_t> wanted_slices(std::span<const std::int64_t> numbers) {
  std::vector<std::int64_t> out(numbers.begin(), numbers.end());
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

std::uint64_t WeightSlices::slice_bytes() const { return source_.size_bytes() / static_cast<std::uint64_t>(source_.shape.front()); }

StoredTensor WeightSlices::read(std::span<const std::int64_t> wanted) const { return read(wanted, pool_->memory(slice_bytes() * wanted.size())); }

StoredTensor WeightSlices::read(std::span<const std::int64_t> wanted, const std::shared_ptr<std::byte[]>& memory) const {
  Shape shape = source_.shape;
  shape.front() = static_cast<std::int64_t>(wanted.size());
  pool_->with_reader([&](TensorReader& reader) { read_into(memory.get(), wanted, reader); });
  return {{source_.dtype, std::move(shape), memory.get()}, &cpu_device(), memory};
}

void WeightSlices::read_into(std::byte* memory, std::span<const std::int64_t> wanted, TensorReader& reader) const {
  const std::uint64_t each = slice_bytes();
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < wanted.size();) {
    std::size_t end = i + 1;
    const auto span_bytes = [&](std::size_t last) { return static_cast<std::uint64_t>(wanted[last] - wanted[i] + 1) * each; };
    const auto gap_bytes = [&](std::size_t k) { return static_cast<std::uint64_t>(wanted[k] - wanted[k - 1] - 1) * each; };
    while (end < wanted.size() && gap_bytes(end) <= kCheapGap && (wanted[end] - wanted[i] == static_cast<std::int64_t>(end - i) || span_bytes(end) <= kMostScratch)) ++end;
    const std::int64_t count = wanted[end - 1] - wanted[i] + 1;
    std::byte* const out = memory + i * each;
    if (count == static_cast<std::int64_t>(end - i)) {
      read_slices(source_, reader, wanted[i], count, {out, static_cast<std::size_t>(each * (end - i))});
    } else {
      scratch.resize(static_cast<std::size_t>(span_bytes(end - 1)));
      read_slices(source_, reader, wanted[i], count, scratch);
      for (std::size_t k = i; k < end; ++k) std::memcpy(memory + k * each, scratch.data() + static_cast<std::uint64_t>(wanted[k] - wanted[i]) * each, each);
    }
    i = end;
  }
}

StoredTensor WeightSlices::read_all() const {
  std::vector<std::int64_t> all(static_cast<std::size_t>(source_.shape.front()));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return read(all);
}

SliceSequence::SliceSequence(std::vector<const WeightSlices*> tensors, std::vector<std::int64_t> wanted) : tensors_(std::move(tensors)), wanted_(std::move(wanted)) {
  for (const WeightSlices* t : tensors_) size_bytes_ += padded(t->slice_bytes()) + kDirectAlignment;
  begin();
}

SliceSequence::~SliceSequence() {
  for (std::future<StoredTensor>& r : reading_) {
    if (r.valid()) r.wait();
  }
}

void SliceSequence::begin() {
  reading_.clear();
  if (at_ == wanted_.size()) return;
  const std::shared_ptr<std::byte[]> memory = tensors_.front()->pool().memory(size_bytes_);
  std::uint64_t at = 0;
  for (const WeightSlices* t : tensors_) {
    const std::uint64_t phase = slice_file_offset(t->source(), wanted_[at_]) % kDirectAlignment;
    const auto read = [t, number = wanted_[at_], part = std::shared_ptr<std::byte[]>(memory, memory.get() + at + phase)] { return t->read({&number, 1}, part); };
    at += padded(t->slice_bytes()) + kDirectAlignment;
    try {
      reading_.push_back(std::async(std::launch::async, read));
    } catch (const std::system_error&) {
      // No thread to be had: it is read when it is wanted.
      reading_.push_back(std::async(std::launch::deferred, read));
    }
  }
}

std::vector<StoredTensor> SliceSequence::next() {
  BIGMODEL_ASSERT(at_ < wanted_.size());
  std::vector<StoredTensor> out;
  for (std::future<StoredTensor>& r : reading_) out.push_back(r.get());
  ++at_;
  begin();
  return out;
}

}  // namespace bigmodel
