// SPDX-License-Identifier: Apache-2.0
#include "support/emulated_accelerator.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <condition_variable>
#include <deque>
#include <thread>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(at, size) static_cast<void>(0)
#endif

namespace bigmodel::test {
namespace {

constexpr std::uint64_t kAlignment = 256;
/// Behind each piece, filled with a pattern that must still be there when it goes back.
constexpr std::uint64_t kRedZone = 256;
constexpr auto kRedByte = std::byte{0xA5};

std::uint64_t room_of(std::uint64_t size_bytes) { return (std::max<std::uint64_t>(size_bytes, 1) + kAlignment - 1) / kAlignment * kAlignment + kRedZone; }

std::size_t most_shared_bytes(int capability) {
  switch (capability) {
    case 75: return 64 << 10;
    case 80: case 87: return 163 << 10;
    case 86: case 89: case 120: return 99 << 10;
    default: return 227 << 10;
  }
}

struct EventState {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::string error;

  void set(const std::string& failure) {
    const std::lock_guard lock(mutex);
    done = true;
    error = failure;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done; });
  }
};

class EmulatedEvent : public DeviceEvent {
 public:
  explicit EmulatedEvent(std::function<void()> before_wait) : before_wait_(std::move(before_wait)) {}
  bool is_done() const override {
    const std::lock_guard lock(state->mutex);
    return state->done;
  }
  void wait() const override {
    before_wait_();
    state->wait();
    if (!state->error.empty()) throw DeviceError(state->error);
  }
  const std::shared_ptr<EventState> state = std::make_shared<EventState>();

 private:
  std::function<void()> before_wait_;
};

}  // namespace

/// A queue that one thread works off, or the caller at once.
class EmulatedLane {
 public:
  explicit EmulatedLane(bool threaded) {
    if (threaded) thread_ = std::jthread([this] { work(); });
  }
  ~EmulatedLane() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  /// Once a task has failed, others are left out but for those that run `always`.
  void submit(std::function<void()> task, bool always = false) {
    if (!thread_.joinable()) {
      run(task, always);
      throw_failure();
      return;
    }
    throw_failure();
    const std::lock_guard lock(mutex_);
    tasks_.push_back({std::move(task), always});
    changed_.notify_all();
  }
  void finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tasks_.empty() && !busy_; });
  }
  bool threaded() const { return thread_.joinable(); }
  std::string failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  void throw_failure() const {
    std::exception_ptr bug;
    std::string text;
    {
      const std::lock_guard lock(mutex_);
      bug = bug_;
      text = failure_;
    }
    if (bug) std::rethrow_exception(bug);
    if (!text.empty()) throw DeviceError(text);
  }

 private:
  struct Task {
    std::function<void()> run;
    bool always;
  };

  void run(const std::function<void()>& task, bool always) {
    if (!always && !failure().empty()) return;
    try {
      task();
    } catch (const std::logic_error& e) {
      // What a kernel did wrong is no fault of the device: it is told as it is, each time.
      const std::lock_guard lock(mutex_);
      bug_ = std::current_exception();
      failure_ = e.what();
    } catch (const std::exception& e) {
      const std::lock_guard lock(mutex_);
      failure_ = e.what();
    }
  }
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ending_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      busy_ = true;
      lock.unlock();
      run(task.run, task.always);
      task = {};
      lock.lock();
      busy_ = false;
      changed_.notify_all();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool busy_ = false, ending_ = false;
  std::string failure_;
  std::exception_ptr bug_;
  std::jthread thread_;
};

class EmulatedAccelerator::Open {
 public:
  explicit Open(const EmulatedAccelerator& device) : device_(device) {
    if (!device_.options_.guarded) return;
    const std::lock_guard lock(device_.guard_mutex_);
    if (device_.open_++ == 0) mprotect(device_.arena_, device_.options_.memory_bytes, PROT_READ | PROT_WRITE);
  }
  ~Open() {
    if (!device_.options_.guarded) return;
    const std::lock_guard lock(device_.guard_mutex_);
    if (--device_.open_ == 0) mprotect(device_.arena_, device_.options_.memory_bytes, PROT_NONE);
  }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;

 private:
  const EmulatedAccelerator& device_;
};

