// SPDX-License-Identifier: Apache-2.0
// The streamer over an accelerator whose copies take their time: every order of lanes, failures of disk and device, and how well the stages overlap.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/slab_weights.h"
#include "support/fake_accelerator.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

/// Sleeps a little at random, fails every read while told so, and tells the virtual clock what a read costs.
class ShakyDisk : public Disk {
 public:
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    if (most_us > 0) std::this_thread::sleep_for(std::chrono::microseconds((reads_.fetch_add(1) * 2654435761U >> 8) % most_us));
    if (failing) {
      errno = EIO;
      return -1;
    }
    if (clock != nullptr) clock->read(data, size, s_per_byte * static_cast<double>(size));
    return Disk::pread(fd, data, size, offset);
  }
  std::atomic<bool> failing = false;
  unsigned most_us = 200;
  test::VirtualClock* clock = nullptr;
  double s_per_byte = 0;

 private:
  mutable std::atomic<unsigned> reads_ = 0;
};

constexpr std::size_t kTensors = 7;
constexpr std::int64_t kElements = 3000;
constexpr std::uint64_t kTensorBytes = kElements * 4;

float element(std::size_t tensor, std::int64_t i) { return static_cast<float>(static_cast<std::int64_t>(tensor) * 1000000 + i); }

std::filesystem::path write_checkpoint(const test::TempFolder& folder) {
  std::vector<TensorInfo> infos;
  for (std::size_t t = 0; t < kTensors; ++t) infos.push_back({fmt::format("t{}", t), DType::float32, {kElements}});
  std::string bytes = safetensors_header_bytes(infos, {});
  for (std::size_t t = 0; t < kTensors; ++t) {
    for (std::int64_t i = 0; i < kElements; ++i) {
      const float value = element(t, i);
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  return folder.write("model.safetensors", bytes);
}

/// Which slabs lie in RAM: bit t for tensor t.
constexpr unsigned kNoneInRam = 0, kAllInRam = 0x7f, kSomeInRam = 0x2c;

struct Setup {
  explicit Setup(std::size_t slots, unsigned in_ram = kNoneInRam, test::FakeDelays delays = {.most_us = 200}, test::VirtualClock* clock = nullptr, double read_s_per_byte = 0)
      : checkpoint(open_checkpoint(write_checkpoint(folder))), device(delays, clock) {
    for (const CheckpointTensor& t : checkpoint.tensors) sources.push_back({t.name, t.shape, t.dtype, {DiskForm::Kind::name, &t, 0, 0, 1, {}}});
    TensorReader reader(checkpoint, disk);
    std::vector<StreamedSlab> slabs;
    for (std::size_t t = 0; t < kTensors; ++t) {
      StreamedSlab slab{plan_device_slab(plan_slab(std::vector<const WeightSource*>{&sources[t]})), nullptr};
      if ((in_ram >> t & 1) != 0) {
        slab.pinned = pinned_slab_memory(device, slab.layout.slab.size_bytes);
        read_slab(slab.layout.slab, reader, {slab.pinned.get(), static_cast<std::size_t>(slab.layout.slab.size_bytes)});
      }
      slabs.push_back(std::move(slab));
    }
    disk.clock = clock;
    disk.s_per_byte = read_s_per_byte;
    if (clock != nullptr) disk.most_us = 0;
    streamer.emplace(device, std::move(slabs), slots, checkpoint, disk);
  }

  /// Queues a kernel that looks at the slab's bytes twice, and lets the slab go at once.
  void use(std::size_t slab, double cost_s = 0) {
    const std::byte* const memory = streamer->acquire(slab) + streamer->slab(slab).offsets.at(&sources[slab]);
    look(slab, memory, cost_s);
    streamer->release(slab);
  }

  void look(std::size_t slab, const std::byte* memory, double cost_s = 0) {
    device.compute(
        [this, slab, memory] {
          for (int look = 0; look < 2; ++look) {
            for (std::int64_t i = 0; i < kElements; ++i) {
              float value = 0;
              std::memcpy(&value, memory + i * 4, 4);
              if (value != element(slab, i)) {
                ++wrong;
                break;
              }
            }
            if (look == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
          }
          ++looked;
        },
        cost_s);
  }

  /// Kernels that saw other bytes than they should.
  int wrong_looks() {
    device.finish(Lane::compute);
    return wrong;
  }

  test::TempFolder folder;
  ShakyDisk disk;
  Checkpoint checkpoint;
  std::vector<WeightSource> sources;
  std::atomic<int> wrong = 0, looked = 0;
  test::FakeAccelerator device;
  std::optional<DeviceStreamer> streamer;
};

}  // namespace

TEST_SUITE("engine/device_streamer") {
  TEST_CASE("every kernel sees its slab's bytes, round after round, without the host waiting for the device") {
    for (const unsigned in_ram : {kNoneInRam, kAllInRam, kSomeInRam}) {
      for (const std::size_t slots : {1UL, 2UL, 3UL, kTensors}) {
        CAPTURE(in_ram);
        CAPTURE(slots);
        Setup s(slots, in_ram);
        for (int round = 0; round < 8; ++round) {
          for (std::size_t t = 0; t < kTensors; ++t) s.use(t);
        }
        // Only what reads files waits, before it overwrites RAM that is still copied from.
        if (in_ram == kAllInRam) CHECK(s.device.host_waits == 0);
        CHECK(s.wrong_looks() == 0);
        CHECK(s.looked == 8 * kTensors);
      }
    }
  }

  TEST_CASE("slabs are read and copied once a round when the order is kept, and never again where each has a slot") {
    {
      Setup s(2);
      for (int round = 0; round < 10; ++round) {
        for (std::size_t t = 0; t < kTensors; ++t) s.use(t);
      }
      CHECK(s.streamer->read_bytes() <= (10 * kTensors + 4) * kTensorBytes);
      CHECK(s.streamer->copied_bytes() <= (10 * kTensors + 2) * kTensorBytes);
      CHECK(s.streamer->slot_bytes() == 2 * kTensorBytes);
      CHECK(s.wrong_looks() == 0);
    }
    Setup s(kTensors, kSomeInRam);
    for (int round = 0; round < 4; ++round) {
      for (std::size_t t = 0; t < kTensors; ++t) s.use(t);
    }
    CHECK(s.streamer->copied_bytes() == kTensors * kTensorBytes);
    CHECK(s.wrong_looks() == 0);
  }

  TEST_CASE("any order of wishes is served, from either tier") {
    for (const unsigned in_ram : {kNoneInRam, kAllInRam, kSomeInRam}) {
      Setup s(3, in_ram);
      std::mt19937 random(7);
      for (int i = 0; i < 150; ++i) s.use(random() % kTensors);
      CHECK(s.wrong_looks() == 0);
    }
  }

  TEST_CASE("slabs may be held while others come and go, but not all slots at once") {
    Setup s(2, kSomeInRam);
    const std::byte* const outer = s.streamer->acquire(0);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t t = 1; t < kTensors; ++t) s.use(t);
      s.look(0, outer + s.streamer->slab(0).offsets.at(&s.sources[0]));
    }
    CHECK_THROWS_AS(s.streamer->acquire(0), InternalError);
    static_cast<void>(s.streamer->acquire(1));
    CHECK_THROWS_AS(s.streamer->acquire(2), InternalError);
    s.streamer->release(1);
    s.streamer->release(0);
    s.use(2);
    CHECK(s.wrong_looks() == 0);
  }

  TEST_CASE("a failed read is thrown to the one who wants the slab, with file and offset, and the next try works") {
    for (const unsigned in_ram : {kNoneInRam, kSomeInRam}) {
      Setup s(2, in_ram);
      s.use(0);
      for (int i = 0; i < 10; ++i) {
        s.disk.failing = true;
        int thrown = 0;
        for (std::size_t t = 0; t < kTensors; ++t) {
          try {
            s.use(t);
          } catch (const IoError& e) {
            ++thrown;
            CHECK(std::string(e.what()).find("model.safetensors: cannot read at byte") != std::string::npos);
          }
        }
        // What was brought ahead before is still good.
        CHECK(thrown >= (in_ram == kNoneInRam ? 3 : 1));
        s.disk.failing = false;
        for (std::size_t t = 0; t < kTensors; ++t) {
          try {
            s.use(t);
          } catch (const IoError&) {   // read ahead while the disk failed
            s.use(t);
          }
        }
      }
      CHECK(s.wrong_looks() == 0);
    }
  }

  TEST_CASE("a device that fails at any call ends in an error, and one that recovers goes on with the right bytes") {
    for (const unsigned in_ram : {kNoneInRam, kAllInRam, kSomeInRam}) {
      for (int calls = 0; calls < 25; ++calls) {
        Setup s(2, in_ram, {});
        s.use(0);
        s.device.calls_left = calls;
        int thrown = 0;
        for (std::size_t t = 1; t < kTensors; ++t) {
          try {
            s.use(t);
          } catch (const DeviceError&) {
            ++thrown;
          }
        }
        if (calls < 10) CHECK(thrown > 0);
        s.device.calls_left = -1;
        for (int round = 0; round < 2; ++round) {
          for (std::size_t t = 0; t < kTensors; ++t) {
            // What failed before is told first: of the copy that was queued, and of the read that waited for it.
            for (int tries = 0; tries < 3; ++tries) {
              try {
                s.use(t);
                break;
              } catch (const DeviceError&) {
                CHECK(round == 0);
                CHECK(tries < 2);
              }
            }
          }
        }
        CHECK(s.wrong_looks() == 0);
      }
    }
  }

  TEST_CASE("it ends at any moment, also with a broken device or disk") {
    for (int i = 0; i < 60; ++i) {
      Setup s(2, i % 3 == 0 ? kSomeInRam : kNoneInRam);
      if (i % 2 == 0) s.use(static_cast<std::size_t>(i) % kTensors);
      if (i % 5 == 0) s.disk.failing = true;
      if (i % 7 == 0) s.device.calls_left = 0;
      s.streamer.reset();
      s.device.calls_left = -1;
      CHECK(s.wrong_looks() == 0);
    }
  }

  TEST_CASE("the stages overlap: a run takes little longer than its slowest stage") {
    // Seconds of the virtual clock for one slab; which stage is slowest differs.
    struct Costs {
      double read_s, copy_s, compute_s;
    };
    constexpr int kRounds = 12;
    for (const unsigned in_ram : {kNoneInRam, kAllInRam}) {
      for (const Costs& c : {Costs{1, 0.4, 0.3}, Costs{0.4, 1, 0.9}, Costs{0.9, 1, 0.9}, Costs{0.2, 0.3, 1}, Costs{1, 1, 1}, Costs{0, 1, 1}}) {
        CAPTURE(in_ram);
        CAPTURE(c.read_s);
        CAPTURE(c.copy_s);
        CAPTURE(c.compute_s);
        test::VirtualClock clock;
        const double bytes = static_cast<double>(kTensorBytes);
        Setup s(2, in_ram, {.most_us = 0, .copy_s_per_byte = c.copy_s / bytes}, &clock, c.read_s / bytes);
        for (int round = 0; round < kRounds; ++round) {
          for (std::size_t t = 0; t < kTensors; ++t) s.use(t, c.compute_s);
        }
        const double work = kRounds * kTensors * std::max({in_ram == kAllInRam ? 0 : c.read_s, c.copy_s, c.compute_s});
        // The lane of kernels is done when the last slab was computed with.
        CHECK(clock.now(0) >= work);
        CHECK(clock.now(0) <= 1.05 * work);
        CHECK(s.wrong_looks() == 0);
      }
    }
  }

  TEST_CASE("tensors that begin anywhere in the file begin at multiples of 16 in the device's memory") {
    const test::TempFolder folder;
    const std::vector<TensorInfo> infos{{"a", DType::uint8, {3}}, {"b", DType::uint8, {40}}, {"c", DType::uint8, {16}}, {"d", DType::uint8, {64}}, {"e", DType::uint8, {0}}};
    std::string bytes = safetensors_header_bytes(infos, {});
    for (int i = 0; i < 3 + 40 + 16 + 64; ++i) bytes.push_back(static_cast<char>(i));
    const Checkpoint checkpoint = open_checkpoint(folder.write("model.safetensors", bytes));
    std::vector<WeightSource> sources;
    for (const CheckpointTensor& t : checkpoint.tensors) sources.push_back({t.name, t.shape, t.dtype, {DiskForm::Kind::name, &t, 0, 0, 1, {}}});
    std::vector<const WeightSource*> list;
    for (const WeightSource& s : sources) list.push_back(&s);
    const DeviceSlab slab = plan_device_slab(plan_slab(list));
    CHECK(slab.pieces.size() < list.size() + 1);
    const test::FakeAccelerator device;
    const std::shared_ptr<std::byte[]> pinned = pinned_slab_memory(device, slab.slab.size_bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(pinned.get()) % 4096 == 0);
    const ShakyDisk disk;
    TensorReader reader(checkpoint, disk);
    read_slab(slab.slab, reader, {pinned.get(), static_cast<std::size_t>(slab.slab.size_bytes)});
    const std::shared_ptr<std::byte[]> there = device.allocate(slab.size_bytes);
    queue_slab(slab, device, Lane::copy, pinned.get(), there.get());
    device.finish(Lane::copy);
    for (const WeightSource& s : sources) {
      CAPTURE(s.name);
      const std::uint64_t offset = slab.offsets.at(&s);
      CHECK(offset % 16 == 0);
      CHECK(offset + s.size_bytes() <= slab.size_bytes);
      std::vector<std::byte> expected(static_cast<std::size_t>(s.size_bytes()));
      read_source(s, reader, expected);
      CHECK(std::equal(expected.begin(), expected.end(), there.get() + offset));
    }
  }

  TEST_CASE("weights lie on the device and hold their slab until the last is let go") {
    Setup s(2, kSomeInRam);
    DeviceStreamedWeights weights(*s.streamer);
    for (std::size_t t = 0; t < kTensors; ++t) weights.add(fmt::format("layer.{}.weight", t), s.sources[t], t);
    CHECK(!weights.find("other"));
    CHECK(weights.contains("layer.3.weight"));
    for (int round = 0; round < 3; ++round) {
      for (std::size_t t = 0; t < kTensors; ++t) {
        const std::optional<StoredTensor> tensor = weights.find(fmt::format("layer.{}.weight", t));
        REQUIRE(tensor);
        const StoredTensor again = weights.at(fmt::format("layer.{}.weight", t));
        CHECK(tensor->device == &s.device);
        CHECK(tensor->view.data == again.view.data);
        CHECK(tensor->view.shape == Shape{kElements});
        s.look(t, tensor->view.data);
      }
    }
    CHECK(s.wrong_looks() == 0);
  }
}
