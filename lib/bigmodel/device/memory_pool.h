// SPDX-License-Identifier: Apache-2.0
// A device's memory, given out again without asking the driver: blocks by size class over a raw pair of allocate and free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace bigmodel {

/// Where a pool gets its blocks. Called by one thread at a time.
class RawMemory {
 public:
  virtual ~RawMemory() = default;
  /// Aligned to 256 bytes; null where there is no room. Throws DeviceError where the device is broken.
  virtual std::byte* allocate(std::uint64_t size_bytes) = 0;
  /// Waits, where it must, until the device is done with the block.
  virtual void free(std::byte* block) noexcept = 0;
  /// Of the device, as far as it says; for errors.
  virtual std::uint64_t free_bytes() noexcept { return 0; }
};

/// Threads may share it. A block that was let go is given out again at once: whoever gets it queues its work behind that of the one before, so one
/// pool serves one lane. What is given out may outlive the pool; the raw memory lives until the last of it is back.
class MemoryPool {
 public:
  struct State;

  /// Blocks that one recording was given. They serve nobody else until this is gone, and also then only when they are let go.
  class Arena {
   public:
    explicit Arena(std::shared_ptr<State> state);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

   private:
    friend class MemoryPool;
    std::shared_ptr<State> state_;
  };

  /// `name` is the device's, for errors. The pool holds at most `budget_bytes` of raw memory; none: as much as there is.
  MemoryPool(std::string name, std::shared_ptr<RawMemory> raw, std::optional<std::uint64_t> budget_bytes = {});
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// Uninitialised, 256-byte aligned, one byte at least. Where there is no room, unused blocks go back to the device first (not while this thread
  /// records: that could wait for the device). Throws CapacityError with the bytes wanted and free.
  std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes);

  /// From here to end_recording(), what the calling thread allocates comes from the arena. One recording at a time.
  std::shared_ptr<Arena> begin_recording();
  void end_recording();

  /// Gives unused blocks back to the device.
  void trim();

  /// Given out and not back; the most that ever was; held from the device. As the classes round.
  std::uint64_t allocated_bytes() const noexcept;
  std::uint64_t peak_bytes() const noexcept;
  std::uint64_t held_bytes() const noexcept;

  /// What a request takes: eighths of a power of two, from 16 MiB on multiples of 2 MiB.
  static std::uint64_t rounded(std::uint64_t size_bytes);

 private:
  std::shared_ptr<State> state_;
};

}  // namespace bigmodel
