// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cpu/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t pack(std::uint32_t next, std::uint32_t end) { return std::uint64_t{end} << 32 | next; }
constexpr std::uint32_t next_of(std::uint64_t range) { return static_cast<std::uint32_t>(range); }
constexpr std::uint32_t end_of(std::uint64_t range) { return static_cast<std::uint32_t>(range >> 32); }

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// True once `ready` says so; false after some 30 us. A longer spin would take the core from others, a shorter one would make
/// the workers sleep between two operations of a layer.
template <class F>
bool spin_until(const F& ready) {
  if (ready()) return true;
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(30);
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int thread_count) {
  if (thread_count < 1 || thread_count > 1024) {
    throw UsageError(fmt::format("threads: a number out of range, expected 1 to 1024, got {}", thread_count));
  }
  workers_ = std::vector<Worker>(static_cast<std::size_t>(thread_count));
  try {
    for (int i = 1; i < thread_count; ++i) {
      threads_.emplace_back([this, i](std::stop_token stop) { work(i, std::move(stop)); });
    }
  } catch (...) {
    // Those that did start sleep, and would be waited for.
    stop_workers();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::stop_workers() {
  for (std::jthread& thread : threads_) thread.request_stop();
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
}

void ThreadPool::work(int worker, std::stop_token stop) {
  std::uint32_t seen = 0;
  while (!stop.stop_requested()) {
    if (!spin_until([&] { return job_.load(std::memory_order_acquire) != seen; })) job_.wait(seen, std::memory_order_acquire);
    seen = job_.load(std::memory_order_acquire);
    take_chunks(worker);
  }
}

void ThreadPool::take_chunks(int worker) {
  // A chunk that was taken is not done, so its job is alive until run_chunk ends: no other handshake is needed.
  std::atomic<std::uint64_t>& own = workers_[static_cast<std::size_t>(worker)].range;
  for (std::uint64_t range = own.load(std::memory_order_acquire); next_of(range) < end_of(range);) {
    if (!own.compare_exchange_weak(range, pack(next_of(range) + 1, end_of(range)), std::memory_order_acquire)) continue;
    run_chunk(next_of(range), worker);
    range = own.load(std::memory_order_acquire);
  }
  while (true) {
    Worker* richest = nullptr;
    std::uint64_t seen = 0;
    for (Worker& other : workers_) {
      const std::uint64_t range = other.range.load(std::memory_order_acquire);
      if (next_of(range) >= end_of(range)) continue;
      if (richest != nullptr && end_of(range) - next_of(range) <= end_of(seen) - next_of(seen)) continue;
      richest = &other;
      seen = range;
    }
    if (richest == nullptr) return;
    if (richest->range.compare_exchange_strong(seen, pack(next_of(seen), end_of(seen) - 1), std::memory_order_acquire)) {
      run_chunk(end_of(seen) - 1, worker);
    }
  }
}

void ThreadPool::run_chunk(std::uint32_t chunk, int worker) {
  if (!failed_.load(std::memory_order_relaxed)) {
    try {
      const std::int64_t begin = std::int64_t{chunk} * chunk_;
      body_(begin, std::min(begin + chunk_, count_), worker);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }
  if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
}

void ThreadPool::parallel_for(std::int64_t count, std::int64_t chunk, RangeBody body) {
  if (count <= 0) return;
  BIGMODEL_ASSERT(chunk > 0);
  BIGMODEL_ASSERT(!busy_.exchange(true, std::memory_order_acquire));
  struct Release {
    std::atomic<bool>& busy;
    ~Release() { busy.store(false, std::memory_order_release); }
  } release{busy_};
  const std::int64_t threads = thread_count();
  if (threads == 1 || count <= chunk) {
    for (std::int64_t begin = 0; begin < count; begin += chunk) body(begin, std::min(begin + chunk, count), 0);
    return;
  }
  std::int64_t chunks = (count - 1) / chunk + 1;
  BIGMODEL_ASSERT(chunks < std::int64_t{1} << 31);
  body_ = body;
  count_ = count;
  chunk_ = chunk;
  left_.store(static_cast<std::uint32_t>(chunks), std::memory_order_relaxed);
  for (std::int64_t i = 0; i < threads; ++i) {
    const auto from = static_cast<std::uint32_t>(chunks * i / threads);
    const auto to = static_cast<std::uint32_t>(chunks * (i + 1) / threads);
    workers_[static_cast<std::size_t>(i)].range.store(pack(from, to), std::memory_order_release);
  }
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  take_chunks(0);
  const auto done = [&] { return left_.load(std::memory_order_acquire) == 0; };
  while (!spin_until(done)) {
    const std::uint32_t left = left_.load(std::memory_order_acquire);
    if (left != 0) left_.wait(left, std::memory_order_acquire);
  }
  if (failed_.exchange(false, std::memory_order_relaxed)) {
    std::exception_ptr error;
    {
      const std::lock_guard lock(error_mutex_);
      error = std::exchange(error_, nullptr);
    }
    std::rethrow_exception(error);
  }
}

}  // namespace bigmodel
