// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/device/memory_pool.h"

using namespace bigmodel;

namespace {

/// Counts, and has only so much.
class CountedMemory final : public RawMemory {
 public:
  explicit CountedMemory(std::uint64_t most = ~std::uint64_t{0}) : most_bytes(most) {}
  std::byte* allocate(std::uint64_t size_bytes) override {
    ++allocations;
    if (size_bytes > most_bytes - held_bytes) return nullptr;
    held_bytes += size_bytes;
    auto* const block = new std::byte[static_cast<std::size_t>(size_bytes)];
    blocks.emplace(block, size_bytes);
    return block;
  }
  void free(std::byte* block) noexcept override {
    const auto it = blocks.find(block);
    held_bytes -= it->second;
    blocks.erase(it);
    delete[] block;
  }
  std::uint64_t free_bytes() noexcept override { return most_bytes - held_bytes; }

  std::uint64_t most_bytes, held_bytes = 0;
  int allocations = 0;
  std::map<std::byte*, std::uint64_t> blocks;
};

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB;

}  // namespace

TEST_SUITE("device/memory_pool") {
  TEST_CASE("sizes are rounded by an eighth at most, large ones to 2 MiB") {
    CHECK(MemoryPool::rounded(0) == 512);
    CHECK(MemoryPool::rounded(513) == 1024);
    for (const std::uint64_t size : {1000UL, 4096UL, 5000UL, 65537UL, 1048577UL, 9999999UL, 16777217UL, 1234567890UL}) {
      CAPTURE(size);
      const std::uint64_t rounded = MemoryPool::rounded(size);
      CHECK(rounded >= size);
      CHECK(rounded <= std::max(size + size / 8, size + 511));
      CHECK(MemoryPool::rounded(rounded) == rounded);
      CHECK(rounded % 256 == 0);
    }
    CHECK(MemoryPool::rounded(100 * kMiB + 1) == 102 * kMiB);
    CHECK(MemoryPool::rounded(~std::uint64_t{0}) == ~std::uint64_t{0});
  }

  TEST_CASE("what was let go is given out again without asking the device") {
    const auto raw = std::make_shared<CountedMemory>();
    MemoryPool pool("cuda:0", raw);
    const std::byte* first = nullptr;
    {
      const auto a = pool.allocate(3 * kMiB);
      first = a.get();
      CHECK(pool.allocated_bytes() == 3 * kMiB);
    }
    CHECK(pool.allocated_bytes() == 0);
    const auto b = pool.allocate(3 * kMiB - 5000);
    CHECK(b.get() == first);
    auto c = pool.allocate(3 * kMiB);
    CHECK(c.get() != first);
    CHECK(raw->allocations == 2);
    CHECK(pool.peak_bytes() == 6 * kMiB);
    // A small wish does not take a large block.
    c.reset();
    const auto d = pool.allocate(kKiB);
    CHECK(raw->allocations == 3);
  }

  TEST_CASE("unused blocks go back where there is no room, and what does not fit says how much was wanted") {
    const auto raw = std::make_shared<CountedMemory>(10 * kMiB);
    MemoryPool pool("cuda:1", raw);
    static_cast<void>(pool.allocate(6 * kMiB));
    const auto large = pool.allocate(9 * kMiB);
    CHECK(raw->held_bytes == 9 * kMiB);
    try {
      static_cast<void>(pool.allocate(2 * kMiB));
      FAIL("it fits");
    } catch (const CapacityError& e) {
      CHECK(std::string(e.message()) == "cuda:1: out of memory, wanted 2.00 MiB, free 1.00 MiB beside the 9.00 MiB in use");
      CHECK(!e.hint().empty());
    }
    CHECK(pool.allocated_bytes() == 9 * kMiB);
  }

  TEST_CASE("a budget is kept") {
    const auto raw = std::make_shared<CountedMemory>();
    MemoryPool pool("cuda:0", raw, 4 * kMiB);
    auto a = pool.allocate(3 * kMiB);
    CHECK_THROWS_AS(static_cast<void>(pool.allocate(2 * kMiB)), CapacityError);
    a.reset();
    a = pool.allocate(4 * kMiB);
    CHECK(pool.held_bytes() == 4 * kMiB);
  }

  TEST_CASE("blocks of a recording serve nobody else until it is gone") {
    const auto raw = std::make_shared<CountedMemory>();
    MemoryPool pool("cuda:0", raw);
    auto arena = pool.begin_recording();
    std::byte* scratch = nullptr;
    {
      const auto s = pool.allocate(kMiB);
      scratch = s.get();
    }
    {
      // Within the recording it is used again.
      const auto s = pool.allocate(kMiB);
      CHECK(s.get() == scratch);
    }
    std::byte* elsewhere = nullptr;
    std::shared_ptr<std::byte[]> other;
    std::thread([&] {
      other = pool.allocate(kMiB);
      elsewhere = other.get();
    }).join();
    CHECK(elsewhere != scratch);
    const auto kept = pool.allocate(2 * kMiB);
    pool.end_recording();
    const auto later = pool.allocate(kMiB);
    CHECK(later.get() != scratch);
    const std::byte* const kept_at = kept.get();
    arena.reset();
    const auto after = pool.allocate(kMiB);
    CHECK(after.get() == scratch);
    const auto not_kept = pool.allocate(2 * kMiB);
    CHECK(not_kept.get() != kept_at);
  }

  TEST_CASE("a second recording does not get the blocks of the first") {
    const auto raw = std::make_shared<CountedMemory>();
    MemoryPool pool("cuda:0", raw);
    std::set<const std::byte*> seen;
    std::vector<std::shared_ptr<MemoryPool::Arena>> arenas;
    for (int i = 0; i < 4; ++i) {
      arenas.push_back(pool.begin_recording());
      const auto block = pool.allocate(kMiB);
      CHECK(seen.insert(block.get()).second);
      pool.end_recording();
    }
    arenas.clear();
    pool.trim();
    CHECK(raw->held_bytes == 0);
  }

  TEST_CASE("memory outlives the pool") {
    const auto raw = std::make_shared<CountedMemory>();
    auto pool = std::make_unique<MemoryPool>("cuda:0", raw);
    auto arena = pool->begin_recording();
    auto recorded = pool->allocate(100);
    pool->end_recording();
    auto block = pool->allocate(5 * kMiB);
    static_cast<void>(pool->allocate(kMiB));
    pool.reset();
    CHECK(raw->held_bytes == 5 * kMiB + 512);
    std::memset(block.get(), 1, 5 * kMiB);
    block.reset();
    recorded.reset();
    arena.reset();
    CHECK(raw->held_bytes == 0);
  }

  TEST_CASE("threads share it") {
    const auto raw = std::make_shared<CountedMemory>(64 * kMiB);
    MemoryPool pool("cuda:0", raw);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(t);
        std::vector<std::pair<std::shared_ptr<std::byte[]>, std::size_t>> mine;
        for (int i = 0; i < 400; ++i) {
          const std::size_t size = random() % 200000 + 1;
          mine.emplace_back(pool.allocate(size), size);
          std::memset(mine.back().first.get(), static_cast<int>(t), size);
          if (mine.size() > 6) {
            const auto& [block, bytes] = mine.front();
            for (std::size_t k = 0; k < bytes; ++k) wrong += block[k] != static_cast<std::byte>(t);
            mine.erase(mine.begin());
          }
        }
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
    CHECK(pool.allocated_bytes() == 0);
    CHECK(pool.peak_bytes() <= raw->most_bytes);
  }
}
