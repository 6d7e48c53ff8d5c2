// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/read_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/unique_fd.h"

namespace bigmodel {

std::string read_descriptor(int fd, const std::string& object, std::uint64_t limit_bytes) {
  constexpr std::size_t kStep = std::size_t{64} << 10;
  struct stat info {};
  if (::fstat(fd, &info) != 0) throw_errno(object, "read", errno);
  if (S_ISDIR(info.st_mode)) throw IoError(object + ": is a folder, expected a file");
  const auto refuse = [&] {
    throw FormatError(fmt::format("{}: larger than {}, which no such file needs", object, format_binary(limit_bytes)));
  };
  std::string out;
  if (S_ISREG(info.st_mode) && info.st_size > 0) {
    if (static_cast<std::uint64_t>(info.st_size) > limit_bytes) refuse();
    out.reserve(static_cast<std::size_t>(info.st_size) + 1);
  }
  while (true) {
    const std::size_t have = out.size();
    out.resize(std::max(have + kStep, out.capacity()));
    const ssize_t got = ::read(fd, out.data() + have, out.size() - have);
    if (got < 0 && errno == EINTR) {
      out.resize(have);
      continue;
    }
    if (got < 0) throw_errno(object, "read", errno);
    out.resize(have + static_cast<std::size_t>(got));
    if (out.size() > limit_bytes) refuse();
    if (got == 0) return out;
  }
}

std::string read_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  // O_NONBLOCK: opening a named pipe without a writer must not hang the program.
  const UniqueFd fd = open_file(path, O_RDONLY | O_NONBLOCK);
  return read_descriptor(fd.get(), path.string(), limit_bytes);
}

}  // namespace bigmodel
