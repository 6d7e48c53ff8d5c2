// SPDX-License-Identifier: Apache-2.0
// What the Hub means by an answer that is no success, in plain words with what to do.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "bigmodel/hub/transport.h"

namespace bigmodel {

/// The repository exists, the file does not at that commit.
class EntryNotFoundError : public NotFoundError {
 public:
  EntryNotFoundError(std::string message, std::string hint, std::string commit)
      : NotFoundError(std::move(message), std::move(hint)), commit_(std::move(commit)) {}
  const std::string& commit() const noexcept { return commit_; }  ///< 40 hex digits, or empty

 private:
  std::string commit_;
};

/// The repository exists, the revision does not.
class RevisionNotFoundError : public NotFoundError {
 public:
  using NotFoundError::NotFoundError;
};

/// Missing, private, or gated and no token was sent: the Hub hides which.
class RepoNotFoundError : public NotFoundError {
 public:
  using NotFoundError::NotFoundError;
};

/// Answers of 408, 429 and 5xx that stayed so after all tries.
class BusyServerError : public NetworkError {
 public:
  using NetworkError::NetworkError;
};

/// What was asked for, to name it in messages.
struct HubQuestion {
  std::string repo_id;
  std::string revision;  ///< may be empty
  std::string path;      ///< may be empty
  std::string endpoint;
  std::string token_source;  ///< empty: no token was sent
};

/// Throws for any status that is not 2xx. `body` is the answer's beginning. X-Error-Code decides, then X-Error-Message, then
/// JSON `error`, then the status. X-Request-Id is part of messages that the Hub's makers would be asked about.
[[noreturn]] void throw_hub_error(const HttpResponse& response, const std::string& body, const HubQuestion& question);

/// 408, 429, 500, 502, 503, 504.
bool worth_retrying(int status) noexcept;

/// How long the server asks to wait: `RateLimit` with r=0 gives t + 1 s, else Retry-After in seconds.
std::optional<std::chrono::seconds> asked_wait(const HttpResponse& response);

}  // namespace bigmodel
