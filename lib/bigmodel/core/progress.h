// SPDX-License-Identifier: Apache-2.0
// How long calls report their progress: the caller passes an observer, the library never prints.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

#include "bigmodel/core/error.h"

namespace bigmodel {

/// Called from the thread that does the work, at most some ten times a second; must not throw.
/// `total` is 0 while it is unknown. `what` names the step ("copying", "hashing").
using ProgressCallback = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)>;

/// What every long call takes: an observer (may be empty) and a way to stop it.
struct WorkContext {
  ProgressCallback progress;
  std::stop_token stop;

  void report(std::string_view what, std::uint64_t done, std::uint64_t total) const {
    if (progress) progress(what, done, total);
  }
  /// Throws CancelledError once the caller has asked to stop.
  void throw_if_stopped() const {
    if (stop.stop_requested()) throw CancelledError("stopped");
  }
};

}  // namespace bigmodel
