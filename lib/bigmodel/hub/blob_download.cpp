// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/blob_download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/hub/blob_digest.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/io/disk.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFailuresWithoutProgress = 5;
constexpr std::size_t kHashChunkBytes = std::size_t{1} << 20;
constexpr std::size_t kErrorBodyBytes = 64 << 10;

/// The server sends the whole file whatever range is asked for.
struct RangesIgnored {};

/// The partial file. Its finished prefix is the file's size, or, while ranges are written out of order, what the note beside
/// it says: so that a killed process leaves no hole that counts as data.
class Partial {
 public:
  Partial(const fs::path& blob, std::uint64_t size_bytes)
      : path_(blob.string() + ".bigmodel.incomplete"), note_(blob.string() + ".bigmodel.progress"), keep_(is_local_file_system(blob.parent_path())) {
    if (!keep_) fs::remove(path_);
    fd_ = open_file(path_, O_RDWR | O_CREAT, 0666);
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw IoError(fmt::format("{}: another program downloads this file", path_.string()), "wait for it to end");
    }
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) throw_errno(path_.string(), "look at", errno);
    done_ = static_cast<std::uint64_t>(info.st_size);
    if (fs::exists(note_)) done_ = std::min(done_, noted());
    if (done_ > size_bytes) done_ = 0;
    truncate(done_);
  }

  int fd() const { return fd_.get(); }
  const fs::path& path() const { return path_; }
  std::uint64_t done() const { return done_; }

  void truncate(std::uint64_t size) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) throw_errno(path_.string(), "shorten", errno);
    std::error_code error;
    fs::remove(note_, error);
    done_ = size;
  }

  /// From now on only what is noted counts.
  void write_out_of_order() { note(done_); }
  void note(std::uint64_t prefix) {
    AtomicFile file(note_);
    file.write(fmt::format("{}", prefix));
    file.commit();
  }

  /// The end of a failed call: only the prefix stays.
  void leave(std::uint64_t prefix) noexcept {
    std::error_code error;
    if (keep_ && prefix > 0 && ::ftruncate(fd_.get(), static_cast<off_t>(prefix)) == 0) {
      fs::remove(note_, error);
      return;
    }
    fs::remove(path_, error);
    fs::remove(note_, error);
  }

  void rename_to(const fs::path& blob) {
    if (::fsync(fd_.get()) != 0) throw_errno(path_.string(), "write to disk", errno);
    std::error_code error;
    fs::rename(path_, blob, error);
    if (error) throw_errno(blob.string(), "rename", error.value());
    fs::remove(note_, error);
  }

 private:
  std::uint64_t noted() const {
    std::uint64_t out = 0;
    try {
      const std::string text = read_file(note_, 64);
      std::from_chars(text.data(), text.data() + text.size(), out);
    } catch (const Error&) {
      return 0;
    }
    return out;
  }

  fs::path path_, note_;
  bool keep_;
  UniqueFd fd_;
  std::uint64_t done_ = 0;
};

/// Ranges of one file, fetched by several threads; the calling thread hashes the finished prefix as it grows.
class Transfer {
 public:
  Transfer(HubClient& client, const std::string& repo_id, const std::string& path, const FileMetadata& file,
           const BlobDownloadOptions& options, Partial& partial)
      : client_(client), repo_id_(repo_id), path_(path), file_(file), options_(options), partial_(partial),
        location_(file.location), prefix_(partial.done()), next_(partial.done()) {}