/// Steps are closures; launched again they run in the compute lane.
class EmulatedRecording : public RecordedWork {
 public:
  EmulatedRecording(const EmulatedAccelerator& device, EmulatedAccelerator::Recording recording)
      : device_(device), recording_(std::make_shared<const EmulatedAccelerator::Recording>(std::move(recording))) {}
  void launch() const override {
    {
      const std::lock_guard lock(device_.mutex_);
      ++device_.counts_.replays;
    }
    device_.submit(Lane::compute, [recording = recording_] {
      for (const auto& step : recording->steps) step();
    });
  }

 private:
  const EmulatedAccelerator& device_;
  std::shared_ptr<const EmulatedAccelerator::Recording> recording_;
};

EmulatedAccelerator::EmulatedAccelerator(EmulatedOptions options) : options_(std::move(options)), order_(options_.order) {
  constexpr std::uint64_t kPage = 4096;
  options_.memory_bytes = (options_.memory_bytes + kPage - 1) / kPage * kPage;
  description_ = {fmt::format("emulated card of capability {}.{}", options_.capability / 10, options_.capability % 10), options_.memory_bytes, 4, options_.capability};
  void* arena = mmap(nullptr, options_.memory_bytes, options_.guarded ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) throw CapacityError(fmt::format("device {}: no address space for {} bytes", options_.name, options_.memory_bytes));
  arena_ = static_cast<std::byte*>(arena);
  free_.emplace(0, options_.memory_bytes);
  compute_ = std::make_unique<EmulatedLane>(options_.deferred);
  copy_ = std::make_unique<EmulatedLane>(true);
}

EmulatedAccelerator::~EmulatedAccelerator() {
  copy_.reset();
  compute_.reset();
  ASAN_UNPOISON_MEMORY_REGION(arena_, options_.memory_bytes);
  munmap(arena_, options_.memory_bytes);
}

EmulatedLane& EmulatedAccelerator::lane(Lane lane) const { return lane == Lane::compute ? *compute_ : *copy_; }

EmulatedAccelerator::Recording* EmulatedAccelerator::recording() const {
  return recording_of_some_thread_ != nullptr && recording_of_some_thread_->thread == std::this_thread::get_id() ? recording_of_some_thread_ : nullptr;
}

std::shared_ptr<std::byte[]> EmulatedAccelerator::allocate(std::uint64_t size_bytes) const {
  const std::uint64_t room = room_of(size_bytes);
  std::byte* at = nullptr;
  {
    const std::lock_guard lock(mutex_);
    ++counts_.allocations;
    const auto hole = std::find_if(free_.begin(), free_.end(), [&](const auto& h) { return h.second >= room; });
    if (hole == free_.end()) {
      throw CapacityError(fmt::format("device {}: no memory for {} bytes, {} of {} are given out", options_.name, size_bytes, allocated_.load(), options_.memory_bytes),
                          "place fewer modules there");
    }
    const auto [offset, bytes] = *hole;
    free_.erase(hole);
    if (bytes > room) free_.emplace(offset + room, bytes - room);
    used_.emplace(offset, size_bytes);
    allocated_ += size_bytes;
    peak_ = std::max(peak_.load(), allocated_.load());
    at = arena_ + offset;
  }
  submit(Lane::compute, [this, at, size_bytes, room] {
    const Open open(*this);
    // The address sanitizer, where it is there, sees reads behind the end as well.
    ASAN_UNPOISON_MEMORY_REGION(at, room);
    std::memset(at, 0xFF, size_bytes);
    std::memset(at + size_bytes, static_cast<int>(kRedByte), room - size_bytes);
    ASAN_POISON_MEMORY_REGION(at + size_bytes, room - size_bytes);
  });
  std::shared_ptr<std::byte[]> memory(at, [this, size_bytes](std::byte* p) { free(p, size_bytes); });
  const std::lock_guard lock(mutex_);
  if (Recording* into = recording()) into->memory.push_back(memory);
  return memory;
}

