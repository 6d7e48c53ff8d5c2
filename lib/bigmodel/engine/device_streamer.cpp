// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/device_streamer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// One is filled while the other is copied from.
constexpr std::size_t kStages = 2;

}  // namespace

DeviceStreamer::DeviceStreamer(const Accelerator& device, std::vector<StreamedSlab> slabs, std::size_t slots, const Checkpoint& checkpoint, const Disk& disk)
    : device_(device), slabs_(std::move(slabs)), checkpoint_(checkpoint), disk_(disk) {
  BIGMODEL_ASSERT(!slabs_.empty() && slots > 0);
  bool reads = false;
  for (std::size_t i = 0; i < slabs_.size(); ++i) {
    slot_bytes_ = std::max(slot_bytes_, slabs_[i].layout.size_bytes);
    if (!on_disk(i)) continue;
    reads = true;
    stage_bytes_ = std::max(stage_bytes_, slabs_[i].layout.slab.size_bytes);
  }
  slots_.resize(std::min(slots, slabs_.size()));
  for (Slot& s : slots_) s.memory = device_.allocate(slot_bytes_);
  // The memory may have had another user in the compute lane.
  const std::shared_ptr<DeviceEvent> before = device_.record(Lane::compute);
  for (Slot& s : slots_) s.used = before;
  if (reads) {
    stages_.resize(kStages);
    for (Stage& s : stages_) s.memory = pinned_slab_memory(device_, stage_bytes_);
    next_read_ = next_on_disk(0);
  }
  {
    const std::lock_guard lock(mutex_);
    pump();
  }
  if (reads) thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

DeviceStreamer::~DeviceStreamer() {
  if (thread_.joinable()) {
    thread_.request_stop();
    changed_.notify_all();
    thread_.join();
  }
  try {
    // Copies still write into the slots and read from pinned RAM, which go now. Slots are free for the compute lane's next user by its order.
    device_.finish(Lane::copy);
  } catch (...) {
    // A device that failed does nothing more.
  }
}

DeviceStreamer::Slot* DeviceStreamer::slot_of(std::size_t slab) {
  const auto it = std::ranges::find_if(slots_, [slab](const Slot& s) { return s.state != SlotState::empty && s.slab == slab; });
  return it == slots_.end() ? nullptr : &*it;
}

/// The one that was let go longer ago: what computed with it is done sooner.
DeviceStreamer::Slot* DeviceStreamer::empty_slot() {
  Slot* out = nullptr;
  for (Slot& s : slots_) {
    if (s.state == SlotState::empty && (out == nullptr || s.turn < out->turn)) out = &s;
  }
  return out;
}

DeviceStreamer::Stage* DeviceStreamer::stage_of(std::size_t slab) {
  const auto it = std::ranges::find_if(stages_, [slab](const Stage& s) { return s.state != StageState::empty && !s.stale && s.slab == slab; });
  return it == stages_.end() ? nullptr : &*it;
}

/// The one that was filled longer ago: its copy is done sooner.
DeviceStreamer::Stage* DeviceStreamer::empty_stage() {
  Stage* out = nullptr;
  for (Stage& s : stages_) {
    if (s.state == StageState::empty && (out == nullptr || s.turn < out->turn)) out = &s;
  }
  return out;
}

std::size_t DeviceStreamer::next_on_disk(std::size_t from) const {
  std::size_t slab = from % slabs_.size();
  while (!on_disk(slab)) slab = (slab + 1) % slabs_.size();
  return slab;
}

void DeviceStreamer::read(Stage& stage, TensorReader& reader) {
  // The device may still copy what was read before.
  if (stage.copied != nullptr) stage.copied->wait();
  stage.copied.reset();
  if (stage.copy_unknown) device_.finish(Lane::copy);
  stage.copy_unknown = false;
  const Slab& slab = slabs_[stage.slab].layout.slab;
  read_slab(slab, reader, {stage.memory.get(), static_cast<std::size_t>(slab.size_bytes)});
}

void DeviceStreamer::run(std::stop_token stop) {
  TensorReader reader(checkpoint_, disk_);
  std::unique_lock lock(mutex_);
  while (true) {
    const bool go = changed_.wait(lock, stop, [this] {
      return !read_failed_ && empty_stage() != nullptr && slot_of(next_read_) == nullptr && stage_of(next_read_) == nullptr;
    });
    if (!go || stop.stop_requested()) return;
    Stage& stage = *empty_stage();
    stage.slab = next_read_;
    stage.turn = ++turns_;
    stage.state = StageState::reading;
    stage.stale = false;
    stage.error = nullptr;
    next_read_ = next_on_disk(next_read_ + 1);
    lock.unlock();
    std::exception_ptr error;
    try {
      read(stage, reader);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    read_bytes_ += slabs_[stage.slab].layout.slab.read_bytes;
    if (stage.stale) {
      stage.state = StageState::empty;
    } else {
      stage.state = StageState::full;
      stage.error = error;
      read_failed_ = error != nullptr;
      pump();
    }
    changed_.notify_all();
  }
}

void DeviceStreamer::bring(Slot& slot, std::size_t slab, const std::byte* from) {
  if (slot.use_unknown) device_.finish(Lane::compute);
  slot.use_unknown = false;
  if (slot.used != nullptr) device_.hold(Lane::copy, *slot.used);
  queue_slab(slabs_[slab].layout, device_, Lane::copy, from, slot.memory.get());
  slot.copied = device_.record(Lane::copy);
  slot.used.reset();
  slot.slab = slab;
  slot.state = SlotState::ready;
}

/// Queues the copies that can be queued: into free slots, of what lies in RAM, in order.
void DeviceStreamer::pump() noexcept {
  while (copy_error_ == nullptr && slot_of(next_copy_) == nullptr) {
    Slot* const slot = empty_slot();
    if (slot == nullptr) return;
    Stage* const stage = on_disk(next_copy_) ? stage_of(next_copy_) : nullptr;
    if (on_disk(next_copy_) && (stage == nullptr || stage->state != StageState::full || stage->error != nullptr)) return;
    try {
      bring(*slot, next_copy_, stage == nullptr ? slabs_[next_copy_].pinned.get() : stage->memory.get());
    } catch (...) {
      copy_error_ = std::current_exception();
      if (stage != nullptr) stage->copy_unknown = true;
      return;
    }
    copied_bytes_ += slabs_[next_copy_].layout.size_bytes;
    if (stage != nullptr) {
      stage->copied = slot->copied;
      stage->state = StageState::empty;
      changed_.notify_all();
    }
    next_copy_ = (next_copy_ + 1) % slabs_.size();
  }
}

void DeviceStreamer::forget_ready() {
  for (Slot& s : slots_) {
    if (s.state == SlotState::ready) s.state = SlotState::empty;
  }
}

/// Not what was expected next: what was brought ahead makes room.
void DeviceStreamer::expect(std::size_t slab) {
  next_copy_ = slab;
  forget_ready();
  bool there = false;
  for (Stage& s : stages_) {
    if (s.state == StageState::empty) continue;
    if (s.slab == slab && !s.stale) {
      there = true;
    } else if (s.state == StageState::reading) {
      s.stale = true;
    } else {
      s.state = StageState::empty;
      s.error = nullptr;
    }
  }
  read_failed_ = false;
  if (!stages_.empty()) next_read_ = next_on_disk(there ? slab + 1 : slab);
}

const std::byte* DeviceStreamer::acquire(std::size_t slab) {
  std::unique_lock lock(mutex_);
  if (const Slot* s = slot_of(slab); s != nullptr && s->state == SlotState::held) throw InternalError("a slab is wanted twice at once");
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    if (Slot* const s = slot_of(slab); s != nullptr) {
      waited_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (s->copied != nullptr) device_.hold(Lane::compute, *s->copied);
      s->copied.reset();
      s->state = SlotState::held;
      return s->memory.get();
    }
    if (copy_error_ != nullptr) std::rethrow_exception(std::exchange(copy_error_, nullptr));
    if (Stage* const s = stage_of(slab); s != nullptr && s->error != nullptr) {
      const std::exception_ptr error = std::exchange(s->error, nullptr);
      s->state = StageState::empty;
      next_read_ = slab;
      read_failed_ = false;
      std::rethrow_exception(error);
    }
    if (std::ranges::all_of(slots_, [](const Slot& o) { return o.state == SlotState::held; })) throw InternalError("more slabs are held at once than there are slots");
    if (next_copy_ != slab) expect(slab);
    if (empty_slot() == nullptr) forget_ready();
    pump();
    changed_.notify_all();
    if (slot_of(slab) == nullptr && copy_error_ == nullptr) changed_.wait(lock);
  }
}

void DeviceStreamer::release(std::size_t slab) noexcept {
  const std::lock_guard lock(mutex_);
  Slot* const s = slot_of(slab);
  if (s == nullptr || s->state != SlotState::held) return;
  try {
    s->used = device_.record(Lane::compute);
  } catch (...) {
    s->use_unknown = true;
  }
  s->turn = ++turns_;
  s->state = own_slots() ? SlotState::ready : SlotState::empty;
  pump();
  changed_.notify_all();
}

std::uint64_t DeviceStreamer::read_bytes() const {
  const std::lock_guard lock(mutex_);
  return read_bytes_;
}

std::uint64_t DeviceStreamer::copied_bytes() const {
  const std::lock_guard lock(mutex_);
  return copied_bytes_;
}

double DeviceStreamer::waited_s() const {
  const std::lock_guard lock(mutex_);
  return waited_s_;
}

}  // namespace bigmodel
