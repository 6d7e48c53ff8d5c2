// SPDX-License-Identifier: Apache-2.0
// A device that computes by itself: its memory, the two lanes that work is queued in, events between them, pinned RAM, and work that was
// recorded to be repeated. CUDA cards implement it, and so does the emulated device of the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "bigmodel/device/device.h"

namespace bigmodel {

namespace ops {
class DeviceOps;
}

/// Work of one lane is done in the order in which it was queued; lanes run side by side.
enum class Lane : std::uint8_t {
  compute,  ///< kernels, and copies that belong between them
  copy,     ///< weights on their way in
};

/// A place in a lane's queue. Kept by whoever waits for it.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  virtual bool is_done() const = 0;
  /// Blocks the calling thread. Throws DeviceError where the device failed meanwhile.
  virtual void wait() const = 0;
};

/// Work of the compute lane that can be queued again as it is, with the same addresses.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// Throws DeviceError.
  virtual void launch() const = 0;
};

/// Calls may come from several threads, but one thread at a time queues into a lane. Errors of work that was queued earlier may show in any
/// later call: DeviceError. allocate() hands out memory in the compute lane's order: what was freed there is used again without waiting, and
/// nothing on the way asks the driver once the pool has seen the size.
class Accelerator : public Device {
 public:
  struct Description {
    std::string name;                      ///< "NVIDIA H100 80GB HBM3"
    std::uint64_t memory_bytes = 0;
    int processors = 0;                    ///< streaming multiprocessors
    int capability = 0;                    ///< 10 * major + minor of the compute capability; 0: no card
  };
  virtual const Description& description() const noexcept = 0;

  const Accelerator* accelerator() const noexcept override { return this; }

  /// What computes in this memory. Set once, before the first use.
  const ops::DeviceOps& operations() const { return *operations_; }
  void equip(std::shared_ptr<const ops::DeviceOps> operations) { operations_ = std::move(operations); }

  /// RAM that the device reads without the processor. Throws CapacityError.
  virtual std::shared_ptr<std::byte[]> allocate_pinned(std::uint64_t size_bytes) const = 0;
  /// Queues a copy; `from` is pinned RAM and stays as it is until the copy is done.
  virtual void queue_copy_in(Lane lane, std::byte* to, std::span<const std::byte> from) const = 0;
  /// The same for RAM of any kind: `from` may be changed on return.
  virtual void queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const = 0;
  virtual void queue_copy_out(Lane lane, const std::byte* from, std::span<std::byte> to) const = 0;
  /// Within this device's memory, in the compute lane.
  virtual void queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const = 0;
  /// From another accelerator's memory, without a stay in RAM where the two can. Done on return.
  virtual void copy_from_peer(std::byte* to, const Accelerator& other, const std::byte* from, std::uint64_t size_bytes) const = 0;

  virtual std::shared_ptr<DeviceEvent> record(Lane lane) const = 0;
  /// What is queued in `lane` from now on waits for the event.
  virtual void hold(Lane lane, const DeviceEvent& until) const = 0;
  /// Waits for everything queued in that lane.
  virtual void finish(Lane lane) const = 0;

  /// Queues what `work` queues in the compute lane into a recording instead of running it. Memory that is allocated meanwhile belongs to the
  /// recording. Null where the device cannot record, or `work` did something that cannot be (it waited, or used the copy lane).
  virtual std::unique_ptr<RecordedWork> record_work(const std::function<void()>& work) const = 0;

  /// Given out and not yet back, and the most that ever was.
  virtual std::uint64_t allocated_bytes() const noexcept = 0;
  virtual std::uint64_t peak_bytes() const noexcept = 0;

 private:
  std::shared_ptr<const ops::DeviceOps> operations_;
};

}  // namespace bigmodel