  /// Returns the digest. `ranges` false: one stream from the start.
  std::string run(bool ranges) {
    const std::uint64_t left = file_.size_bytes - next_;
    const std::uint64_t pieces = ranges ? (left + options_.range_bytes - 1) / options_.range_bytes : std::min<std::uint64_t>(left, 1);
    never_ranges_ = !ranges;
    ranges_ = ranges && (pieces > 1 || next_ > 0);
    piece_bytes_ = ranges ? options_.range_bytes : left;
    const auto workers = static_cast<unsigned>(std::min<std::uint64_t>(std::max(options_.connections, 1U), pieces));
    if (workers > 1) partial_.write_out_of_order();
    noting_ = workers > 1;
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < workers; ++i) threads.emplace_back([this] { work(); });
    std::string digest = hash_as_it_grows();
    threads.clear();
    if (failure_) std::rethrow_exception(failure_);
    return digest;
  }

  std::uint64_t prefix() {
    const std::scoped_lock lock(mutex_);
    return prefix_;
  }
  std::uint64_t received() const { return received_.load(); }

 private:
  void work() noexcept {
    try {
      while (true) {
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
        {
          const std::scoped_lock lock(mutex_);
          if (failure_ || next_ >= file_.size_bytes) return;
          begin = next_;
          end = begin + std::min(piece_bytes_, file_.size_bytes - begin);
          next_ = end;
          growing_[begin] = begin;
        }
        fetch(begin, end);
      }
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  /// Bytes [begin, at) are written: the prefix may have grown.
  void advance(std::uint64_t begin, std::uint64_t at) {
    const std::scoped_lock lock(mutex_);
    growing_[begin] = at;
    const std::uint64_t before = prefix_;
    for (auto it = growing_.begin(); it != growing_.end() && it->first <= prefix_;) {
      prefix_ = std::max(prefix_, it->second);
      const bool finished = it->second == std::min(it->first + piece_bytes_, file_.size_bytes);
      if (!finished) break;
      it = growing_.erase(it);
    }
    if (noting_ && prefix_ / options_.range_bytes != before / options_.range_bytes) partial_.note(prefix_);
    if (prefix_ != before) changed_.notify_all();
  }

  void fetch(std::uint64_t begin, std::uint64_t end) {
    std::uint64_t at = begin;
    int failures = 0;
    while (at < end && !failed()) {
      const std::uint64_t before = at;
      if (never_ranges_) at = begin;  // the server always sends the whole file: over what is there already
      std::optional<std::chrono::seconds> asked;
      try {
        at = fetch_once(begin, at, end, asked);
        if (failed()) return;
        if (at < end) throw TransportError(fmt::format("{}/{}: the answer ends early", repo_id_, path_), "try again", true);
      } catch (const TransportError& e) {
        at = std::max(at, reached(begin, at));
        failures = at > before ? 0 : failures + 1;
        if (!e.worth_retrying() || failures >= kMostFailuresWithoutProgress) throw;
        client_.pause(failures, asked);
      } catch (const BusyServerError&) {
        if (++failures >= kMostFailuresWithoutProgress) throw;
        client_.pause(failures, asked);
      }
    }
  }

  bool failed() {
    const std::scoped_lock lock(mutex_);
    return failure_ != nullptr;
  }

  std::uint64_t reached(std::uint64_t begin, std::uint64_t at) {
    const std::scoped_lock lock(mutex_);
    const auto it = growing_.find(begin);
    return it == growing_.end() ? at : std::max(at, it->second);
  }

  /// One exchange; returns how far it came.
  std::uint64_t fetch_once(std::uint64_t begin, std::uint64_t at, std::uint64_t end, std::optional<std::chrono::seconds>& asked) {
    const Disk disk;
    const std::uint64_t first = at;
    const bool whole = never_ranges_ || (!ranges_ && at == 0);
    std::vector<HttpHeader> headers;
    if (!whole) headers.push_back({"range", fmt::format("bytes={}-{}", at, end - 1)});
    std::string error_text;
    std::uint64_t budget = end - at;
    const std::string location = this->location();
    const HttpResponse response = client_.get(location, headers, [&](const HttpResponse& head, std::span<const std::byte> piece) {
      if (head.status / 100 != 2) {
        const std::size_t room = std::min(piece.size(), kErrorBodyBytes - std::min(kErrorBodyBytes, error_text.size()));
        error_text.append(reinterpret_cast<const char*>(piece.data()), room);
        return room == piece.size();
      }
      if (!whole) check_range(head, first);
      if (failed()) return false;
      const std::size_t take = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), budget));
      write_exactly(disk, partial_.fd(), piece.first(take), at, partial_.path());
      at += take;
      budget -= take;
      received_ += take;
      if (options_.arrived) options_.arrived(take);
      advance(begin, at);
      if (take < piece.size()) throw changed_on_server("is longer than announced");
      return true;
    });
    asked = asked_wait(response);
    if (response.status / 100 == 2) return at;
    // A signed address ends sometime: ask for a fresh one, once per failure.
    const bool elsewhere = url_origin(location) != url_origin(client_.settings().endpoint);
    if (elsewhere && (response.status == 401 || response.status == 403)) {
      refresh(location);
      throw TransportError(fmt::format("{}/{}: the signed address has expired", repo_id_, path_), "try again", true);
    }
    throw_hub_error(response, error_text, client_.question(repo_id_, file_.commit, path_));
  }

  NetworkError changed_on_server(std::string_view what) const {
    return NetworkError(fmt::format("{}/{}: the file {}, expected {} bytes", repo_id_, path_, what, file_.size_bytes),
                        "it changed while it was downloaded, or a proxy altered it: try again");
  }

  void check_range(const HttpResponse& head, std::uint64_t first) const {
    if (head.status == 200) {
      if (first == 0 && !ranges_) return;
      throw RangesIgnored{};
    }
    const std::string* text = head.header("content-range");
    const auto range = text == nullptr ? std::nullopt : parse_content_range(*text);
    if (head.status != 206 || !range || range->first != first) {
      throw TransportError(fmt::format("{}/{}: the server answered with another range than was asked for", repo_id_, path_),
                           "try again", true);
    }
    if (range->total != file_.size_bytes) throw changed_on_server(fmt::format("has {} bytes now", range->total));
  }

  std::string location() {
    const std::scoped_lock lock(mutex_);
    return location_;
  }

  void refresh(const std::string& expired) {
    {
      const std::scoped_lock lock(mutex_);
      if (location_ != expired) return;
    }
    const FileMetadata fresh = client_.file_metadata(repo_id_, file_.commit, path_);
    if (fresh.etag != file_.etag) throw changed_on_server("is another one now");
    const std::scoped_lock lock(mutex_);
    location_ = fresh.location;
  }

  std::string hash_as_it_grows() {
    const Disk disk;
    BlobDigest digest(BlobDigest::kind_of(file_.etag), file_.size_bytes);
    std::vector<std::byte> chunk(kHashChunkBytes);
    std::uint64_t hashed = 0;
    while (hashed < file_.size_bytes) {
      std::uint64_t ready = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return failure_ || prefix_ > hashed; });
        if (failure_) return {};
        ready = prefix_;
      }
      while (hashed < ready) {
        const auto part = std::span(chunk).first(static_cast<std::size_t>(std::min<std::uint64_t>(ready - hashed, chunk.size())));
        read_exactly(disk, partial_.fd(), part, hashed, partial_.path());
        digest.update(part);
        hashed += part.size();
      }
    }
    return digest.finish_hex();
  }

  HubClient& client_;
  const std::string& repo_id_;
  const std::string& path_;
  const FileMetadata& file_;
  const BlobDownloadOptions& options_;
  Partial& partial_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string location_;
  std::uint64_t prefix_;                            ///< bytes [0, prefix_) are written
  std::uint64_t next_;                              ///< where the next piece begins
  std::map<std::uint64_t, std::uint64_t> growing_;  ///< begun pieces: begin -> written up to
  std::exception_ptr failure_;
  std::atomic<std::uint64_t> received_{0};
  std::uint64_t piece_bytes_ = 0;
  bool ranges_ = false;
  bool never_ranges_ = false;
  bool noting_ = false;
};

