// SPDX-License-Identifier: Apache-2.0
// Worker threads that share index ranges by stealing chunks: a thread that loses its core holds up one chunk, not the rest.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace bigmodel {

/// A view of anything callable as body(begin, end, worker); the callable must outlive the call it is passed to.
class RangeBody {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, RangeBody>)
  RangeBody(const F& f)  // NOLINT: implicit, so that lambdas can be passed
      : object_(&f), call_([](const void* object, std::int64_t begin, std::int64_t end, int worker) {
          (*static_cast<const F*>(object))(begin, end, worker);
        }) {}
  RangeBody() = default;
  void operator()(std::int64_t begin, std::int64_t end, int worker) const { call_(object_, begin, end, worker); }

 private:
  const void* object_ = nullptr;
  void (*call_)(const void*, std::int64_t, std::int64_t, int) = nullptr;
};

/// The thread that calls parallel_for works too, as worker 0. Idle workers spin for some 30 us, then sleep.
class ThreadPool {
 public:
  /// Starts thread_count - 1 threads. Throws UsageError where thread_count is not in 1 .. 1024, std::system_error where the system starts no more.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int thread_count() const noexcept { return static_cast<int>(workers_.size()); }

  /// Calls `body` for ranges of at most `chunk` indices (the last one may be shorter) that cover [0, count) once each; begins are
  /// multiples of `chunk`. Every worker starts on its own contiguous part and then takes chunks from the ends of the others'.
  /// Which worker gets what varies from run to run: a body writes to places that depend on its indices alone. Rethrows the first exception of a body after all chunks have ended or been dropped.
  /// One caller at a time, and never from within a body.
  void parallel_for(std::int64_t count, std::int64_t chunk, RangeBody body);

 private:
  /// The chunks [next, end) a worker has left, packed in one word: taking is one compare-and-swap.
  struct alignas(64) Worker {
    std::atomic<std::uint64_t> range{0};
  };

  void stop_workers();
  void work(int worker, std::stop_token stop);
  void take_chunks(int worker);
  void run_chunk(std::uint32_t chunk, int worker);

  std::vector<Worker> workers_;
  alignas(64) std::atomic<std::uint32_t> job_{0};  ///< counts parallel_for calls; sleepers wait on it
  alignas(64) std::atomic<std::uint32_t> left_{0};  ///< chunks not yet done; the caller waits on it
  RangeBody body_;
  std::int64_t count_ = 0;
  std::int64_t chunk_ = 1;
  std::atomic<bool> busy_{false};
  std::atomic<bool> failed_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::vector<std::jthread> threads_;
};

}  // namespace bigmodel
