// SPDX-License-Identifier: Apache-2.0
// The packing search against trying every placement of small problems.
#include "bigmodel/planning/packing.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <random>

namespace bigmodel {
namespace {

/// The least objective over all placements, or nothing.
std::optional<double> brute_force(const PackingProblem& p) {
  const std::size_t devices = p.runs.size() + p.stores.size();
  PackingCounts counts(p.parts.size(), std::vector<std::int64_t>(devices, 0));
  std::optional<double> best;
  const std::function<void(std::size_t, std::size_t, std::int64_t)> place = [&](std::size_t t, std::size_t d, std::int64_t left) {
    if (t == p.parts.size()) {
      const auto time = packing_time(p, counts);
      if (time && (!best || time->objective < *best)) best = time->objective;
      return;
    }
    if (d + 1 == devices) {
      counts[t][d] = left;
      place(t + 1, 0, t + 1 < p.parts.size() ? p.parts[t + 1].count : 0);
      counts[t][d] = 0;
      return;
    }
    for (std::int64_t n = 0; n <= left; ++n) {
      counts[t][d] = n;
      place(t, d + 1, left - n);
    }
    counts[t][d] = 0;
  };
  place(0, 0, p.parts.front().count);
  return best;
}

PackingProblem random_problem(std::mt19937& random) {
  const auto up_to = [&random](int n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n + 1)); };
  PackingProblem p;
  const std::int64_t kinds = 1 + up_to(2);
  std::int64_t total = 0;
  for (std::int64_t t = 0; t < kinds; ++t) {
    PackingPart part{.count = 1 + up_to(kinds == 1 ? 5 : 2), .memory_bytes = up_to(12), .local_bytes = up_to(2) == 0 ? up_to(4) : 0};
    part.read_bytes = static_cast<double>(part.memory_bytes) * static_cast<double>(up_to(4)) / 4;
    part.local_read_bytes = static_cast<double>(part.local_bytes);
    if (up_to(2) == 0) part.slot_bytes = up_to(static_cast<int>(part.memory_bytes));
    total += part.count * (part.memory_bytes + part.local_bytes);
    p.parts.push_back(part);
  }
  const std::int64_t runs = 1 + up_to(2), stores = up_to(2);
  const int room = static_cast<int>(total * 12 / 10 / runs) + 4;
  for (std::int64_t d = 0; d < runs; ++d) {
    const double speed = d == 0 ? 100 : up_to(1) == 0 ? 100 : static_cast<double>(1 + up_to(99));
    p.runs.push_back({.capacity_bytes = up_to(room), .bytes_per_second = speed, .workspace_bytes = up_to(2) == 0 ? up_to(3) : 0});
  }
  for (std::int64_t d = 0; d < stores; ++d) {
    p.stores.push_back({.capacity_bytes = up_to(room * 2), .bytes_per_second = static_cast<double>(1 + up_to(d == 0 ? 50 : 8))});
  }
  p.slots = up_to(2);
  p.hop_seconds = static_cast<double>(up_to(2)) * 0.01;
  return p;
}

}  // namespace

