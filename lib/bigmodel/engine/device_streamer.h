// SPDX-License-Identifier: Apache-2.0
// Streams slabs of weights into an accelerator's memory, ahead of the layers that want them: disk to pinned RAM to a few fixed slots of the device,
// each stage beside the others. After the last slab comes the first again, so that the next token finds its first layers there.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bigmodel/engine/device_slab.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {

struct StreamedSlab {
  DeviceSlab layout;
  /// Where it lies in pinned RAM for good (pinned_slab_memory, filled by read_slab). Null: it is read from disk each time.
  std::shared_ptr<std::byte[]> pinned;
};

/// acquire() and release() come from the thread that runs the model and queues into the compute lane; the streamer has the copy lane to itself.
/// Neither waits for the device: lanes wait for each other. The host waits where a slab is still on its way from disk.
class DeviceStreamer {
 public:
  /// Slabs in the order in which they are wanted; another order works too, but brings again what had been brought ahead. At least one slot
  /// more than slabs are held at once; where there is one for each slab, nothing is brought twice. The device, the checkpoint, the disk and
  /// the sources must outlive it. Throws CapacityError, DeviceError.
  DeviceStreamer(const Accelerator& device, std::vector<StreamedSlab> slabs, std::size_t slots, const Checkpoint& checkpoint, const Disk& disk);
  /// Waits for the read and the copies that are under way.
  ~DeviceStreamer();
  DeviceStreamer(const DeviceStreamer&) = delete;
  DeviceStreamer& operator=(const DeviceStreamer&) = delete;

  /// The slab's place in the device's memory. What is queued in the compute lane from now on finds it there; it stays until release(). Throws
  /// what the read threw (IoError with file and offset, FormatError), DeviceError; the next try starts afresh.
  const std::byte* acquire(std::size_t slab);
  /// What was queued in the compute lane up to now may still read the slab.
  void release(std::size_t slab) noexcept;

  const Accelerator& device() const noexcept { return device_; }
  const DeviceSlab& slab(std::size_t number) const { return slabs_[number].layout; }
  std::size_t slab_count() const noexcept { return slabs_.size(); }
  /// Of the device.
  std::uint64_t slot_bytes() const noexcept { return slot_bytes_ * slots_.size(); }
  /// Pinned RAM between disk and device.
  std::uint64_t staging_bytes() const noexcept { return stage_bytes_ * stages_.size(); }
  /// Of everything read and copied so far.
  std::uint64_t read_bytes() const;
  std::uint64_t copied_bytes() const;
  /// How long acquire() has waited for the disk.
  double waited_s() const;

 private:
  enum class SlotState { empty, ready, held };
  struct Slot {
    std::shared_ptr<std::byte[]> memory;
    SlotState state = SlotState::empty;
    std::size_t slab = 0;
    std::shared_ptr<DeviceEvent> copied;   ///< null where the compute lane has waited for it
    std::shared_ptr<DeviceEvent> used;     ///< behind what computed with the slab before; null: nothing did
    bool use_unknown = false;              ///< that event could not be had
    std::uint64_t turn = 0;                ///< counts the times that slots became empty
  };
  enum class StageState { empty, reading, full };
  struct Stage {
    std::shared_ptr<std::byte[]> memory;
    StageState state = StageState::empty;
    std::size_t slab = 0;
    std::shared_ptr<DeviceEvent> copied;   ///< behind the last copy out of it
    bool copy_unknown = false;             ///< that event could not be had
    std::exception_ptr error;
    bool stale = false;                    ///< nobody wants any more what is being read
    std::uint64_t turn = 0;                ///< counts the fillings of all stages
  };

  void run(std::stop_token stop);
  void read(Stage& stage, TensorReader& reader);
  Slot* slot_of(std::size_t slab);
  Slot* empty_slot();
  Stage* stage_of(std::size_t slab);
  Stage* empty_stage();
  bool own_slots() const noexcept { return slots_.size() == slabs_.size(); }
  bool on_disk(std::size_t slab) const noexcept { return slabs_[slab].pinned == nullptr; }
  std::size_t next_on_disk(std::size_t from) const;
  void expect(std::size_t slab);
  void pump() noexcept;
  void bring(Slot& slot, std::size_t slab, const std::byte* from);
  void forget_ready();

  const Accelerator& device_;
  std::vector<StreamedSlab> slabs_;
  const Checkpoint& checkpoint_;
  const Disk& disk_;
  std::uint64_t slot_bytes_ = 0, stage_bytes_ = 0;
  mutable std::mutex mutex_;               ///< of all that follows
  std::condition_variable_any changed_;
  std::vector<Slot> slots_;
  std::vector<Stage> stages_;
  std::uint64_t turns_ = 0;
  std::size_t next_copy_ = 0;              ///< the slab that the next free slot gets
  std::size_t next_read_ = 0;              ///< the slab of the disk that the next free stage gets
  bool read_failed_ = false;               ///< nothing is read ahead after an error until somebody asks again
  std::exception_ptr copy_error_;          ///< nor copied; for the next who asks for what is not there
  std::uint64_t read_bytes_ = 0, copied_bytes_ = 0;
  double waited_s_ = 0;
  std::jthread thread_;                    ///< last: it uses everything above
};

}  // namespace bigmodel
