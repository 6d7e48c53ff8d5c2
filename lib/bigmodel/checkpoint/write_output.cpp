// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/write_output.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "bigmodel/checkpoint/assembler.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/sha256.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;
/// Shorter runs are cheaper to copy than to share.
constexpr std::uint64_t kLeastShared = std::uint64_t{64} << 10;

struct Interval {
  std::uint64_t begin = 0, end = 0;
};

/// The open target. With direct I/O the last, ragged block is written whole and the file cut to its size afterwards.
class Target {
 public:
  Target(const Disk& disk, const std::filesystem::path& path, bool direct) : disk_(disk), path_(path) {
    constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    if (direct) fd_ = UniqueFd(disk.open(path, kFlags | O_DIRECT, 0666));
    direct_ = static_cast<bool>(fd_);
    if (!fd_) {
      // Some file systems create the file before they refuse O_DIRECT.
      if (direct && errno == EINVAL) static_cast<void>(disk.unlink(path));
      fd_ = open_on(disk, path, kFlags, 0666);
    }
  }
  void reserve(std::uint64_t size) {
    if (size == 0) return;
    while (disk_.fallocate(fd_.get(), static_cast<off_t>(size)) != 0) {
      if (errno == EINTR) continue;
      if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return;
      throw_errno(path_.string(), fmt::format("reserve {} bytes for it", size), errno);
    }
  }
  void resize(std::uint64_t size) {
    while (disk_.ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) throw_errno(path_.string(), "set the size", errno);
    }
  }
  void write(std::span<const std::byte> bytes, std::uint64_t offset) { write_exactly(disk_, fd_.get(), bytes, offset, path_); }
  /// A failed sync means that the file is lost: it is never tried again.
  void close() {
    if (disk_.fsync(fd_.get()) != 0) throw_errno(path_.string(), "write to the medium", errno);
    if (!direct_) static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED));
    fd_.close(path_);
  }
  bool direct() const { return direct_; }
  void leave_direct() {
    if (!direct_) return;
    fd_ = open_on(disk_, path_, O_RDWR | O_NOFOLLOW);
    direct_ = false;
  }
  int fd() const { return fd_.get(); }

 private:
  const Disk& disk_;
  const std::filesystem::path& path_;
  UniqueFd fd_;
  bool direct_ = false;
};

