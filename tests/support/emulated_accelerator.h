// SPDX-License-Identifier: Apache-2.0
// A card that is none: kernels run in the emulator, memory is a piece of RAM that only kernels and copies can touch, and lanes keep their order.
#pragma once

#include "support/gpu_emulator.h"
// The emulator's words come first.
#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/device/accelerator.h"
#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::test {

struct EmulatedOptions {
  std::string name = "cuda:0";
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;
  int capability = 90;
  unsigned order = 0;              ///< emulator::Grid::order
  bool can_record = true;
  /// Memory of the device cannot be read or written but by kernels and copies: others end with SIGSEGV.
  bool guarded = true;
  /// Work of the compute lane runs on a thread of its own; else at the call.
  bool deferred = false;
  /// Called on the copy lane's thread before each of its copies. It may sleep; what it throws becomes a DeviceError of a later call.
  std::function<void(std::uint64_t size_bytes)> before_copy;
};

struct EmulatedCounts {
  std::uint64_t launches = 0;      ///< of kernels, those of recordings as well
  std::uint64_t copies = 0;        ///< in either lane
  std::uint64_t copied_in_bytes = 0;
  std::uint64_t allocations = 0;   ///< calls of allocate()
  std::uint64_t recordings = 0;
  std::uint64_t replays = 0;
  std::uint64_t waits = 0;         ///< times that a thread waited for a lane or an event
};

class EmulatedLane;

class EmulatedAccelerator : public Accelerator {
 public:
  explicit EmulatedAccelerator(EmulatedOptions options = {});
  ~EmulatedAccelerator() override;

  const std::string& name() const noexcept override { return options_.name; }
  const Description& description() const noexcept override { return description_; }
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
  std::unique_ptr<RecordedWork> record_work(const std::function<void()>& work) const override;
  std::uint64_t allocated_bytes() const noexcept override { return allocated_; }
  std::uint64_t peak_bytes() const noexcept override { return peak_; }

  EmulatedCounts counts() const;
  /// Whether `at` lies in memory that is given out, or in pinned RAM.
  bool owns(const void* at) const;
  /// Queues a kernel of this device; `kernel`: its address, for emulator::Grid. Throws DeviceError where the shape is beyond what its hardware takes.
  void launch(const ops::LaunchShape& shape, std::function<void()> body, const void* kernel = nullptr) const;
  /// Order of lanes and blocks from now on.
  void set_order(unsigned order) const { order_ = order; }

 private:
  friend class EmulatedRecording;
  struct Recording {
    std::vector<std::function<void()>> steps;
    std::vector<std::shared_ptr<std::byte[]>> memory;
    bool spoiled = false;
    /// Calls of other threads are not part of it.
    std::thread::id thread = std::this_thread::get_id();
  };

  /// The guard of memory is lifted while one of these lives.
  class Open;

  void submit(Lane lane, std::function<void()> task) const;
  void copy(Lane lane, std::byte* to, const std::byte* from, std::uint64_t size_bytes, bool in) const;
  void check_given_out(const std::byte* at, std::uint64_t size_bytes) const;
  void free(std::byte* at, std::uint64_t size_bytes) const;
  /// True where this call is part of a recording; then that can no longer be.
  bool spoil_recording() const;
  EmulatedLane& lane(Lane lane) const;
  /// Of the calling thread; null: none. With mutex_ held.
  Recording* recording() const;

  EmulatedOptions options_;
  Description description_;
  std::byte* arena_ = nullptr;
  mutable std::atomic<unsigned> order_;
  mutable std::mutex mutex_;
  mutable std::map<std::uint64_t, std::uint64_t> free_;     ///< offset -> bytes
  mutable std::map<std::uint64_t, std::uint64_t> used_;     ///< offset -> bytes asked for
  mutable std::map<const std::byte*, std::uint64_t> pinned_;
  mutable std::atomic<std::uint64_t> allocated_ = 0, peak_ = 0;
  mutable EmulatedCounts counts_;
  mutable Recording* recording_of_some_thread_ = nullptr;
  mutable std::mutex guard_mutex_;
  mutable int open_ = 0;
  std::unique_ptr<EmulatedLane> compute_, copy_;
};

/// The Launcher of KernelOps.
class EmulatorLauncher {
 public:
  explicit EmulatorLauncher(const EmulatedAccelerator& device) : device_(&device) {}

  template <class... P, class... A>
  void launch(void (*kernel)(P...), const ops::LaunchShape& shape, A&&... arguments) const {
    static_assert((std::is_trivially_copyable_v<P> && ...), "kernels take plain values");
    static_assert((std::size_t{0} + ... + sizeof(P)) <= 4000, "arguments of a kernel have 4 KiB");
    const std::tuple<std::remove_cv_t<P>...> held(std::forward<A>(arguments)...);
    std::apply([&](const auto&... each) { (check(each), ...); }, held);
    device_->launch(shape, [kernel, held] { std::apply(kernel, held); }, reinterpret_cast<const void*>(kernel));
  }

 private:
  template <typename T>
  void check(const T& argument) const {
    if constexpr (std::is_pointer_v<T>) {
      if (argument != nullptr && !device_->owns(argument)) throw InternalError("emulator: a kernel of " + device_->name() + " gets a pointer that is not into its memory");
    }
  }

  const EmulatedAccelerator* device_;
};

/// Values in a device's memory, for tests.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(const Device& device, std::span<const T> values, std::size_t offset_bytes = 0) : DeviceArray(device, values.size(), offset_bytes) {
    if (!values.empty()) device.copy_in(reinterpret_cast<std::byte*>(data()), std::as_bytes(values));
  }
  DeviceArray(const Device& device, std::size_t count, std::size_t offset_bytes = 0)
      : device_(&device), memory_(device.allocate(count * sizeof(T) + offset_bytes)), count_(count), offset_bytes_(offset_bytes) {}

  T* data() const { return reinterpret_cast<T*>(memory_.get() + offset_bytes_); }
  std::vector<T> read() const {
    std::vector<T> out(count_);
    if (count_ != 0) device_->copy_out(memory_.get() + offset_bytes_, std::as_writable_bytes(std::span(out)));
    return out;
  }

 private:
  const Device* device_;
  std::shared_ptr<std::byte[]> memory_;
  std::size_t count_, offset_bytes_;
};

}  // namespace bigmodel::test
