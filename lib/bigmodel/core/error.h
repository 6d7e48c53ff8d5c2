// SPDX-License-Identifier: Apache-2.0
// The errors that end a command: one type per thing that a caller can do about it.
// Expected outcomes are return values; our own bugs are BIGMODEL_ASSERT.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace bigmodel {

/// What went wrong, by what the caller can do; each kind has one exit code in the program (apps/bigmodel/exit_status.h).
enum class ErrorKind {
  usage,          ///< an argument makes no sense: change the call
  not_found,      ///< no such model, file, class or tensor
  authorisation,  ///< the server wants a (different) token
  network,        ///< no answer, or offline and not in the cache
  format,         ///< malformed data
  unsupported,    ///< well-formed, but nothing here can do it
  capacity,       ///< does not fit
  device,         ///< a GPU or driver said no
  io,             ///< the local file system said no
  cancelled,      ///< the caller's stop token was set
};

/// The name that `--json` prints: "usage", "not_found", ... .
std::string_view to_string(ErrorKind kind) noexcept;

/// Base of all errors that end a command. The message is one line without a final period:
/// `<object>: <what is wrong>, expected <a>, got <b>`; the hint says what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = {});

  ErrorKind kind() const noexcept { return kind_; }
  /// Without the hint.
  const std::string& message() const noexcept { return message_; }
  /// May be empty.
  const std::string& hint() const noexcept { return hint_; }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
};

/// An Error whose kind is in its type, so that a catch clause or CHECK_THROWS_AS can name it.
template <ErrorKind Kind>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(std::string message, std::string hint = {})
      : Error(Kind, std::move(message), std::move(hint)) {}
};

using UsageError = ErrorOf<ErrorKind::usage>;
using NotFoundError = ErrorOf<ErrorKind::not_found>;
using AuthorisationError = ErrorOf<ErrorKind::authorisation>;
using NetworkError = ErrorOf<ErrorKind::network>;
using FormatError = ErrorOf<ErrorKind::format>;
using UnsupportedError = ErrorOf<ErrorKind::unsupported>;
using CapacityError = ErrorOf<ErrorKind::capacity>;
using DeviceError = ErrorOf<ErrorKind::device>;
using IoError = ErrorOf<ErrorKind::io>;
using CancelledError = ErrorOf<ErrorKind::cancelled>;

/// A bug of ours (exit code 70). Thrown by BIGMODEL_ASSERT so that one broken call does not take the process down.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

/// IoError for a failed system call: `<object>: cannot <action>: <strerror>`.
[[noreturn]] void throw_errno(std::string_view object, std::string_view action, int error_number);

}  // namespace bigmodel

/// States what only a bug of ours can break; never reachable from a file, flag or network byte.
#define BIGMODEL_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::bigmodel::assertion_failed(#condition, __FILE__, __LINE__))
