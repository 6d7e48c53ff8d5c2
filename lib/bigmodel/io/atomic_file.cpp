// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "bigmodel/core/error.h"

namespace bigmodel {

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  // A rename would put the file in the place of a device or a pipe (root may do that even to /dev/null).
  std::error_code unknown;
  const auto there = std::filesystem::status(target_, unknown);
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there) && !std::filesystem::is_directory(there)) {
    throw IoError(fmt::format("{}: is a device or a pipe, expected a file", target_.string()), "name a file, which is written beside it and renamed");
  }
  for (int attempt = 0;; ++attempt) {
    hidden_ = target_.parent_path() / fmt::format(".{}.{}.{}.part", target_.filename().string(), ::getpid(), attempt);
    const int fd = ::open(hidden_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      fd_ = UniqueFd(fd);
      return;
    }
    if (errno == EINTR || (errno == EEXIST && attempt < 1000)) continue;
    const int code = errno;
    hidden_.clear();
    throw IoError(fmt::format("{}: cannot create: {}", target_.string(), std::generic_category().message(code)));
  }
}

AtomicFile::~AtomicFile() {
  if (fd_) ::unlink(hidden_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_errno(target_.string(), "write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  BIGMODEL_ASSERT(static_cast<bool>(fd_));
  if (::fsync(fd_.get()) != 0) throw_errno(target_.string(), "write", errno);
  if (std::rename(hidden_.c_str(), target_.c_str()) != 0) throw_errno(target_.string(), "rename into place", errno);
  fd_.close(target_);
  const std::filesystem::path folder = target_.parent_path();
  sync_folder(folder.empty() ? std::filesystem::path(".") : folder);
}

void sync_folder(const std::filesystem::path& folder) {
  const UniqueFd fd = open_file(folder, O_RDONLY | O_DIRECTORY);
  // Some file systems refuse fsync on folders (EINVAL); there is then nothing to sync.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) throw_errno(folder.string(), "sync", errno);
}

}  // namespace bigmodel
