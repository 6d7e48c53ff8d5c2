// SPDX-License-Identifier: Apache-2.0
// The prefetcher under delays, failures and odd orders of wishes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/prefetcher.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

/// Sleeps a little at random, and fails every read while told so.
class ShakyDisk : public Disk {
 public:
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    std::this_thread::sleep_for(std::chrono::microseconds(static_cast<unsigned>(reads_.fetch_add(1)) * 2654435761u >> 24));
    if (failing) {
      errno = EIO;
      return -1;
    }
    return Disk::pread(fd, data, size, offset);
  }
  std::atomic<bool> failing = false;

 private:
  mutable std::atomic<unsigned> reads_ = 0;
};

constexpr std::size_t kTensors = 7;
constexpr std::int64_t kElements = 3000;

/// Tensor t holds t * 1000000 + i.
std::filesystem::path write_checkpoint(const test::TempFolder& folder) {
  std::vector<TensorInfo> infos;
  for (std::size_t t = 0; t < kTensors; ++t) infos.push_back({fmt::format("t{}", t), DType::float32, {kElements}});
  std::string bytes = safetensors_header_bytes(infos, {});
  for (std::size_t t = 0; t < kTensors; ++t) {
    for (std::int64_t i = 0; i < kElements; ++i) {
      const auto value = static_cast<float>(static_cast<std::int64_t>(t) * 1000000 + i);
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  return folder.write("model.safetensors", bytes);
}

struct Setup {
  explicit Setup(std::size_t slots) : checkpoint(open_checkpoint(write_checkpoint(folder))) {
    for (const CheckpointTensor& t : checkpoint.tensors) {
      sources.push_back({t.name, t.shape, t.dtype, {DiskForm::Kind::name, &t, 0, 0, 1, {}}});
    }
    std::vector<Slab> slabs;
    for (const WeightSource& s : sources) slabs.push_back(plan_slab(std::vector{&s}));
    prefetcher = std::make_unique<Prefetcher>(std::move(slabs), slots, checkpoint, disk);
  }

  bool right(std::size_t slab) {
    const std::byte* memory = prefetcher->acquire(slab) + prefetcher->slab(slab).offsets.at(&sources[slab]);
    bool ok = true;
    for (std::int64_t i = 0; i < kElements; ++i) {
      float value = 0;
      std::memcpy(&value, memory + i * 4, 4);
      ok = ok && value == static_cast<float>(static_cast<std::int64_t>(slab) * 1000000 + i);
    }
    prefetcher->release(slab);
    return ok;
  }

  test::TempFolder folder;
  ShakyDisk disk;
  Checkpoint checkpoint;
  std::vector<WeightSource> sources;
  std::unique_ptr<Prefetcher> prefetcher;
};

}  // namespace

TEST_SUITE("engine/prefetcher") {
  TEST_CASE("every slab holds its bytes, round after round") {
    for (const std::size_t slots : {1UL, 2UL, 3UL, kTensors}) {
      Setup s(slots);
      for (int round = 0; round < 20; ++round) {
        for (std::size_t t = 0; t < kTensors; ++t) CHECK(s.right(t));
      }
    }
  }

  TEST_CASE("a slab is read once a round when the order is kept") {
    Setup s(2);
    for (int round = 0; round < 10; ++round) {
      for (std::size_t t = 0; t < kTensors; ++t) CHECK(s.right(t));
    }
    CHECK(s.prefetcher->read_bytes() <= (10 * kTensors + 2) * kElements * 4);
  }

  TEST_CASE("any order of wishes is served") {
    Setup s(3);
    std::mt19937 random(7);
    for (int i = 0; i < 300; ++i) CHECK(s.right(random() % kTensors));
  }

  TEST_CASE("a failed read is thrown to the one who wants the slab, and the next try works") {
    Setup s(2);
    CHECK(s.right(0));
    for (int i = 0; i < 20; ++i) {
      s.disk.failing = true;
      // What was read ahead before is still good.
      int thrown = 0;
      for (std::size_t t = 0; t < kTensors; ++t) {
        try {
          const bool right = s.right(t);
          CHECK(right);
        } catch (const IoError&) {
          ++thrown;
        }
      }
      CHECK(thrown >= 4);
      s.disk.failing = false;
      for (std::size_t t = 0; t < kTensors; ++t) {
        bool right = false;
        try {
          right = s.right(t);
        } catch (const IoError&) {   // read ahead while the disk failed
          right = s.right(t);
        }
        CHECK(right);
      }
    }
  }

  TEST_CASE("it ends at any moment") {
    for (int i = 0; i < 50; ++i) {
      Setup s(2);
      if (i % 2 == 0) CHECK(s.right(static_cast<std::size_t>(i) % kTensors));
    }
  }
}
