// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cpu/thread_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "bigmodel/core/error.h"

using namespace bigmodel;

TEST_SUITE("device/thread_pool") {
  TEST_CASE("every index is covered once, whatever the counts") {
    for (const int threads : {1, 2, 3, 7}) {
      ThreadPool pool(threads);
      for (const std::int64_t count : {0, 1, 2, 5, 64, 1000}) {
        for (const std::int64_t chunk : {1, 3, 64, 2000}) {
          std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
          std::atomic<bool> aligned{true};
          pool.parallel_for(count, chunk, [&](std::int64_t begin, std::int64_t end, int worker) {
            if (begin % chunk != 0 || end - begin > chunk || worker < 0 || worker >= threads) aligned = false;
            for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
          });
          CHECK(aligned);
          for (const auto& h : hits) CHECK(h == 1);
        }
      }
    }
  }

  TEST_CASE("thousands of short jobs one after the other lose nothing") {
    ThreadPool pool(4);
    std::atomic<std::int64_t> sum{0};
    for (int job = 0; job < 5000; ++job) {
      pool.parallel_for(17, 1, [&](std::int64_t begin, std::int64_t, int) { sum += begin; });
    }
    CHECK(sum == 5000 * 136);
  }

  TEST_CASE("an exception of a body comes out, and the pool goes on") {
    ThreadPool pool(3);
    CHECK_THROWS_WITH_AS(pool.parallel_for(100, 1,
                                           [](std::int64_t begin, std::int64_t, int) {
                                             if (begin == 40) throw std::runtime_error("forty");
                                           }),
                         "forty", std::runtime_error);
    std::atomic<int> count{0};
    pool.parallel_for(100, 7, [&](std::int64_t begin, std::int64_t end, int) { count += static_cast<int>(end - begin); });
    CHECK(count == 100);
  }

  TEST_CASE("numbers of threads out of range are refused") {
    CHECK_THROWS_AS(ThreadPool(0), UsageError);
    CHECK_THROWS_AS(ThreadPool(100000), UsageError);
  }
}
