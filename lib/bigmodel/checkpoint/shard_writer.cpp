// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/shard_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/checkpoint/commit_journal.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/checkpoint/side_files.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/io/sha256.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// Everything that decides the bytes of the output, and that the source is still the same.
std::string plan_digest(const Checkpoint& checkpoint, const ShardJob& job, const WriteOptions& options) {
  Sha256 hash;
  const auto put = [&](const std::string& text) { hash.update(std::as_bytes(std::span(text))); };
  for (const CheckpointFile& file : options.made_of != nullptr ? *options.made_of : checkpoint.files) {
    put(fmt::format("{}\n{} {} {} {}\n", file.path.string(), file.identity.device, file.identity.inode, file.identity.size_bytes, file.identity.modified_ns));
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (tensor.made) put(fmt::format("{} {} {} {} {}\n", tensor.name, static_cast<int>(tensor.made->kind), tensor.made->deviation, tensor.made->period, tensor.made->seed));
  }
  for (const OutputFile& file : job.files) {
    put(fmt::format("{} {}\n", file.name, file.size_bytes));
    for (const OutputPiece& piece : file.pieces) {
      put(fmt::format("{} {} {} {} {} {} {}\n", static_cast<int>(piece.kind), piece.offset, piece.size_bytes, piece.file, piece.from, piece.tensor, static_cast<int>(piece.dtype)));
      put(piece.text);
    }
  }
  put(job.index_text);
  put(options.made_how);
  return hash.finish_hex();
}

void require_space(const fs::path& folder, std::uint64_t wanted_bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return;
  const std::uint64_t free_bytes = std::uint64_t{info.f_bavail} * info.f_frsize;
  if (free_bytes < wanted_bytes) {
    throw IoError(fmt::format("{}: {} free, expected {}", folder.string(), format_decimal(free_bytes), format_decimal(wanted_bytes)), "free some space or choose another --output");
  }
}

/// False where the file system is known to copy: then the space can be asked for before anything is written.
bool may_share_extents(const fs::path& folder) {
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return true;
  constexpr std::array<std::uint64_t, 4> kCopying{0xef53 /* ext2-4 */, 0x01021994 /* tmpfs */, 0x858458f6 /* ramfs */, 0x4d44 /* FAT */};
  return std::ranges::find(kCopying, static_cast<std::uint64_t>(info.f_type)) == kCopying.end();
}

bool same_folder(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return fs::equivalent(a, b, ignored);
}

bool lies_inside(const fs::path& inner, const fs::path& outer) {
  std::error_code ignored;
  if (!fs::is_directory(outer, ignored)) return false;
  const fs::path outside = fs::weakly_canonical(outer, ignored);
  const fs::path inside = fs::weakly_canonical(inner, ignored);
  return std::mismatch(outside.begin(), outside.end(), inside.begin(), inside.end()).first == outside.end();
}

/// A new folder, or an old one whose weights are replaced.
struct Target {
  fs::path folder;
  StagingPlaces places;
  bool fresh = true;  ///< the staging folder itself becomes the output
};

Target resolve_target(const Checkpoint& checkpoint, const WriteOptions& options) {
  if (options.in_place) return {.folder = checkpoint.folder, .places = places_inside(checkpoint.folder), .fresh = false};
  fs::path output = options.output.lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  if (output.empty()) throw UsageError("output: is empty, expected a folder");
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(output, ignored);
  if (same_folder(output, checkpoint.folder)) throw UsageError(fmt::format("{}: is the checkpoint's own folder", output.string()), "use --in-place, or another --output");
  if (!options.inside_source && lies_inside(output, checkpoint.path)) {
    throw UsageError(fmt::format("{}: lies inside the checkpoint's folder {}", output.string(), checkpoint.path.string()), "choose a folder beside it");
  }
  if (fs::is_symlink(status)) throw UsageError(fmt::format("{}: is a symbolic link, expected a folder or nothing", output.string()), "name the folder that it points to");
  if (!fs::exists(status)) return {.folder = output, .places = places_beside(output)};
  if (!fs::is_directory(status)) throw UsageError(fmt::format("{}: is a file, expected a folder or nothing", output.string()));
  if (fs::is_empty(output, ignored)) return {.folder = output, .places = places_beside(output)};
  // A journal beside it: a run may have ended just before it removed that; run() looks whether it is the same job.
  const bool just_written = fs::exists(places_beside(output).journal, ignored);
  if (!options.force && !options.resume && !just_written) throw UsageError(fmt::format("{}: exists and is not empty", output.string()), "use --force to replace the weights in it, or another --output");
  if (!options.force) return {.folder = output, .places = places_beside(output)};
  return {.folder = output, .places = places_inside(output), .fresh = false};
}

