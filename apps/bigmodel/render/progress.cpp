// SPDX-License-Identifier: Apache-2.0
#include "render/progress.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "bigmodel/core/byte_size.h"
#include "render/bars.h"

namespace bigmodel::app {
namespace {

using namespace std::chrono_literals;
constexpr auto kSilentFor = 500ms;
constexpr auto kFrameEvery = 100ms;
constexpr auto kPlainLineEvery = 30s;
constexpr int kBarCells = 24;

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::min(seconds, 356400.0));
  if (whole >= 99 * 3600) return "99+ h";
  if (whole >= 3600) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

}  // namespace

std::string progress_text(std::string_view what, std::uint64_t done, std::uint64_t total, double elapsed_s) {
  const double rate = elapsed_s > 0 ? static_cast<double>(done) / elapsed_s : 0;
  std::string out = total == 0 ? fmt::format("{} {}", what, format_decimal(done))
                               : fmt::format("{} {:.0f} % of {}", what,
                                             100.0 * static_cast<double>(done) / static_cast<double>(total),
                                             format_decimal(total));
  if (rate >= 1) out += fmt::format(", {}/s", format_decimal(static_cast<std::uint64_t>(rate)));
  if (rate >= 1 && total > done) {
    out += fmt::format(", {} left", duration_text(std::ceil(static_cast<double>(total - done) / rate)));
  }
  return out;
}

Progress::Progress(Notes& notes, Clock clock)
    : notes_(notes), clock_(std::move(clock)), start_(clock_()), step_start_(start_), last_(start_) {}

Progress::~Progress() { clear(); }

ProgressCallback Progress::callback() {
  if (notes_.quiet()) return {};
  return [this](std::string_view what, std::uint64_t done, std::uint64_t total) { report(what, done, total); };
}

void Progress::report(std::string_view what, std::uint64_t done, std::uint64_t total) {
  const std::scoped_lock lock(mutex_);
  const auto now = clock_();
  // What was waited for before, such as what a person types, is no work.
  if (std::exchange(idle_, false)) start_ = now;
  if (step_ != what) {
    step_ = what;
    step_start_ = now;
  }
  if (now - start_ < kSilentFor) return;
  const double elapsed_s = std::chrono::duration<double>(now - step_start_).count();
  if (!notes_.terminal().is_tty) {
    if (now - last_ < kPlainLineEvery) return;
    last_ = now;
    notes_.raw(progress_text(what, done, total, elapsed_s) + "\n");
    return;
  }
  if (drawn_ && now - last_ < kFrameEvery) return;
  last_ = now;
  std::string line = progress_text(what, done, total, elapsed_s);
  if (total != 0 && notes_.terminal().width_columns > display_width(line) + kBarCells + 2) {
    line = bar(static_cast<double>(done) / static_cast<double>(total), kBarCells, notes_.terminal()) + " " + line;
  }
  // One write a frame: the cursor is hidden while the line is replaced, and no frame is seen half drawn.
  notes_.raw(fmt::format("\x1b[?2026h\x1b[?25l\r\x1b[2K{}\x1b[?2026l", line));
  drawn_ = true;
}

void Progress::clear() {
  const std::scoped_lock lock(mutex_);
  if (drawn_) notes_.raw("\r\x1b[2K\x1b[?25h");
  drawn_ = false;
}

}  // namespace bigmodel::app
