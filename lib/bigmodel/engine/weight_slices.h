// SPDX-License-Identifier: Apache-2.0
// Slices along the first axis of a weight that sleeps on disk, brought as a pass finds out which it wants: rows of an embedding, experts of a mixture.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "bigmodel/engine/stored_tensor.h"
#include "bigmodel/engine/weight_source.h"

namespace bigmodel {

/// What all slices of a model are read with: a few readers and pieces of memory, used again and again. Thread-safe.
class SlicePool : public std::enable_shared_from_this<SlicePool> {
 public:
  SlicePool(const Checkpoint& checkpoint, const Disk& disk) : checkpoint_(checkpoint), disk_(disk) {}

  /// Uninitialised, for direct reads. Comes back when it is let go and is kept for the next that asks; no more pieces than were in use at once. Throws CapacityError.
  std::shared_ptr<std::byte[]> memory(std::uint64_t size_bytes);
  /// Calls `read` with a reader that nobody else uses meanwhile.
  template <typename Read>
  void with_reader(Read&& read) {
    std::unique_ptr<TensorReader> reader = take_reader();
    read(*reader);
    const std::lock_guard lock(mutex_);
    readers_.push_back(std::move(reader));
  }

 private:
  struct Piece {
    std::shared_ptr<std::byte[]> memory;
    std::uint64_t size_bytes = 0;
  };
  std::unique_ptr<TensorReader> take_reader();
  void give_back(Piece piece) noexcept;

  const Checkpoint& checkpoint_;
  const Disk& disk_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<TensorReader>> readers_;   ///< free ones
  std::vector<Piece> pieces_;                            ///< free ones
};

/// The numbers that occur, ascending and once each: what reads of slices take.
std::vector<std::int64_t> wanted_slices(std::span<const std::int64_t> numbers);

/// Of one tensor. Thread-safe. The source, and what the pool reads from, must outlive it.
class WeightSlices {
 public:
  WeightSlices(const WeightSource& source, std::shared_ptr<SlicePool> pool) : source_(source), pool_(std::move(pool)) {}

  /// These slices, one behind the other, in RAM: [wanted.size(), ...]. `wanted`: of wanted_slices, each below the first dimension. What lies close
  /// together is read in one go. Throws what read_source throws, CapacityError.
  StoredTensor read(std::span<const std::int64_t> wanted) const;
  /// The whole tensor.
  StoredTensor read_all() const;
  /// The same into memory of others, slice_bytes() for each.
  StoredTensor read(std::span<const std::int64_t> wanted, const std::shared_ptr<std::byte[]>& memory) const;
  std::uint64_t slice_bytes() const;
  const WeightSource& source() const noexcept { return source_; }
  SlicePool& pool() const noexcept { return *pool_; }

 private:
  void read_into(std::byte* memory, std::span<const std::int64_t> wanted, TensorReader& reader) const;

  const WeightSource& source_;
  std::shared_ptr<SlicePool> pool_;
};

/// A few tensors' slices of the same numbers, one number at a time, the next read by other threads while this one is computed with.
class SliceSequence {
 public:
  /// `tensors` (of one pool, at least one) must outlive it. `wanted`: as of WeightSlices::read. Two numbers are in memory at once.
  SliceSequence(std::vector<const WeightSlices*> tensors, std::vector<std::int64_t> wanted);
  ~SliceSequence();
  SliceSequence(const SliceSequence&) = delete;
  SliceSequence& operator=(const SliceSequence&) = delete;

  /// Of the next number, one entry a tensor, each [1, ...]. Let those of the number before go first. As often as numbers are wanted. Throws what the read threw.
  std::vector<StoredTensor> next();

 private:
  void begin();

  std::vector<const WeightSlices*> tensors_;
  std::vector<std::int64_t> wanted_;
  std::uint64_t size_bytes_ = 0;     ///< of one number, all tensors
  std::size_t at_ = 0;               ///< the number that is read or to be read
  std::vector<std::future<StoredTensor>> reading_;   ///< one a tensor
};

}  // namespace bigmodel
