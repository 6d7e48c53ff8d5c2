// SPDX-License-Identifier: Apache-2.0
// A file descriptor that closes itself.
#pragma once

#include <filesystem>
#include <utility>

namespace bigmodel {

class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset(int fd = -1) noexcept;
  /// Closes and reports what close() says: on some file systems that is where a write fails.
  /// Throws IoError naming `path`.
  void close(const std::filesystem::path& path);

 private:
  int fd_ = -1;
};

/// open(2) with O_CLOEXEC, retried on EINTR. Throws NotFoundError or IoError.
UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);

}  // namespace bigmodel