void EmulatedAccelerator::free(std::byte* at, std::uint64_t size_bytes) const {
  const std::uint64_t room = room_of(size_bytes);
  if (!options_.deferred) {
    const Open open(*this);
    ASAN_UNPOISON_MEMORY_REGION(at, room);
    for (std::uint64_t i = size_bytes; i < room; ++i) {
      if (at[i] != kRedByte) {
        // A destructor cannot throw, and nothing that is written beyond its memory may pass.
        fmt::print(stderr, "emulator: a kernel or copy wrote {} bytes behind the end of a piece of {} bytes of {}\n", i - size_bytes, size_bytes, options_.name);
        std::abort();
      }
    }
    std::memset(at, 0xFF, size_bytes);
    ASAN_POISON_MEMORY_REGION(at, room);
  }
  const std::lock_guard lock(mutex_);
  const auto offset = static_cast<std::uint64_t>(at - arena_);
  used_.erase(offset);
  allocated_ -= size_bytes;
  auto [it, added] = free_.emplace(offset, room);
  if (const auto next = std::next(it); next != free_.end() && it->first + it->second == next->first) {
    it->second += next->second;
    free_.erase(next);
  }
  if (it != free_.begin()) {
    if (const auto before = std::prev(it); before->first + before->second == it->first) {
      before->second += it->second;
      free_.erase(it);
    }
  }
}

std::shared_ptr<std::byte[]> EmulatedAccelerator::allocate_pinned(std::uint64_t size_bytes) const {
  const std::uint64_t size = std::max<std::uint64_t>(size_bytes, 1);
  auto* at = static_cast<std::byte*>(::operator new[](size, std::align_val_t{4096}));
  {
    const std::lock_guard lock(mutex_);
    pinned_.emplace(at, size);
  }
  return {at, [this](std::byte* p) {
            {
              const std::lock_guard lock(mutex_);
              pinned_.erase(p);
            }
            ::operator delete[](p, std::align_val_t{4096});
          }};
}

bool EmulatedAccelerator::owns(const void* pointer) const {
  const auto* at = static_cast<const std::byte*>(pointer);
  const std::lock_guard lock(mutex_);
  if (at >= arena_ && at < arena_ + options_.memory_bytes) {
    const auto offset = static_cast<std::uint64_t>(at - arena_);
    auto piece = used_.upper_bound(offset);
    return piece != used_.begin() && offset <= std::prev(piece)->first + std::prev(piece)->second;
  }
  auto piece = pinned_.upper_bound(at);
  return piece != pinned_.begin() && at <= std::prev(piece)->first + std::prev(piece)->second;
}

void EmulatedAccelerator::check_given_out(const std::byte* at, std::uint64_t size_bytes) const {
  const std::lock_guard lock(mutex_);
  const auto offset = static_cast<std::uint64_t>(at - arena_);
  auto piece = at >= arena_ && at < arena_ + options_.memory_bytes ? used_.upper_bound(offset) : used_.begin();
  if (piece == used_.begin() || offset + size_bytes > std::prev(piece)->first + std::prev(piece)->second) {
    throw InternalError(fmt::format("emulator: a copy of {} bytes is not within memory that {} gave out", size_bytes, options_.name));
  }
}

bool EmulatedAccelerator::spoil_recording() const {
  const std::lock_guard lock(mutex_);
  Recording* spoiled = recording();
  if (spoiled != nullptr) spoiled->spoiled = true;
  return spoiled != nullptr;
}

void EmulatedAccelerator::submit(Lane where, std::function<void()> task) const {
  if (where == Lane::compute) {
    const std::lock_guard lock(mutex_);
    if (Recording* into = recording()) {
      into->steps.push_back(std::move(task));
      return;
    }
  }
  copy_->throw_failure();
  lane(where).submit(std::move(task));
}

void EmulatedAccelerator::copy(Lane where, std::byte* to, const std::byte* from, std::uint64_t size_bytes, bool in) const {
  if (size_bytes == 0) return;
  if (where == Lane::copy) spoil_recording();
  check_given_out(in ? to : from, size_bytes);
  submit(where, [this, where, to, from, size_bytes, in] {
    if (where == Lane::copy && options_.before_copy) options_.before_copy(size_bytes);
    {
      const std::lock_guard lock(mutex_);
      ++counts_.copies;
      if (in) counts_.copied_in_bytes += size_bytes;
    }
    const Open open(*this);
    std::memcpy(to, from, size_bytes);
  });
}

void EmulatedAccelerator::copy_in(std::byte* to, std::span<const std::byte> from) const {
  spoil_recording();
  copy(Lane::compute, to, from.data(), from.size(), true);
  finish(Lane::compute);
}

void EmulatedAccelerator::copy_out(const std::byte* from, std::span<std::byte> to) const {
  spoil_recording();
  copy(Lane::compute, to.data(), from, to.size(), false);
  finish(Lane::compute);
}