TEST_SUITE("planning/packing") {
  TEST_CASE("nothing beats it: 4,000 random problems against every placement") {
    std::mt19937 random(20261126);
    int fitting = 0, streaming = 0;
    for (int i = 0; i < 4000; ++i) {
      CAPTURE(i);
      const PackingProblem p = random_problem(random);
      const std::optional<double> least = brute_force(p);
      const std::optional<Packing> found = pack(p);
      REQUIRE(found.has_value() == least.has_value());
      if (!found) continue;
      ++fitting;
      CHECK(found->proved);
      REQUIRE(packing_time(p, found->counts).has_value());
      CHECK(found->time.objective == doctest::Approx(*least).epsilon(1e-9));
      for (std::size_t t = 0; t < p.parts.size(); ++t) {
        std::int64_t sum = 0;
        for (const std::int64_t n : found->counts[t]) sum += n;
        CHECK(sum == p.parts[t].count);
      }
      for (const double s : found->time.store_seconds) streaming += s > 0 ? 1 : 0;
    }
    CHECK(fitting > 1000);
    CHECK(streaming > 200);
  }

  TEST_CASE("what fits stays on the main device; the least read goes away first") {
    PackingProblem p;
    p.parts = {{.count = 1, .memory_bytes = 50, .read_bytes = 1}, {.count = 10, .memory_bytes = 10, .read_bytes = 10}};
    p.runs = {{.capacity_bytes = 150, .bytes_per_second = 100}, {.capacity_bytes = 150, .bytes_per_second = 100}};
    p.stores = {{.capacity_bytes = 1000, .bytes_per_second = 1}};
    p.hop_seconds = 0.001;
    const auto all = pack(p);
    REQUIRE(all.has_value());
    CHECK(all->counts == PackingCounts{{1, 0, 0}, {10, 0, 0}});
    p.runs = {{.capacity_bytes = 200, .bytes_per_second = 100}};
    p.runs[0].capacity_bytes = 120;
    p.slots = 0;
    CHECK(pack(p)->counts == PackingCounts{{0, 1}, {10, 0}});
    p.slots = 2;  // two buffers of 50 would leave two layers: better to keep the large part and stream layers
    CHECK(pack(p)->counts == PackingCounts{{1, 0}, {5, 5}});
    p.parts[0].slot_bytes = 0;  // what is read in rows needs no buffer
    CHECK(pack(p)->counts == PackingCounts{{0, 1}, {10, 0}});
  }

  TEST_CASE("126 layers over eight cards, memory and disk, in well under 200 ms") {
    PackingProblem p;
    const std::int64_t mib = 1 << 20;
    p.parts = {{.count = 1, .memory_bytes = 4008 * mib, .read_bytes = 1},
               {.count = 126, .memory_bytes = 6084 * mib, .local_bytes = 512 * mib, .read_bytes = 6084e6, .local_read_bytes = 512e6},
               {.count = 1, .memory_bytes = 32768, .read_bytes = 32768},
               {.count = 1, .memory_bytes = 512, .read_bytes = 512},
               {.count = 1, .memory_bytes = 4008 * mib, .read_bytes = 4008e6}};
    p.runs.assign(8, {.capacity_bytes = 79 * 1024 * mib, .bytes_per_second = 3.3e12, .workspace_bytes = 900 * mib});
    p.stores = {{.capacity_bytes = 100 * 1024 * mib, .bytes_per_second = 5e10}, {.capacity_bytes = INT64_MAX, .bytes_per_second = 3e9}};
    p.hop_seconds = 2e-5;
    const auto begin = std::chrono::steady_clock::now();
    const auto found = pack(p);
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    REQUIRE(found.has_value());
    CHECK(found->proved);
    MESSAGE("126 layers over 8 devices: ", ms, " ms");
    // 78.1 GiB hold eleven layers with their caches on a card.
    for (std::size_t d = 1; d < 8; ++d) CHECK(found->counts[1][d] >= 11);
    CHECK(ms < 2000);  // loose: test machines are shared
  }

  TEST_CASE("many different parts: bounded work, a placement that fits, and it says that it proved nothing") {
    PackingProblem p;
    for (std::int64_t t = 0; t < 60; ++t) {
      const std::int64_t size = 1000 + t * t * 7 % 997;
      p.parts.push_back({.count = 1, .memory_bytes = size, .read_bytes = static_cast<double>(size)});
    }
    p.runs = {{.capacity_bytes = 30000, .bytes_per_second = 100}, {.capacity_bytes = 9000, .bytes_per_second = 50}};
    p.stores = {{.capacity_bytes = 20000, .bytes_per_second = 10}, {.capacity_bytes = INT64_MAX, .bytes_per_second = 1}};
    const auto found = pack(p);
    REQUIRE(found.has_value());
    CHECK_FALSE(found->proved);
    CHECK(packing_time(p, found->counts).has_value());
  }
}

}  // namespace bigmodel
