// SPDX-License-Identifier: Apache-2.0
// An accelerator without arithmetic, for what moves bytes: lanes are threads, copies take their time and leave poison first, calls fail when told to.
// Work that is not ordered by lanes and events shows as wrong bytes (and, under the thread sanitizer, as a race). Beside the real threads runs a clock of
// its own: what each piece of work would take, and when it could begin by its order alone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bigmodel/device/accelerator.h"

namespace bigmodel::test {

/// When work would begin and end if the host took no time. Work of a track is done in order; a thread that waits goes on when what it waited for is done.
class VirtualClock {
 public:
  /// Work on memory: reads fill a range, copies take it from there. Returns its end.
  double read(const void* to, std::uint64_t size_bytes, double cost_s);
  double copy(int track, const void* from, std::uint64_t size_bytes, double cost_s);
  double work(int track, double cost_s);
  double now(int track) const;
  void hold(int track, double until);
  /// The calling thread has waited until then.
  void waited(double until);
  double end() const;

 private:
  mutable std::mutex mutex_;
  std::map<int, double> tracks_;
  std::map<std::thread::id, double> threads_;
  std::map<const std::byte*, std::pair<const std::byte*, double>> filled_;   ///< begin -> end of the range, when it was filled
};

struct FakeDelays {
  std::uint32_t most_us = 0;     ///< each piece of work takes up to that long, at random
  double copy_s_per_byte = 0;    ///< on the virtual clock
};

class FakeAccelerator final : public Accelerator {
 public:
  explicit FakeAccelerator(FakeDelays delays = {}, VirtualClock* clock = nullptr);
  ~FakeAccelerator() override;

  const Description& description() const noexcept override { return description_; }
  const std::string& name() const noexcept override { return name_; }

  std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes) const override;
  void copy_in(std::byte* to, std::span<const std::byte> from) const override;
  void copy_out(const std::byte* from, std::span<std::byte> to) const override;
  std::shared_ptr<std::byte[]> allocate_pinned(std::uint64_t size_bytes) const override;
  void queue_copy_in(Lane lane, std::byte* to, std::span<const std::byte> from) const override;
  void queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const override;
  void queue_copy_out(Lane lane, const std::byte* from, std::span<std::byte> to) const override;
  void queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const override;
  void copy_from_peer(std::byte* to, const Accelerator& other, const std::byte* from, std::uint64_t size_bytes) const override;
  std::shared_ptr<DeviceEvent> record(Lane lane) const override;
  void hold(Lane lane, const DeviceEvent& until) const override;
  void finish(Lane lane) const override;
  std::unique_ptr<RecordedWork> record_work(const std::function<void()>&) const override { return nullptr; }
  std::uint64_t allocated_bytes() const noexcept override { return allocated_; }
  std::uint64_t peak_bytes() const noexcept override { return allocated_; }

  /// A kernel: `work` runs in the compute lane's thread.
  void compute(std::function<void()> work, double cost_s = 0) const;

  /// From now on that many more calls that queue copies or events work; each one after throws DeviceError. -1: all work.
  mutable std::atomic<int> calls_left = -1;
  /// Waits of the host for an event or a lane.
  mutable std::atomic<int> host_waits = 0;

 private:
  struct LaneThread {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::deque<std::function<void()>> queue;
    bool busy = false;
    std::jthread thread;
  };

  void queue(Lane lane, std::function<void()> work) const;
  void may_fail(const char* call) const;
  void pause() const;
  LaneThread& lane_thread(Lane lane) const { return lanes_[lane == Lane::compute ? 0 : 1]; }

  FakeDelays delays_;
  VirtualClock* clock_;
  std::string name_ = "fake:0";
  Description description_{"fake", std::uint64_t{1} << 34, 1, 0};
  mutable std::atomic<std::uint64_t> allocated_ = 0;
  mutable std::atomic<std::uint32_t> dice_ = 1;
  mutable LaneThread lanes_[2];
};

/// What a copy leaves first.
inline constexpr std::byte kPoison{0xdb};

}  // namespace bigmodel::test
