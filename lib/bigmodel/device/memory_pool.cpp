// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/memory_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kSmallest = 512;
constexpr std::uint64_t kLarge = std::uint64_t{16} << 20;
constexpr std::uint64_t kLargeStep = std::uint64_t{2} << 20;

std::uint64_t round_up(std::uint64_t value, std::uint64_t step) { return (value + step - 1) / step * step; }

using FreeBlocks = std::multimap<std::uint64_t, std::byte*>;

/// The smallest that is large enough and not by more than a quarter.
std::byte* take_from(FreeBlocks& blocks, std::uint64_t size_bytes, std::uint64_t& got_bytes) {
  const auto it = blocks.lower_bound(size_bytes);
  if (it == blocks.end() || it->first > size_bytes + size_bytes / 4) return nullptr;
  std::byte* const block = it->second;
  got_bytes = it->first;
  blocks.erase(it);
  return block;
}

}  // namespace

struct MemoryPool::State {
  struct Given {
    std::uint64_t size_bytes = 0;
    const Arena* arena = nullptr;
  };

  std::string name;
  std::shared_ptr<RawMemory> raw;
  std::optional<std::uint64_t> budget_bytes;

  std::mutex mutex;
  bool closed = false;                               ///< the pool is gone: what comes back goes to the device
  FreeBlocks unused;
  std::unordered_map<const Arena*, FreeBlocks> arenas;
  std::unordered_map<std::byte*, Given> given;
  const Arena* recording = nullptr;
  std::thread::id recorder;
  std::atomic<std::uint64_t> held = 0, allocated = 0, peak = 0;

  void give_to_device(std::byte* block, std::uint64_t size_bytes) noexcept {
    raw->free(block);
    held -= size_bytes;
  }

  void trim() noexcept {
    for (const auto& [size_bytes, block] : unused) give_to_device(block, size_bytes);
    unused.clear();
  }

  std::byte* new_block(std::uint64_t size_bytes) {
    if (budget_bytes && held + size_bytes > *budget_bytes) return nullptr;
    std::byte* const block = raw->allocate(size_bytes);
    if (block != nullptr) held += size_bytes;
    return block;
  }

  std::byte* take(std::uint64_t wanted_bytes) {
    const std::lock_guard lock(mutex);
    const std::uint64_t size_bytes = rounded(wanted_bytes);
    const Arena* const arena = recording != nullptr && recorder == std::this_thread::get_id() ? recording : nullptr;
    std::uint64_t got_bytes = size_bytes;
    std::byte* block = arena == nullptr ? nullptr : take_from(arenas[arena], size_bytes, got_bytes);
    if (block == nullptr) block = take_from(unused, size_bytes, got_bytes);
    if (block == nullptr) block = new_block(size_bytes);
    if (block == nullptr && arena == nullptr) {
      trim();
      block = new_block(size_bytes);
    }
    if (block == nullptr) throw_full(wanted_bytes);
    try {
      given.emplace(block, Given{got_bytes, arena});
    } catch (...) {
      give_to_device(block, got_bytes);
      throw;
    }
    allocated += got_bytes;
    peak = std::max(peak.load(), allocated.load());
    return block;
  }

  [[noreturn]] void throw_full(std::uint64_t wanted_bytes) {
    std::uint64_t free_bytes = raw->free_bytes();
    if (budget_bytes) free_bytes = std::min(free_bytes, *budget_bytes - std::min(*budget_bytes, held.load()));
    throw CapacityError(fmt::format("{}: out of memory, wanted {}, free {} beside the {} in use", name, format_binary(wanted_bytes), format_binary(free_bytes),
                                    format_binary(held.load())),
                        "place fewer modules there (--max-memory), or shorten the context");
  }

  void put_back(std::byte* block) noexcept {
    const std::lock_guard lock(mutex);
    const auto it = given.find(block);
    const Given was = it->second;
    given.erase(it);
    allocated -= was.size_bytes;
    if (closed) return give_to_device(block, was.size_bytes);
    const auto arena = arenas.find(was.arena);
    try {
      (arena == arenas.end() ? unused : arena->second).emplace(was.size_bytes, block);
    } catch (...) {
      give_to_device(block, was.size_bytes);
    }
  }
};

MemoryPool::Arena::Arena(std::shared_ptr<State> state) : state_(std::move(state)) {}

MemoryPool::Arena::~Arena() {
  const std::lock_guard lock(state_->mutex);
  const auto it = state_->arenas.find(this);
  if (it == state_->arenas.end()) return;
  if (state_->closed) {
    for (const auto& [size_bytes, block] : it->second) state_->give_to_device(block, size_bytes);
  } else {
    state_->unused.merge(it->second);
  }
  state_->arenas.erase(it);
}

MemoryPool::MemoryPool(std::string name, std::shared_ptr<RawMemory> raw, std::optional<std::uint64_t> budget_bytes) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->raw = std::move(raw);
  state_->budget_bytes = budget_bytes;
}

MemoryPool::~MemoryPool() {
  const std::lock_guard lock(state_->mutex);
  state_->closed = true;
  state_->trim();
}

std::uint64_t MemoryPool::rounded(std::uint64_t size_bytes) {
  if (size_bytes <= kSmallest) return kSmallest;
  // Nothing that large can be had: the raw allocation says so.
  if (size_bytes > std::uint64_t{1} << 62) return size_bytes;
  return round_up(size_bytes, size_bytes >= kLarge ? kLargeStep : std::max(kSmallest, std::bit_floor(size_bytes) / 8));
}

std::shared_ptr<std::byte[]> MemoryPool::allocate(std::uint64_t size_bytes) {
  std::byte* const block = state_->take(size_bytes);
  return {block, [state = state_](std::byte* b) { state->put_back(b); }};
}

std::shared_ptr<MemoryPool::Arena> MemoryPool::begin_recording() {
  auto arena = std::make_shared<Arena>(state_);
  const std::lock_guard lock(state_->mutex);
  BIGMODEL_ASSERT(state_->recording == nullptr);
  state_->arenas.try_emplace(arena.get());
  state_->recording = arena.get();
  state_->recorder = std::this_thread::get_id();
  return arena;
}

void MemoryPool::end_recording() {
  const std::lock_guard lock(state_->mutex);
  state_->recording = nullptr;
}

void MemoryPool::trim() {
  const std::lock_guard lock(state_->mutex);
  state_->trim();
}

std::uint64_t MemoryPool::allocated_bytes() const noexcept { return state_->allocated; }
std::uint64_t MemoryPool::peak_bytes() const noexcept { return state_->peak; }
std::uint64_t MemoryPool::held_bytes() const noexcept { return state_->held; }

}  // namespace bigmodel
