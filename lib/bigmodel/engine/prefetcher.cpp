// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/prefetcher.h"

#include <algorithm>
#include <chrono>

#include "bigmodel/core/error.h"

namespace bigmodel {

Prefetcher::Prefetcher(std::vector<Slab> slabs, std::size_t slots, const Checkpoint& checkpoint, const Disk& disk)
    : slabs_(std::move(slabs)), checkpoint_(checkpoint), disk_(disk) {
  BIGMODEL_ASSERT(!slabs_.empty() && slots > 0);
  for (const Slab& s : slabs_) slot_bytes_ = std::max(slot_bytes_, s.size_bytes);
  slots_.resize(std::min(slots, slabs_.size()));
  for (Slot& s : slots_) s.memory = AlignedBuffer(static_cast<std::size_t>(slot_bytes_));
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

Prefetcher::~Prefetcher() {
  thread_.request_stop();
  changed_.notify_all();
}

Prefetcher::Slot* Prefetcher::find(std::size_t slab) {
  for (Slot& s : slots_) {
    if (s.state != State::empty && s.slab == slab) return &s;
  }
  return nullptr;
}

Prefetcher::Slot* Prefetcher::free_slot() {
  for (Slot& s : slots_) {
    if (s.state == State::empty) return &s;
  }
  return nullptr;
}

void Prefetcher::run(std::stop_token stop) {
  TensorReader reader(checkpoint_, disk_);
  std::unique_lock lock(mutex_);
  while (true) {
    const bool go = changed_.wait(lock, stop, [this] { return !failed_ && free_slot() != nullptr && find(next_) == nullptr; });
    if (!go || stop.stop_requested()) return;
    Slot& slot = *free_slot();
    slot.slab = next_;
    slot.state = State::loading;
    slot.error = nullptr;
    next_ = (next_ + 1) % slabs_.size();
    const Slab& slab = slabs_[slot.slab];
    lock.unlock();
    std::exception_ptr error;
    try {
      read_slab(slab, reader, slot.memory.bytes());
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.state = State::ready;
    failed_ = error != nullptr;
    read_bytes_ += slab.read_bytes;
    changed_.notify_all();
  }
}

const std::byte* Prefetcher::acquire(std::size_t slab) {
  std::unique_lock lock(mutex_);
  if (Slot* s = find(slab); s != nullptr && s->state == State::held) throw InternalError("a slab is wanted twice at once");
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    Slot* s = find(slab);
    if (s != nullptr && s->state == State::ready) {
      waited_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (s->error != nullptr) {
        const std::exception_ptr error = std::exchange(s->error, nullptr);
        s->state = State::empty;
        next_ = slab;
        failed_ = false;
        std::rethrow_exception(error);
      }
      s->state = State::held;
      return s->memory.bytes().data();
    }
    if (s == nullptr && next_ != slab) {
      // Not what was expected next: what was read ahead makes room.
      next_ = slab;
      for (Slot& other : slots_) {
        if (other.state == State::ready) other.state = State::empty;
      }
    }
    if (s == nullptr && std::ranges::all_of(slots_, [](const Slot& o) { return o.state == State::held; })) {
      throw InternalError("more slabs are held at once than there are slots");
    }
    if (s == nullptr && free_slot() == nullptr) {
      for (Slot& other : slots_) {
        if (other.state == State::ready) other.state = State::empty;
      }
    }
    failed_ = false;
    changed_.notify_all();
    changed_.wait(lock);
  }
}

void Prefetcher::release(std::size_t slab) {
  const std::lock_guard lock(mutex_);
  Slot* s = find(slab);
  BIGMODEL_ASSERT(s != nullptr && s->state == State::held);
  // Where every slab has a slot of its own, nothing is ever read twice.
  s->state = slots_.size() == slabs_.size() ? State::ready : State::empty;
  changed_.notify_all();
}

std::uint64_t Prefetcher::read_bytes() const {
  const std::lock_guard lock(mutex_);
  return read_bytes_;
}

double Prefetcher::waited_s() const {
  const std::lock_guard lock(mutex_);
  return waited_s_;
}

}  // namespace bigmodel