/// Shares the block-aligned middles of long runs; returns what was shared, in order. Nothing where the file system cannot.
std::vector<Interval> share_extents(const Checkpoint& checkpoint, const OutputFile& file, const Disk& disk, Target& target) {
  std::vector<Interval> shared;
  bool sized = false;
  for (const OutputPiece& piece : file.pieces) {
    if (piece.kind != OutputPiece::Kind::range || piece.size_bytes < kLeastShared || piece.from % kBlockBytes != piece.offset % kBlockBytes) continue;
    const std::uint64_t begin = (piece.offset + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    const std::uint64_t end = (piece.offset + piece.size_bytes) / kBlockBytes * kBlockBytes;
    if (end <= begin) continue;
    if (!sized) target.resize(file.size_bytes);
    sized = true;
    const CheckpointFile& source = checkpoint.files[piece.file];
    const UniqueFd from = open_on(disk, source.path, O_RDONLY);
    if (disk.clone_range(from.get(), static_cast<off_t>(piece.from + (begin - piece.offset)), target.fd(), static_cast<off_t>(begin), static_cast<std::size_t>(end - begin)) != 0) {
      if (errno == ENOSPC || errno == EDQUOT || errno == EIO) throw_errno(target.fd() >= 0 ? file.name : "", "share extents", errno);
      if (shared.empty()) return {};
      continue;
    }
    shared.push_back({begin, end});
  }
  return shared;
}

/// Chunks of one file, filled and written by several threads; digests and checksums see them in order.
class ChunkPipeline {
 public:
  ChunkPipeline(const Checkpoint& checkpoint, const OutputFile& file, Target& target, const CopyOptions& options, const Disk& disk, const WorkContext& work,
                std::uint64_t done_bytes, std::uint64_t total_bytes)
      : checkpoint_(checkpoint), file_(file), target_(target), options_(options), disk_(disk), work_(work), assembler_(checkpoint, file),
        done_bytes_(done_bytes), total_bytes_(total_bytes), chunks_((file.size_bytes + options.chunk_bytes - 1) / options.chunk_bytes) {}

  /// The digest, or empty.
  std::string run() {
    const auto threads = static_cast<unsigned>(std::min<std::uint64_t>(std::max(1U, options_.threads), std::max<std::uint64_t>(1, chunks_)));
    {
      std::vector<std::jthread> workers;
      for (unsigned i = 1; i < threads; ++i) workers.emplace_back([this] { work_through(false); });
      work_through(true);
    }
    if (failure_) std::rethrow_exception(failure_);
    return options_.digest ? hash_.finish_hex() : std::string();
  }

 private:
  void work_through(bool reporting) {
    try {
      TensorReader reader(checkpoint_, disk_);
      const AlignedBuffer buffer(static_cast<std::size_t>(options_.chunk_bytes));
      while (true) {
        const std::uint64_t chunk = next_.fetch_add(1);
        if (chunk >= chunks_ || stopped_) return;
        work_.throw_if_stopped();
        write_chunk(reader, buffer, chunk);
        if (reporting) work_.report("writing", done_bytes_ + written_, total_bytes_);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      stopped_ = true;
      turn_.notify_all();
    }
  }

  void write_chunk(TensorReader& reader, const AlignedBuffer& buffer, std::uint64_t chunk) {
    const std::uint64_t offset = chunk * options_.chunk_bytes;
    const auto size = static_cast<std::size_t>(std::min(options_.chunk_bytes, file_.size_bytes - offset));
    const std::span<std::byte> bytes = buffer.bytes().first(size);
    assembler_.fill(reader, offset, bytes);
    if (options_.digest || assembler_.needs_finish()) {
      std::unique_lock lock(mutex_);
      turn_.wait(lock, [&] { return ordered_ == chunk || stopped_; });
      if (stopped_) return;
      lock.unlock();
      // Only the holder of the turn is here.
      assembler_.finish(offset, bytes);
      if (options_.digest) hash_.update(bytes);
      lock.lock();
      ++ordered_;
      turn_.notify_all();
    }
    std::size_t whole = size;
    if (target_.direct() && size % kBlockBytes != 0) {
      whole = (size + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
      std::fill(buffer.bytes().begin() + static_cast<std::ptrdiff_t>(size), buffer.bytes().begin() + static_cast<std::ptrdiff_t>(whole), std::byte{0});
    }
    target_.write(buffer.bytes().first(whole), offset);
    written_ += size;
  }

  const Checkpoint& checkpoint_;
  const OutputFile& file_;
  Target& target_;
  const CopyOptions& options_;
  const Disk& disk_;
  const WorkContext& work_;
  Assembler assembler_;
  Sha256 hash_;
  std::uint64_t done_bytes_, total_bytes_, chunks_;
  std::atomic<std::uint64_t> next_{0}, written_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t ordered_ = 0;
  std::exception_ptr failure_;
};

/// What sharing left over: headers, ragged ends, runs out of phase.
std::uint64_t write_gaps(const Checkpoint& checkpoint, const OutputFile& file, const std::vector<Interval>& shared, Target& target, const Disk& disk,
                         const CopyOptions& options, const WorkContext& work) {
  Assembler assembler(checkpoint, file);
  TensorReader reader(checkpoint, disk);
  std::vector<std::byte> buffer;
  std::uint64_t copied = 0;
  std::uint64_t at = 0;
  for (std::size_t i = 0; i <= shared.size(); ++i) {
    const std::uint64_t end = i < shared.size() ? shared[i].begin : file.size_bytes;
    while (at < end) {
      work.throw_if_stopped();
      buffer.resize(static_cast<std::size_t>(std::min(options.chunk_bytes, end - at)));
      assembler.fill(reader, at, buffer);
      target.write(buffer, at);
      at += buffer.size();
      copied += buffer.size();
    }
    if (i < shared.size()) at = shared[i].end;
  }
  return copied;
}

}  // namespace

WrittenFile write_output(const Checkpoint& checkpoint, const OutputFile& file, const std::filesystem::path& path, const CopyOptions& options, const Disk& disk,
                         const WorkContext& work, std::uint64_t done_bytes, std::uint64_t total_bytes) {
  WrittenFile written;
  Target target(disk, path, options.direct_io);
  // A zip's checksums need its bytes to be read, so its extents are not shared.
  if (options.reflink && file.records.empty()) {
    const std::vector<Interval> shared = share_extents(checkpoint, file, disk, target);
    if (!shared.empty()) {
      target.leave_direct();
      written.copied_bytes = write_gaps(checkpoint, file, shared, target, disk, options, work);
      written.reflink_bytes = file.size_bytes - written.copied_bytes;
      target.close();
      work.report("writing", done_bytes + file.size_bytes, total_bytes);
      return written;
    }
  }
  target.reserve(file.size_bytes);
  written.sha256 = ChunkPipeline(checkpoint, file, target, options, disk, work, done_bytes, total_bytes).run();
  target.resize(file.size_bytes);
  target.close();
  written.copied_bytes = file.size_bytes;
  work.report("writing", done_bytes + file.size_bytes, total_bytes);
  return written;
}

std::string sha256_of_file(const std::filesystem::path& path, const Disk& disk, const WorkContext& work) {
  DirectReader reader(disk);
  reader.open(path);
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  if (error) throw_errno(path.string(), "read", error.value());
  const AlignedBuffer buffer(std::size_t{4} << 20);
  Sha256 hash;
  for (std::uint64_t at = 0; at < size;) {
    work.throw_if_stopped();
    const std::span<std::byte> part = buffer.bytes().first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.bytes().size(), size - at)));
    reader.read(at, part);
    hash.update(part);
    at += part.size();
    work.report("verifying", at, size);
  }
  return hash.finish_hex();
}

}  // namespace bigmodel
