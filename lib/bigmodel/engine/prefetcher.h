// SPDX-License-Identifier: Apache-2.0
// Streams slabs from disk into a few fixed slots, ahead of the layers that want them. After the last slab comes the first again, so
// that the next token finds its first layers loaded.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "bigmodel/engine/slab.h"
#include "bigmodel/io/direct_reader.h"

namespace bigmodel {

/// One thread of its own reads. acquire() and release() come from the thread that runs the model.
class Prefetcher {
 public:
  /// Slabs in the order in which they are wanted; another order works too, but reads again what it had read ahead. At least as many slots
  /// as are held at once; with one more the next slab is read meanwhile. Slots are as large as the largest slab. The checkpoint, the disk and the sources must outlive it.
  Prefetcher(std::vector<Slab> slabs, std::size_t slots, const Checkpoint& checkpoint, const Disk& disk);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Waits until the slab is there; its memory stays until release(). Throws what the read threw: IoError, FormatError.
  const std::byte* acquire(std::size_t slab);
  void release(std::size_t slab);

  const Slab& slab(std::size_t number) const { return slabs_[number]; }
  std::size_t slab_count() const noexcept { return slabs_.size(); }
  std::uint64_t slot_bytes() const noexcept { return slot_bytes_ * slots_.size(); }
  /// Of everything read so far.
  std::uint64_t read_bytes() const;
  /// How long acquire() has waited.
  double waited_s() const;

 private:
  enum class State { empty, loading, ready, held };
  struct Slot {
    AlignedBuffer memory;
    State state = State::empty;
    std::size_t slab = 0;
    std::exception_ptr error;
  };

  void run(std::stop_token stop);
  Slot* find(std::size_t slab);
  Slot* free_slot();

  std::vector<Slab> slabs_;
  const Checkpoint& checkpoint_;
  const Disk& disk_;
  std::uint64_t slot_bytes_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0;             ///< the slab to read next
  bool failed_ = false;              ///< nothing is read ahead after an error until somebody asks again
  std::uint64_t read_bytes_ = 0;
  double waited_s_ = 0;
  std::jthread thread_;              ///< last: it uses everything above
};

}  // namespace bigmodel
