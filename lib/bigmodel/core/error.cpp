// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace bigmodel {

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::not_found: return "not_found";
    case ErrorKind::authorisation: return "authorisation";
    case ErrorKind::network: return "network";
    case ErrorKind::format: return "format";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::capacity: return "capacity";
    case ErrorKind::device: return "device";
    case ErrorKind::io: return "io";
    case ErrorKind::cancelled: return "cancelled";
  }
  return "unknown";
}

Error::Error(ErrorKind kind, std::string message, std::string hint)
    : std::runtime_error(hint.empty() ? message : message + "; " + hint),
      kind_(kind),
      message_(std::move(message)),
      hint_(std::move(hint)) {}

void assertion_failed(const char* condition, const char* file, int line) {
  throw InternalError(fmt::format("{}:{}: assertion failed: {}", file, line, condition));
}

void throw_errno(std::string_view object, std::string_view action, int error_number) {
  const std::string reason = std::generic_category().message(error_number);
  std::string message = fmt::format("{}: cannot {}: {}", object, action, reason);
  if (error_number == ENOENT) throw NotFoundError(std::move(message));
  throw IoError(std::move(message), error_number == ENOSPC || error_number == EDQUOT ? "free some space on the disk" : "");
}

}  // namespace bigmodel
