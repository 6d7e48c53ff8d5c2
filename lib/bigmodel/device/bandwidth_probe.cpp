// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/bandwidth_probe.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

namespace bigmodel {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMemoryPerThread = std::uint64_t{256} << 20;
constexpr std::size_t kPiece = std::size_t{16} << 20;
constexpr std::size_t kAlignment = 4096, kHugePage = std::size_t{2} << 20;
/// Read in turn, so that a processor's cache does not stand in for memory.
constexpr std::size_t kReadMemory = std::size_t{256} << 20;
constexpr int kPasses = 20;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<std::uint64_t, Free>;

Buffer aligned_buffer(std::size_t bytes) { return Buffer(static_cast<std::uint64_t*>(std::aligned_alloc(kAlignment, bytes))); }

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Four sums side by side, so that no add waits for the one before it.
std::uint64_t sum(const std::uint64_t* words, std::size_t count) {
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  for (std::size_t i = 0; i + 4 <= count; i += 4) {
    a += words[i];
    b += words[i + 1];
    c += words[i + 2];
    d += words[i + 3];
  }
  return a + b + c + d;
}

/// Words that no file system compresses.
void fill(std::uint64_t* words, std::size_t count, std::uint64_t seed) {
  std::uint64_t x = seed | 1;
  for (std::size_t i = 0; i < count; ++i) {
    x ^= x << 13U;
    x ^= x >> 7U;
    x ^= x << 17U;
    words[i] = x;
  }
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

bool write_all(int fd, const Buffer& piece, std::uint64_t bytes, const std::stop_token& stop) {
  for (std::uint64_t at = 0; at < bytes; at += kPiece) {
    if (stop.stop_requested()) return false;
    fill(piece.get(), kPiece / sizeof(std::uint64_t), at + 0x9e3779b97f4a7c15ULL);
    std::size_t done = 0;
    while (done < kPiece) {
      const ssize_t n = ::pwrite(fd, reinterpret_cast<const char*>(piece.get()) + done, kPiece - done, static_cast<off_t>(at + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      done += static_cast<std::size_t>(n);
    }
  }
  return ::fdatasync(fd) == 0;
}

}  // namespace

std::optional<double> probe_memory(int threads, std::uint64_t most_bytes, const std::stop_token& stop) {
  threads = std::max(threads, 1);
  const std::uint64_t each = std::min(kMemoryPerThread, most_bytes / static_cast<std::uint64_t>(threads)) / kAlignment * kAlignment;
  if (each < kAlignment) return std::nullopt;
  std::vector<Buffer> buffers;
  for (int t = 0; t < threads; ++t) {
    buffers.push_back(aligned_buffer(each));
    if (!buffers.back()) return std::nullopt;
    ::madvise(buffers.back().get(), each, MADV_HUGEPAGE);
  }
  std::atomic<std::uint64_t> sink{0};
  std::barrier line(threads + 1);
  std::atomic<bool> running{true};
  const std::size_t words = each / sizeof(std::uint64_t);
  std::vector<std::jthread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      std::uint64_t* const mine = buffers[static_cast<std::size_t>(t)].get();
      fill(mine, words, static_cast<std::uint64_t>(t) + 1);  // by the thread that reads it: that is where its pages come to lie
      for (;;) {
        line.arrive_and_wait();
        if (!running) return;
        sink += sum(mine, words);
        line.arrive_and_wait();
      }
    });
  }
  double best = 0;
  for (int pass = 0; pass < kPasses && !stop.stop_requested(); ++pass) {
    line.arrive_and_wait();
    const Clock::time_point begin = Clock::now();
    line.arrive_and_wait();
    best = std::max(best, static_cast<double>(each) * threads / seconds_since(begin));
  }
  running = false;
  line.arrive_and_wait();
  workers.clear();
  if (best <= 0) return std::nullopt;
  return best;
}

DiskProbe probe_disk(const std::filesystem::path& folder, std::uint64_t bytes, int threads, const std::stop_token& stop) {
  bytes = std::max<std::uint64_t>(bytes / kPiece, 1) * kPiece;
  const File written(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (written.fd() < 0) return {std::nullopt, errno == EOPNOTSUPP || errno == EISDIR ? "its file system has no files without names" : "cannot write there"};
  {
    const Buffer piece = aligned_buffer(kPiece);
    if (!piece || !write_all(written.fd(), piece, bytes, stop)) return {std::nullopt, stop.stop_requested() ? "stopped" : "there is no room to write a file"};
  }
  const std::string path = "/proc/self/fd/" + std::to_string(written.fd());
  const File direct(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (direct.fd() < 0) return {std::nullopt, "its file system keeps files in memory or cannot read past the page cache"};
  threads = std::clamp(threads, 1, 32);
  const std::size_t slots = std::max<std::size_t>(kReadMemory / static_cast<std::size_t>(threads) / kPiece, 1);
  std::vector<Buffer> memory;
  for (int t = 0; t < threads; ++t) {
    memory.push_back(Buffer(static_cast<std::uint64_t*>(std::aligned_alloc(kHugePage, slots * kPiece))));
    if (!memory.back()) return {std::nullopt, "there is no memory for it"};
    // As the engine's memory: a disk that writes into huge pages is given larger requests.
    ::madvise(memory.back().get(), slots * kPiece, MADV_HUGEPAGE);
    std::memset(memory.back().get(), 1, slots * kPiece);
  }
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  const Clock::time_point begin = Clock::now();
  {
    std::vector<std::jthread> workers;
    for (int t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        auto* const own = reinterpret_cast<char*>(memory[static_cast<std::size_t>(t)].get());
        std::size_t slot = 0;
        for (std::uint64_t at = next.fetch_add(kPiece); at < bytes && !failed && !stop.stop_requested(); at = next.fetch_add(kPiece)) {
          char* const to = own + slot++ % slots * kPiece;
          ssize_t n = 0;
          do {
            n = ::pread(direct.fd(), to, kPiece, static_cast<off_t>(at));
          } while (n < 0 && errno == EINTR);
          if (n != static_cast<ssize_t>(kPiece)) failed = true;
        }
      });
    }
  }
  const double seconds = seconds_since(begin);
  if (failed) return {std::nullopt, "it cannot be read past the page cache"};
  if (stop.stop_requested()) return {std::nullopt, "stopped"};
  return {static_cast<double>(bytes) / std::max(seconds, 1e-9), {}};
}

}  // namespace bigmodel
