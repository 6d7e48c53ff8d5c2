// SPDX-License-Identifier: Apache-2.0
#include "render/output.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "bigmodel/core/error.h"

namespace bigmodel::app {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} << 10;

}  // namespace

Output::Output(int fd, std::string object, Terminal terminal)
    : fd_(fd), object_(std::move(object)), terminal_(terminal) {}

void Output::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void Output::flush() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    const ssize_t n = ::write(fd_, left.data(), left.size());
    if (n >= 0) {
      left.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    buffer_.clear();
    if (error == EPIPE) throw ClosedPipe();
    throw_errno(object_, "write", error);
  }
  buffer_.clear();
}

}  // namespace bigmodel::app
