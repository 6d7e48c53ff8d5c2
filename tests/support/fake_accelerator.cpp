// SPDX-License-Identifier: Apache-2.0
#include "support/fake_accelerator.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "bigmodel/core/error.h"

namespace bigmodel::test {
namespace {

class FakeEvent final : public DeviceEvent, public std::enable_shared_from_this<FakeEvent> {
 public:
  FakeEvent(VirtualClock* clock, double time, std::atomic<int>& waits) : clock_(clock), time_(time), waits_(waits) {}
  bool is_done() const override {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  void wait() const override {
    ++waits_;
    if (clock_ != nullptr) clock_->waited(time_);
    await();
  }
  /// Without a host's wait being counted: what a lane does.
  void await() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }
  void set() {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  double time() const { return time_; }

 private:
  VirtualClock* clock_;
  double time_;
  std::atomic<int>& waits_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
};

int track_of(Lane lane) { return lane == Lane::compute ? 0 : 1; }

std::shared_ptr<std::byte[]> poisoned(std::uint64_t size_bytes) {
  const std::size_t size = std::max<std::size_t>(static_cast<std::size_t>(size_bytes), 1);
  std::byte* const block = static_cast<std::byte*>(::operator new(size, std::align_val_t{256}));
  std::memset(block, static_cast<int>(kPoison), size);
  return {block, [](std::byte* b) { ::operator delete(b, std::align_val_t{256}); }};
}

}  // namespace

double VirtualClock::read(const void* to, std::uint64_t size_bytes, double cost_s) {
  const std::lock_guard lock(mutex_);
  double& thread = threads_[std::this_thread::get_id()];
  thread += cost_s;
  const auto* const begin = static_cast<const std::byte*>(to);
  filled_[begin] = {begin + size_bytes, thread};
  return thread;
}

double VirtualClock::copy(int track, const void* from, std::uint64_t size_bytes, double cost_s) {
  const std::lock_guard lock(mutex_);
  double start = tracks_[track];
  const auto* const begin = static_cast<const std::byte*>(from);
  for (const auto& [other, range] : filled_) {
    if (other < begin + size_bytes && begin < range.first) start = std::max(start, range.second);
  }
  return tracks_[track] = start + cost_s;
}

double VirtualClock::work(int track, double cost_s) {
  const std::lock_guard lock(mutex_);
  return tracks_[track] += cost_s;
}

double VirtualClock::now(int track) const {
  const std::lock_guard lock(mutex_);
  const auto it = tracks_.find(track);
  return it == tracks_.end() ? 0 : it->second;
}

void VirtualClock::hold(int track, double until) {
  const std::lock_guard lock(mutex_);
  tracks_[track] = std::max(tracks_[track], until);
}

void VirtualClock::waited(double until) {
  const std::lock_guard lock(mutex_);
  double& thread = threads_[std::this_thread::get_id()];
  thread = std::max(thread, until);
}

double VirtualClock::end() const {
  const std::lock_guard lock(mutex_);
  double out = 0;
  for (const auto& [track, time] : tracks_) out = std::max(out, time);
  return out;
}

FakeAccelerator::FakeAccelerator(FakeDelays delays, VirtualClock* clock) : delays_(delays), clock_(clock) {
  for (LaneThread& lane : lanes_) {
    lane.thread = std::jthread([this, &lane](std::stop_token stop) {
      std::unique_lock lock(lane.mutex);
      // What is queued is done, also after the stop.
      while (lane.changed.wait(lock, stop, [&lane] { return !lane.queue.empty(); })) {
        const std::function<void()> work = std::move(lane.queue.front());
        lane.queue.pop_front();
        lane.busy = true;
        lock.unlock();
        pause();
        work();
        lock.lock();
        lane.busy = false;
        lane.changed.notify_all();
      }
    });
  }
}

FakeAccelerator::~FakeAccelerator() {
  for (LaneThread& lane : lanes_) {
    {
      std::unique_lock lock(lane.mutex);
      lane.changed.wait(lock, [&lane] { return lane.queue.empty() && !lane.busy; });
    }
    lane.thread.request_stop();
  }
  for (LaneThread& lane : lanes_) lane.thread.join();
}

void FakeAccelerator::pause() const {
  if (delays_.most_us == 0) return;
  const std::uint32_t roll = dice_.fetch_add(1) * 2654435761U >> 8;
  std::this_thread::sleep_for(std::chrono::microseconds(roll % delays_.most_us));
}

void FakeAccelerator::may_fail(const char* call) const {
  int left = calls_left;
  while (left > 0 && !calls_left.compare_exchange_weak(left, left - 1)) {
  }
  if (left == 0) throw DeviceError(name_ + ": " + call + " failed as it was told to");
}

void FakeAccelerator::queue(Lane lane, std::function<void()> work) const {
  LaneThread& l = lane_thread(lane);
  const std::lock_guard lock(l.mutex);
  l.queue.push_back(std::move(work));
  l.changed.notify_all();
}

std::shared_ptr<std::byte[]> FakeAccelerator::allocate(std::uint64_t size_bytes) const {
  allocated_ += size_bytes;
  std::shared_ptr<std::byte[]> block = poisoned(size_bytes);
  std::byte* const address = block.get();
  return {address, [this, block = std::move(block), size_bytes](std::byte*) mutable {
            allocated_ -= size_bytes;
            // Its next user would come behind in the compute lane.
            queue(Lane::compute, [gone = std::exchange(block, nullptr), size_bytes] { std::memset(gone.get(), static_cast<int>(kPoison), static_cast<std::size_t>(size_bytes)); });
          }};
}

std::shared_ptr<std::byte[]> FakeAccelerator::allocate_pinned(std::uint64_t size_bytes) const { return poisoned(size_bytes); }

void FakeAccelerator::copy_in(std::byte* to, std::span<const std::byte> from) const {
  queue_copy_in(Lane::compute, to, from);
  finish(Lane::compute);
}

void FakeAccelerator::copy_out(const std::byte* from, std::span<std::byte> to) const {
  queue_copy_out(Lane::compute, from, to);
  finish(Lane::compute);
}

void FakeAccelerator::queue_copy_in(Lane lane, std::byte* to, std::span<const std::byte> from) const {
  may_fail("a copy");
  if (clock_ != nullptr) clock_->copy(track_of(lane), from.data(), from.size(), delays_.copy_s_per_byte * static_cast<double>(from.size()));
  queue(lane, [this, to, from] {
    if (from.empty()) return;
    std::memset(to, static_cast<int>(kPoison), from.size());
    pause();
    std::memcpy(to, from.data(), from.size());
  });
}

void FakeAccelerator::queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const {
  may_fail("a copy");
  queue(Lane::compute, [to, bytes = std::vector<std::byte>(from.begin(), from.end())] {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  });
}

void FakeAccelerator::queue_copy_out(Lane lane, const std::byte* from, std::span<std::byte> to) const {
  may_fail("a copy");
  queue(lane, [from, to] {
    if (!to.empty()) std::memcpy(to.data(), from, to.size());
  });
}

void FakeAccelerator::queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const {
  may_fail("a copy");
  queue(Lane::compute, [to, from, size_bytes] { std::memcpy(to, from, static_cast<std::size_t>(size_bytes)); });
}

void FakeAccelerator::copy_from_peer(std::byte* to, const Accelerator& other, const std::byte* from, std::uint64_t size_bytes) const {
  std::vector<std::byte> way(static_cast<std::size_t>(size_bytes));
  other.copy_out(from, way);
  copy_in(to, way);
}

std::shared_ptr<DeviceEvent> FakeAccelerator::record(Lane lane) const {
  may_fail("an event");
  auto event = std::make_shared<FakeEvent>(clock_, clock_ == nullptr ? 0 : clock_->now(track_of(lane)), host_waits);
  queue(lane, [event] { event->set(); });
  return event;
}

void FakeAccelerator::hold(Lane lane, const DeviceEvent& until) const {
  may_fail("a wait");
  const auto& event = dynamic_cast<const FakeEvent&>(until);
  if (clock_ != nullptr) clock_->hold(track_of(lane), event.time());
  // The lane may wait longer than whoever asked for it keeps the event.
  const std::shared_ptr<const FakeEvent> kept = event.shared_from_this();
  queue(lane, [kept] { kept->await(); });
}

void FakeAccelerator::finish(Lane lane) const {
  ++host_waits;
  if (clock_ != nullptr) clock_->waited(clock_->now(track_of(lane)));
  LaneThread& l = lane_thread(lane);
  std::unique_lock lock(l.mutex);
  l.changed.wait(lock, [&l] { return l.queue.empty() && !l.busy; });
  // A device that failed does nothing more, so that memory can go.
  may_fail("a wait");
}

void FakeAccelerator::compute(std::function<void()> work, double cost_s) const {
  if (clock_ != nullptr) clock_->work(track_of(Lane::compute), cost_s);
  queue(Lane::compute, std::move(work));
}

}  // namespace bigmodel::test
