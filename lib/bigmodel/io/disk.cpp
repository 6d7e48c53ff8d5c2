// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "bigmodel/core/error.h"

namespace bigmodel {

int Disk::open(const std::filesystem::path& path, int flags, unsigned mode) const {
  return ::open(path.c_str(), flags | O_CLOEXEC, mode);
}
ssize_t Disk::pread(int fd, void* data, std::size_t size, off_t offset) const { return ::pread(fd, data, size, offset); }
ssize_t Disk::pwrite(int fd, const void* data, std::size_t size, off_t offset) const {
  return ::pwrite(fd, data, size, offset);
}
int Disk::ftruncate(int fd, off_t size) const { return ::ftruncate(fd, size); }
// Not posix_fallocate: where the file system cannot reserve, that one writes zeros through the whole file.
int Disk::fallocate(int fd, off_t size) const { return ::fallocate(fd, 0, 0, size); }
int Disk::fsync(int fd) const { return ::fsync(fd); }
int Disk::rename(const std::filesystem::path& from, const std::filesystem::path& to) const {
  return std::rename(from.c_str(), to.c_str());
}
int Disk::unlink(const std::filesystem::path& path) const { return ::unlink(path.c_str()); }
int Disk::clone_range(int from_fd, off_t from, int to_fd, off_t to, std::size_t size) const {
  struct file_clone_range range {};
  range.src_fd = from_fd;
  range.src_offset = static_cast<std::uint64_t>(from);
  range.src_length = size;
  range.dest_offset = static_cast<std::uint64_t>(to);
  return ::ioctl(to_fd, FICLONERANGE, &range);
}

UniqueFd open_on(const Disk& disk, const std::filesystem::path& path, int flags, unsigned mode) {
  while (true) {
    const int fd = disk.open(path, flags, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno == EINTR) continue;
    const int code = errno;
    if (code == ENOENT && (flags & O_CREAT) == 0) throw NotFoundError(path.string() + ": no such file");
    throw_errno(path.string(), (flags & O_ACCMODE) == O_RDONLY ? "open" : "create", code);
  }
}

void read_exactly(const Disk& disk, int fd, std::span<std::byte> out, std::uint64_t offset,
                  const std::filesystem::path& path) {
  while (!out.empty()) {
    const ssize_t got = disk.pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno(path.string(), fmt::format("read at byte {}", offset), errno);
    if (got == 0) {
      throw FormatError(fmt::format("{}: ends at byte {}, expected {} bytes more", path.string(), offset, out.size()),
                        "the file is cut short, or something else writes it now");
    }
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void write_exactly(const Disk& disk, int fd, std::span<const std::byte> bytes, std::uint64_t offset,
                   const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t put = disk.pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_errno(path.string(), "write", errno);
    if (put == 0) throw_errno(path.string(), "write", ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

}  // namespace bigmodel