void check_room(const fs::path& folder, std::uint64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return;
  const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (free >= bytes) return;
  throw IoError(fmt::format("{}: the disk is too full, expected {} free, got {}", folder.string(), format_decimal(bytes), format_decimal(free)),
                "free some space, or set HF_HUB_CACHE to another disk");
}

}  // namespace

BlobDownload download_blob(HubClient& client, const CacheRepo& repo, const std::string& repo_id, const std::string& path,
                           const FileMetadata& file, const BlobDownloadOptions& options) {
  const fs::path blob = repo.blob_path(file.etag);
  BlobDownload out;
  bool ranges = true;
  for (int attempt = 0;; ++attempt) {
    Partial partial(blob, file.size_bytes);
    if (!ranges) partial.truncate(0);
    if (attempt == 0) out.resumed_bytes = partial.done();
    check_room(blob.parent_path(), file.size_bytes - partial.done());
    if (attempt == 0 && partial.done() > 0 && options.note) {
      options.note(fmt::format("{}: resumed at {} of {}", path, format_decimal(partial.done()), format_decimal(file.size_bytes)));
    }
    Transfer transfer(client, repo_id, path, file, options, partial);
    std::string digest;
    try {
      digest = transfer.run(ranges);
    } catch (const RangesIgnored&) {
      out.received_bytes += transfer.received();
      partial.leave(0);
      if (!ranges) throw InternalError("ranges were ignored that nobody asked for");
      ranges = false;
      continue;
    } catch (...) {
      partial.leave(transfer.prefix());
      throw;
    }
    out.received_bytes += transfer.received();
    if (BlobDigest::kind_of(file.etag) == BlobDigest::Kind::unknown || digest == file.etag) {
      partial.rename_to(blob);
      return out;
    }
    partial.leave(0);
    // What an earlier call had left may be the culprit: once more from the start.
    if (attempt > 0 || out.resumed_bytes == 0) {
      throw NetworkError(fmt::format("{}/{}: what arrived is not the file, expected digest {}, got {}", repo_id, path, file.etag, digest),
                         "it changed while it was downloaded, or a proxy altered it: try again");
    }
    if (options.note) options.note(fmt::format("{}: the part that was there did not fit; downloading again", path));
  }
}

}  // namespace bigmodel
