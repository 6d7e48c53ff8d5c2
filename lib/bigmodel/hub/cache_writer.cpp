// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/cache_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "bigmodel/core/error.h"
#include "bigmodel/hub/cache.h"
#include "bigmodel/hub/repo_id.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::string_view kCacheTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file marks a cache folder (see https://bford.info/cachedir/).\n";

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  // Whatever the reason, it is the disk here that fails, not the model that is not found.
  if (error) throw IoError(fmt::format("{}: cannot make the folder: {}", folder.string(), error.message()), "set HF_HOME or HF_HUB_CACHE to a folder that can be written");
}

void check_commit(std::string_view commit) {
  if (!is_commit_hash(commit)) throw FormatError(fmt::format("'{}': not a commit", commit.substr(0, 80)));
}

void check_path(std::string_view path) {
  if (const auto fault = repo_path_fault(path)) throw FormatError(fmt::format("'{}': as a file's path, it {}", path.substr(0, 200), *fault));
}

void check_etag(std::string_view etag) {
  const bool fine = !etag.empty() && etag.size() <= 128 && std::ranges::all_of(etag, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
  if (!fine) throw FormatError(fmt::format("'{}': not a blob's name", etag.substr(0, 80)));
}

/// "../../blobs/<etag>" for a file at the snapshot's root, one more ".." for each folder.
fs::path link_target(std::string_view path, std::string_view etag) {
  fs::path out = fs::path("..") / "..";
  for (const char c : path) {
    if (c == '/') out /= "..";
  }
  return out / "blobs" / etag;
}

}  // namespace

CacheRepo::CacheRepo(fs::path cache, std::string_view repo_id) : cache_(std::move(cache)) {
  if (const auto fault = repo_id_fault(repo_id)) throw FormatError(fmt::format("'{}': as a repository's id, it {}", repo_id, *fault));
  folder_ = cache_ / repo_folder_name(repo_id);
}

fs::path CacheRepo::blob_path(std::string_view etag) const {
  check_etag(etag);
  return folder_ / "blobs" / etag;
}

fs::path CacheRepo::file_path(std::string_view commit, std::string_view path) const {
  check_commit(commit);
  check_path(path);
  return folder_ / "snapshots" / commit / path;
}

void CacheRepo::prepare() const {
  make_folders(folder_ / "blobs");
  make_folders(cache_ / ".locks" / folder_.filename());
  std::error_code error;
  const fs::path tag = cache_ / "CACHEDIR.TAG";
  if (fs::exists(tag, error)) return;
  try {
    AtomicFile file(tag);
    file.write(kCacheTag);
    file.commit();
  } catch (const Error&) {
    return;  // a courtesy to backup programs, no more
  }
}

void CacheRepo::write_ref(std::string_view revision, std::string_view commit) const {
  check_commit(commit);
  if (is_commit_hash(revision)) return;
  if (const auto fault = revision_fault(revision)) throw FormatError(fmt::format("'{}': as a revision, it {}", revision, *fault));
  const fs::path ref = folder_ / "refs" / revision;
  try {
    if (read_file(ref, 4096) == commit) return;  // nothing to write: the cache may be read-only
  } catch (const Error&) {
    // not there yet
  }
  make_folders(ref.parent_path());
  AtomicFile file(ref);
  file.write(commit);
  file.commit();
}

void CacheRepo::note_missing(std::string_view commit, std::string_view path) const {
  check_commit(commit);
  check_path(path);
  const fs::path mark = folder_ / ".no_exist" / commit / path;
  make_folders(mark.parent_path());
  const UniqueFd fd = open_file(mark, O_WRONLY | O_CREAT, 0666);
}

void CacheRepo::link_file(std::string_view commit, std::string_view path, std::string_view etag, bool use_symlinks) const {
  const fs::path file = file_path(commit, path);
  const fs::path blob = blob_path(etag);
  make_folders(file.parent_path());
  std::error_code error;
  if (use_symlinks) {
    // Made beside and renamed over, so that a reader never sees the file gone.
    const fs::path hidden = file.parent_path() / fmt::format(".{}.{}.link", file.filename().string(), ::getpid());
    fs::remove(hidden, error);
    fs::create_symlink(link_target(path, etag), hidden, error);
    if (!error) {
      fs::rename(hidden, file, error);
      if (!error) return;
      fs::remove(hidden, error);
    }
  }
  // No links here: the snapshot holds the bytes. The blob stays where another snapshot may need it.
  error.clear();
  const fs::path hidden = file.parent_path() / fmt::format(".{}.{}.copy", file.filename().string(), ::getpid());
  fs::copy_file(blob, hidden, fs::copy_options::overwrite_existing, error);
  if (error) throw_errno(hidden.string(), "copy the blob", error.value());
  fs::rename(hidden, file, error);
  if (error) throw_errno(file.string(), "rename", error.value());
  fs::remove(blob, error);
}

BlobLock::BlobLock(const CacheRepo& repo, std::string_view etag, const std::stop_token& stop,
                   const std::function<void()>& waiting) {
  check_etag(etag);
  const fs::path file = repo.cache() / ".locks" / repo.folder().filename() / fmt::format("{}.lock", etag);
  fd_ = open_file(file, O_RDWR | O_CREAT, 0664);
  ::fchmod(fd_.get(), 0664);  // others of the group share the cache; fails for a file of theirs, which is fine
  auto next_note = std::chrono::steady_clock::now() + 10s;
  while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return;  // no flock on this file system: names are unique anyway
    if (stop.stop_requested()) throw CancelledError("stopped");
    if (std::chrono::steady_clock::now() >= next_note) {
      if (waiting) waiting();
      next_note += 10s;
    }
    std::this_thread::sleep_for(50ms);
  }
}

bool is_local_file_system(const fs::path& folder) {
  // ext, xfs, btrfs, tmpfs, overlayfs, f2fs, zfs, bcachefs: statfs(2).
  constexpr std::array<std::uint64_t, 8> kLocal = {0xEF53,     0x58465342, 0x9123683E, 0x01021994,
                                                   0x794C7630, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E};
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return false;
  return std::ranges::find(kLocal, static_cast<std::uint64_t>(info.f_type) & 0xFFFFFFFF) != kLocal.end();
}

}  // namespace bigmodel