void EmulatedAccelerator::queue_copy_in(Lane where, std::byte* to, std::span<const std::byte> from) const {
  if (!from.empty() && !owns(from.data())) throw InternalError("emulator: a queued copy from RAM that is not pinned");
  copy(where, to, from.data(), from.size(), true);
}

void EmulatedAccelerator::queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const {
  if (from.empty()) return;
  check_given_out(to, from.size());
  submit(Lane::compute, [this, to, bytes = std::vector<std::byte>(from.begin(), from.end())] {
    {
      const std::lock_guard lock(mutex_);
      ++counts_.copies;
      counts_.copied_in_bytes += bytes.size();
    }
    const Open open(*this);
    std::memcpy(to, bytes.data(), bytes.size());
  });
}

void EmulatedAccelerator::queue_copy_out(Lane where, const std::byte* from, std::span<std::byte> to) const { copy(where, to.data(), from, to.size(), false); }

void EmulatedAccelerator::queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const {
  if (size_bytes == 0) return;
  check_given_out(to, size_bytes);
  copy(Lane::compute, to, from, size_bytes, false);
}

void EmulatedAccelerator::copy_from_peer(std::byte* to, const Accelerator& other, const std::byte* from, std::uint64_t size_bytes) const {
  std::vector<std::byte> between(size_bytes);
  other.copy_out(from, between);
  copy_in(to, between);
}

std::shared_ptr<DeviceEvent> EmulatedAccelerator::record(Lane where) const {
  spoil_recording();
  auto event = std::make_shared<EmulatedEvent>([this] {
    spoil_recording();
    const std::lock_guard lock(mutex_);
    ++counts_.waits;
  });
  EmulatedLane& queue = lane(where);
  queue.submit([&queue, state = event->state] { state->set(queue.failure()); }, true);
  return event;
}

void EmulatedAccelerator::hold(Lane where, const DeviceEvent& until) const {
  spoil_recording();
  copy_->throw_failure();
  const auto& event = dynamic_cast<const EmulatedEvent&>(until);
  lane(where).submit([state = event.state] {
    state->wait();
    if (!state->error.empty()) throw DeviceError(state->error);
  });
}

void EmulatedAccelerator::finish(Lane where) const {
  if (spoil_recording()) return;
  {
    const std::lock_guard lock(mutex_);
    ++counts_.waits;
  }
  lane(where).finish();
  lane(where).throw_failure();
}

std::unique_ptr<RecordedWork> EmulatedAccelerator::record_work(const std::function<void()>& work) const {
  if (!options_.can_record) return nullptr;
  Recording recorded;
  {
    const std::lock_guard lock(mutex_);
    BIGMODEL_ASSERT(recording_of_some_thread_ == nullptr);
    recording_of_some_thread_ = &recorded;
  }
  struct Stop {
    const EmulatedAccelerator& device;
    ~Stop() {
      const std::lock_guard lock(device.mutex_);
      device.recording_of_some_thread_ = nullptr;
    }
  };
  {
    const Stop stop{*this};
    work();
  }
  if (recorded.spoiled) return nullptr;
  {
    const std::lock_guard lock(mutex_);
    ++counts_.recordings;
  }
  return std::make_unique<EmulatedRecording>(*this, std::move(recorded));
}

EmulatedCounts EmulatedAccelerator::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void EmulatedAccelerator::launch(const ops::LaunchShape& shape, std::function<void()> body, const void* kernel) const {
  if (shape.grid_x == 0 || shape.grid_y == 0 || shape.grid_z == 0 || shape.grid_x > 0x7FFFFFFFU || shape.grid_y > 65535 || shape.grid_z > 65535 || shape.threads == 0 ||
      shape.threads > 1024 || shape.shared_bytes > most_shared_bytes(options_.capability)) {
    throw DeviceError(fmt::format("device {}: a launch of {} x {} x {} blocks of {} threads with {} bytes of shared memory is beyond the hardware", options_.name, shape.grid_x, shape.grid_y,
                                  shape.grid_z, shape.threads, shape.shared_bytes));
  }
  submit(Lane::compute, [this, shape, body = std::move(body), kernel] {
    {
      const std::lock_guard lock(mutex_);
      ++counts_.launches;
    }
    const Open open(*this);
    emulator::run({shape.grid_x, shape.grid_y, shape.grid_z, shape.threads, shape.shared_bytes, order_, options_.capability, kernel}, body);
  });
}

}  // namespace bigmodel::test
