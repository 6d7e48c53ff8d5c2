// SPDX-License-Identifier: Apache-2.0
// Progress on standard error: nothing in the first half second, an animated line on a terminal, a plain line every
// 30 s elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "bigmodel/core/progress.h"
#include "render/notes.h"

namespace bigmodel::app {

class Progress {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  /// `notes` must outlive it. Thread-safe. Tests pass their own clock.
  explicit Progress(Notes& notes, Clock clock = [] { return std::chrono::steady_clock::now(); });
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// For WorkContext; empty under --quiet.
  ProgressCallback callback();
  /// Removes the animated line, so that other text can follow.
  void clear();

 private:
  void report(std::string_view what, std::uint64_t done, std::uint64_t total);

  Notes& notes_;
  Clock clock_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point step_start_;
  std::chrono::steady_clock::time_point last_;
  std::string step_;
  bool drawn_ = false;
  bool idle_ = true;   ///< nothing was reported yet
};

/// "copying 42 % of 4.90 GB, 310 MB/s, 9 s left": what one line says. Total 0: unknown.
std::string progress_text(std::string_view what, std::uint64_t done, std::uint64_t total, double elapsed_s);

}  // namespace bigmodel::app
