// SPDX-License-Identifier: Apache-2.0
// Lines: "plan DIGEST", "done SIZE SHA256|- NAME", "commit", "first NAME", "move NAME", "last NAME", "end". A line without its
// newline was cut by a crash and does not count; a commit without "end" was not begun.
#include "bigmodel/checkpoint/commit_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <charconv>
#include <sstream>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kJournalLimit = std::uint64_t{64} << 20;

JournalContent parse(const std::string& text, const std::string& object) {
  JournalContent out;
  std::optional<CommitSteps> steps;
  std::size_t at = 0;
  while (true) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) return out;
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    const std::size_t cut = line.find(' ');
    const std::string_view word = line.substr(0, cut);
    const std::string_view rest = cut == std::string_view::npos ? std::string_view() : line.substr(cut + 1);
    // A name in a journal is ours, but the journal lies where others may write.
    const auto name = [&](std::string_view text_name) {
      if (!shard_name_fault(text_name).empty() || text_name.find('/') != std::string_view::npos) {
        throw FormatError(fmt::format("{}: \"{}\" is no file name of a shard job", object, text_name.substr(0, 80)), "remove the journal");
      }
      return std::string(text_name);
    };
    if (word == "plan") {
      out.plan = std::string(rest);
    } else if (word == "done") {
      const std::size_t first = rest.find(' ');
      const std::size_t second = first == std::string_view::npos ? first : rest.find(' ', first + 1);
      if (second == std::string_view::npos) continue;
      FinishedShard shard;
      std::from_chars(rest.data(), rest.data() + first, shard.size_bytes);
      const std::string_view digest = rest.substr(first + 1, second - first - 1);
      if (digest != "-") shard.sha256 = std::string(digest);
      out.finished[name(rest.substr(second + 1))] = shard;
    } else if (word == "commit") {
      steps.emplace();
    } else if (steps && word == "first") {
      steps->remove_first.push_back(name(rest));
    } else if (steps && word == "move") {
      steps->move.push_back(name(rest));
    } else if (steps && word == "last") {
      steps->remove_last.push_back(name(rest));
    } else if (steps && word == "end") {
      out.commit = std::move(steps);
      steps.reset();
    }
  }
}

void unlink_if_there(const fs::path& path, const Disk& disk) {
  if (disk.unlink(path) != 0 && errno != ENOENT) throw_errno(path.string(), "remove", errno);
}

}  // namespace

CommitJournal::CommitJournal(fs::path path, const Disk& disk) : path_(std::move(path)), disk_(disk) {
  fd_ = open_on(disk, path_, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw UsageError(fmt::format("{}: another run is writing here", path_.string()), "wait for it to end");
  }
  const std::string text = read_descriptor(fd_.get(), path_.string(), kJournalLimit);
  content_ = parse(text, path_.string());
  // What follows the last whole line is overwritten.
  const std::size_t last = text.rfind('\n');
  size_ = last == std::string::npos ? 0 : last + 1;
}

void CommitJournal::append(const std::string& line, bool keep) {
  write_exactly(disk_, fd_.get(), std::as_bytes(std::span(line)), size_, path_);
  size_ += line.size();
  if (keep && disk_.fsync(fd_.get()) != 0) throw_errno(path_.string(), "write to the medium", errno);
}

void CommitJournal::start(const std::string& plan) {
  while (disk_.ftruncate(fd_.get(), 0) != 0) {
    if (errno != EINTR) throw_errno(path_.string(), "clear", errno);
  }
  size_ = 0;
  content_ = {.plan = plan};
  append(fmt::format("plan {}\n", plan), false);
}

void CommitJournal::finish_shard(const std::string& name, const FinishedShard& shard, bool keep) {
  content_.finished[name] = shard;
  append(fmt::format("done {} {} {}\n", shard.size_bytes, shard.sha256.empty() ? "-" : shard.sha256, name), keep);
}

void CommitJournal::begin_commit(const CommitSteps& steps) {
  std::string text = "commit\n";
  for (const std::string& name : steps.remove_first) text += fmt::format("first {}\n", name);
  for (const std::string& name : steps.move) text += fmt::format("move {}\n", name);
  for (const std::string& name : steps.remove_last) text += fmt::format("last {}\n", name);
  append(text + "end\n", true);
  content_.commit = steps;
}

void CommitJournal::remove() { unlink_if_there(path_, disk_); }

void run_commit(const CommitSteps& steps, const fs::path& staging, const fs::path& folder, const Disk& disk) {
  // Where a step is repeated, what was moved already bears the name now: only what still waits is put in the place of something.
  for (const std::string& name : steps.remove_first) {
    std::error_code error;
    if (fs::exists(staging / name, error)) unlink_if_there(folder / name, disk);
  }
  if (!steps.remove_first.empty()) sync_folder(folder);
  for (std::size_t i = 0; i < steps.move.size(); ++i) {
    // Shards must be there for good before the index (the last move) names them.
    if (i + 1 == steps.move.size()) sync_folder(folder);
    const fs::path from = staging / steps.move[i];
    if (disk.rename(from, folder / steps.move[i]) != 0) {
      if (errno == ENOENT && fs::exists(folder / steps.move[i])) continue;
      throw_errno(from.string(), "rename into place", errno);
    }
  }
  sync_folder(folder);
  for (const std::string& name : steps.remove_last) unlink_if_there(folder / name, disk);
  sync_folder(folder);
  std::error_code ignored;
  fs::remove_all(staging, ignored);
}

StagingPlaces places_beside(const fs::path& output) {
  const std::string name = output.filename().string();
  return {.staging = output.parent_path() / fmt::format(".{}.bigmodel-part", name), .journal = output.parent_path() / fmt::format(".{}.bigmodel-journal", name)};
}

StagingPlaces places_inside(const fs::path& folder) { return {.staging = folder / ".bigmodel-part", .journal = folder / ".bigmodel-journal"}; }

}  // namespace bigmodel
