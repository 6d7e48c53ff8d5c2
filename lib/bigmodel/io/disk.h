// SPDX-License-Identifier: Apache-2.0
// The system calls that bulk readers and writers make, as a seam: tests derive from Disk to shorten, interrupt or fail them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <span>

#include "bigmodel/io/unique_fd.h"

namespace bigmodel {

/// Each call behaves like its system call (result or -1 and errno). Stateless, so thread-safe; so must overrides be.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual int open(const std::filesystem::path& path, int flags, unsigned mode) const;
  virtual ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const;
  virtual ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) const;
  virtual int ftruncate(int fd, off_t size) const;
  virtual int fallocate(int fd, off_t size) const;
  virtual int fsync(int fd) const;
  virtual int rename(const std::filesystem::path& from, const std::filesystem::path& to) const;
  virtual int unlink(const std::filesystem::path& path) const;
  /// FICLONERANGE.
  virtual int clone_range(int from_fd, off_t from, int to_fd, off_t to, std::size_t size) const;
};

/// open with O_CLOEXEC, retried on EINTR. Throws NotFoundError or IoError.
UniqueFd open_on(const Disk& disk, const std::filesystem::path& path, int flags, unsigned mode = 0666);

/// Reads exactly `out.size()` bytes at `offset`, through short reads and EINTR.
/// Throws IoError; FormatError where the file ends early (it shrank while being read).
void read_exactly(const Disk& disk, int fd, std::span<std::byte> out, std::uint64_t offset, const std::filesystem::path& path);

/// Writes all of `bytes` at `offset`, through short writes and EINTR. Throws IoError.
void write_exactly(const Disk& disk, int fd, std::span<const std::byte> bytes, std::uint64_t offset,
                   const std::filesystem::path& path);

}  // namespace bigmodel
