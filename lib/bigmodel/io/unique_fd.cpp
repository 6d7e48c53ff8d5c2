// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/unique_fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "bigmodel/core/error.h"

namespace bigmodel {

void UniqueFd::reset(int fd) noexcept {
  // EINTR on close leaves the descriptor closed on Linux: never retry.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

void UniqueFd::close(const std::filesystem::path& path) {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) throw_errno(path.string(), "close", errno);
}

UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  while (true) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) throw_errno(path.string(), "open", errno);
  }
}

}  // namespace bigmodel