void require_parent(const Target& target) {
  const fs::path parent = target.places.journal.parent_path().empty() ? fs::path(".") : target.places.journal.parent_path();
  if (std::error_code error; !fs::is_directory(parent, error)) throw NotFoundError(fmt::format("{}: no such folder", parent.string()), "make it first");
}

/// Files that the new checkpoint supersedes: weights of the same stem and variant, single or numbered, and their index.
std::set<std::string> superseded(const Checkpoint& checkpoint, const ShardJob& job, const Target& target, bool in_place) {
  std::set<std::string> old;
  if (in_place) {
    for (const CheckpointFile& file : checkpoint.files) {
      if (file.name.find('/') == std::string::npos) old.insert(file.name);
    }
    if (checkpoint.index) old.insert(checkpoint.index->name);
  }
  const ShardNames& names = job.names;
  const std::set<std::string> usual{names.one(), names.index(), names.transformers_index()};
  std::error_code error;
  for (fs::directory_iterator it(target.folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    NumberedShard shard;
    if (usual.contains(name) || (parse_numbered_shard(name, shard) && shard.stem == names.varied_stem() && shard.suffix == names.suffix)) old.insert(name);
  }
  for (const OutputFile& file : job.files) old.erase(file.name);
  old.erase(job.index_name);
  return old;
}

void check_written(const fs::path& path, const OutputFile& file, const Disk& disk) {
  const TensorList list = read_tensor_list(disk, path, {});
  if (list.file.identity.size_bytes != file.size_bytes || list.tensors.size() != file.tensors.size()) {
    throw IoError(fmt::format("{}: holds {} bytes and {} tensors after writing, expected {} and {}", path.string(), list.file.identity.size_bytes, list.tensors.size(),
                              file.size_bytes, file.tensors.size()));
  }
}

void check_sources(const Checkpoint& checkpoint, const Disk& disk) {
  for (const CheckpointFile& file : checkpoint.files) {
    if (file.container == Container::made) continue;
    const UniqueFd fd = open_on(disk, file.path, O_RDONLY | O_NONBLOCK);
    if (file_identity(fd.get(), file.path) != file.identity) {
      throw IoError(fmt::format("{}: changed while it was being read", file.path.string()), "nothing was put in place; run again once the file rests");
    }
  }
}

class ShardRun {
 public:
  ShardRun(const Checkpoint& checkpoint, const ShardJob& job, const WriteOptions& options, const WorkContext& work)
      : checkpoint_(checkpoint), job_(job), options_(options), work_(work), disk_(options.disk != nullptr ? *options.disk : real_), target_(resolve_target(checkpoint, options)) {}

  ShardReport run() {
    const auto begin = std::chrono::steady_clock::now();
    report_.output = target_.folder;
    report_.total_size = job_.plan.total_size;
    report_.index = job_.index_name;
    report_.warnings = job_.warnings;
    require_parent(target_);
    CommitJournal journal(target_.places.journal, disk_);
    const std::string plan = plan_digest(checkpoint_, job_, options_);
    std::error_code ignored;
    const bool staged = fs::is_directory(target_.places.staging, ignored);
    if (journal.content().plan == plan && target_.fresh && !staged && finished_output_is_there(journal)) {
      journal.remove();
      report_.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
      return std::move(report_);
    }
    if (target_.fresh && !fs::is_empty(target_.folder, ignored) && fs::exists(target_.folder, ignored)) {
      if (journal.content().plan.empty()) journal.remove();
      throw UsageError(fmt::format("{}: exists and is not empty", target_.folder.string()),
                       options_.resume ? "no interrupted run of this job is left to resume, it may be complete; use --force to write it again"
                                       : "use --force to replace the weights in it, or another --output");
    }
    const bool goes_on = options_.resume && staged && journal.content().plan == plan;
    try {
      if (!goes_on) {
        fs::remove_all(target_.places.staging, ignored);
        journal.start(plan);
        std::error_code error;
        if (!fs::create_directory(target_.places.staging, error)) throw_errno(target_.places.staging.string(), "create", error ? error.value() : EEXIST);
      }
      write_all(journal);
      check_sources(checkpoint_, disk_);
      put_in_place(journal);
    } catch (...) {
      tidy_after_failure(journal);
      throw;
    }
    report_.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    return std::move(report_);
  }

 private:
  /// A run that was killed between its last rename and the removal of its journal.
  bool finished_output_is_there(const CommitJournal& journal) {
    for (const OutputFile& file : job_.files) {
      std::error_code error;
      const auto done = journal.content().finished.find(file.name);
      if (done == journal.content().finished.end() || fs::file_size(target_.folder / file.name, error) != file.size_bytes || error) return false;
      add_file(file, done->second.sha256);
      report_.resumed_bytes += file.size_bytes;
    }
    return true;
  }

  /// Finished shards stay for --resume; half a shard does not, and without finished ones nothing does.
  void tidy_after_failure(CommitJournal& journal) noexcept {
    if (journal.content().commit) return;
    std::error_code ignored;
    for (const OutputFile& file : job_.files) {
      if (!journal.content().finished.contains(file.name)) fs::remove(target_.places.staging / file.name, ignored);
    }
    if (!journal.content().finished.empty()) return;
    fs::remove_all(target_.places.staging, ignored);
    try {
      journal.remove();
    } catch (const Error&) {
      return;  // the failure that led here is the one to report
    }
  }

  void add_file(const OutputFile& file, const std::string& sha256) {
    report_.files.push_back({.name = file.name, .size_bytes = file.size_bytes, .tensors = file.tensors.size(), .sha256 = sha256});
  }

  /// Finished by an earlier run, and still there.
  bool is_finished(const CommitJournal& journal, const OutputFile& file) const {
    std::error_code error;
    return journal.content().finished.contains(file.name) && fs::file_size(target_.places.staging / file.name, error) == file.size_bytes && !error;
  }

  void write_all(CommitJournal& journal) {
    // Progress counts what is left to do, so that its rate is the disk's.
    std::uint64_t total = 0;
    for (const OutputFile& file : job_.files) total += is_finished(journal, file) ? 0 : file.size_bytes;
    std::uint64_t done = 0;
    bool space_checked = !options_.copy.reflink || !may_share_extents(target_.places.staging);
    if (space_checked) require_space(target_.places.staging, total);
    for (const OutputFile& file : job_.files) {
      if (is_finished(journal, file)) {
        add_file(file, journal.content().finished.at(file.name).sha256);
        report_.resumed_bytes += file.size_bytes;
        continue;
      }
      const fs::path path = target_.places.staging / file.name;
      std::error_code ignored;
      fs::remove(path, ignored);
      // Shared extents take no space: ask only where the first file had to be copied.
      if (!space_checked && report_.reflink_bytes == 0 && report_.copied_bytes > 0) {
        require_space(target_.places.staging, total - done);
        space_checked = true;
      }
      const WrittenFile written = write_output(checkpoint_, file, path, options_.copy, disk_, work_, done, total);
      check_written(path, file, disk_);
      if ((options_.read_back || options_.in_place) && !written.sha256.empty() && sha256_of_file(path, disk_, work_) != written.sha256) {
        throw IoError(fmt::format("{}: the medium holds other bytes than were written", path.string()), "the disk or its cable may be failing");
      }
      // A file of shared extents takes less time to make again than its line to sync.
      journal.finish_shard(file.name, {.size_bytes = file.size_bytes, .sha256 = written.sha256}, written.reflink_bytes == 0);
      add_file(file, written.sha256);
      report_.reflink_bytes += written.reflink_bytes;
      report_.copied_bytes += written.copied_bytes;
      done += file.size_bytes;
    }
  }

  void write_small(const fs::path& path, std::string_view text) {
    std::error_code ignored;
    fs::remove(path, ignored);
    UniqueFd fd = open_on(disk_, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    write_exactly(disk_, fd.get(), std::as_bytes(std::span(text)), 0, path);
    if (disk_.fsync(fd.get()) != 0) throw_errno(path.string(), "write to the medium", errno);
    fd.close(path);
  }

  /// In chunks: a tokenizer may have a hundred megabytes.
  void copy_small(const fs::path& from, const fs::path& to) {
    std::error_code ignored;
    fs::remove(to, ignored);
    const UniqueFd source = open_on(disk_, from, O_RDONLY | O_NONBLOCK);
    struct stat info {};
    if (::fstat(source.get(), &info) != 0) throw_errno(from.string(), "read", errno);
    UniqueFd target = open_on(disk_, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    std::vector<std::byte> buffer(std::size_t{1} << 20);
    for (std::uint64_t at = 0, size = static_cast<std::uint64_t>(info.st_size); at < size;) {
      const std::span<std::byte> part(buffer.data(), static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - at)));
      read_exactly(disk_, source.get(), part, at, from);
      write_exactly(disk_, target.get(), part, at, to);
      at += part.size();
    }
    if (disk_.fsync(target.get()) != 0) throw_errno(to.string(), "write to the medium", errno);
    target.close(to);
  }

  void put_in_place(CommitJournal& journal) {
    const fs::path& staging = target_.places.staging;
    std::vector<std::string> side;
    if (!options_.in_place) {
      for (const fs::path& from : job_.side_files) {
        const std::string name = from.filename().string();
        copy_small(from, staging / name);
        side.push_back(name);
      }
    }
    for (const auto& [name, text] : job_.side_texts) {
      write_small(staging / name, text);
      side.push_back(name);
    }
    report_.side_files = side;
    if (!job_.index_name.empty()) write_small(staging / job_.index_name, job_.index_text);
    sync_folder(staging);
    work_.throw_if_stopped();
    if (target_.fresh) {
      if (disk_.rename(staging, target_.folder) != 0) throw_errno(target_.folder.string(), "rename into place", errno);
      const fs::path parent = target_.folder.parent_path().empty() ? fs::path(".") : target_.folder.parent_path();
      sync_folder(parent);
      journal.remove();
      return;
    }
    CommitSteps steps;
    const std::set<std::string> old = superseded(checkpoint_, job_, target_, options_.in_place);
    for (const OutputFile& file : job_.files) {
      std::error_code ignored;
      NumberedShard numbered;
      if (parse_numbered_shard(file.name, numbered) && fs::exists(target_.folder / file.name, ignored)) steps.remove_first.push_back(file.name);
      steps.move.push_back(file.name);
    }
    steps.move.insert(steps.move.end(), side.begin(), side.end());
    if (!job_.index_name.empty()) {
      // Half old, half new shards must look like no checkpoint: without an index, and with numbers missing to the last move.
      if (!steps.remove_first.empty()) steps.remove_first.insert(steps.remove_first.begin(), job_.index_name);
      steps.move.push_back(job_.index_name);
    }
    steps.remove_last.assign(old.begin(), old.end());
    // An old index goes before the shards that it names.
    std::stable_partition(steps.remove_last.begin(), steps.remove_last.end(), [](const std::string& name) { return name.ends_with(".json"); });
    journal.begin_commit(steps);
    run_commit(steps, staging, target_.folder, disk_);
    report_.removed = steps.remove_last;
    journal.remove();
  }

  const Checkpoint& checkpoint_;
  const ShardJob& job_;
  const WriteOptions& options_;
  const WorkContext& work_;
  const Disk real_;
  const Disk& disk_;
  Target target_;
  ShardReport report_;
};

}  // namespace

ShardReport write_shards(const Checkpoint& checkpoint, const ShardJob& job, const WriteOptions& options, const WorkContext& work) {
  return ShardRun(checkpoint, job, options, work).run();
}

void check_output(const Checkpoint& checkpoint, const WriteOptions& options) { require_parent(resolve_target(checkpoint, options)); }

bool finish_interrupted_commit(const fs::path& folder, const Disk* disk) {
  const StagingPlaces places = places_inside(folder);
  std::error_code ignored;
  if (!fs::exists(places.journal, ignored)) return false;
  const Disk real;
  const Disk& calls = disk != nullptr ? *disk : real;
  CommitJournal journal(places.journal, calls);
  if (!journal.content().commit) return false;
  run_commit(*journal.content().commit, places.staging, folder, calls);
  journal.remove();
  return true;
}

}  // namespace bigmodel
