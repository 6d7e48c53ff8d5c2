// SPDX-License-Identifier: Apache-2.0
// What a write does when the disk does not: every system call of a run fails once, reads and writes come short or interrupted,
// the source changes under the copy. The source stays, nothing half done is seen, and a later run ends as an undisturbed one.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/direct_reader.h"
#include "bigmodel/io/sha256.h"
#include "checkpoint/safetensors_file.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/temp_folder.h"
#include "support/unsynced_disk.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// Counts the calls that can fail and fails one of them. A clone_range is never tried: these tests are about copying.
class FailingDisk : public test::UnsyncedDisk {
 public:
  FailingDisk(int failing_call, int error_number) : failing_call_(failing_call), error_number_(error_number) {}

  int open(const fs::path& path, int flags, unsigned mode) const override { return fails("open", path.filename().string()) ? -1 : Disk::open(path, flags, mode); }
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override { return fails("pread") ? -1 : Disk::pread(fd, data, size, offset); }
  ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) const override { return fails("pwrite") ? -1 : Disk::pwrite(fd, data, size, offset); }
  int ftruncate(int fd, off_t size) const override { return fails("ftruncate") ? -1 : Disk::ftruncate(fd, size); }
  int fallocate(int fd, off_t size) const override { return fails("fallocate") ? -1 : Disk::fallocate(fd, size); }
  int fsync(int fd) const override { return fails("fsync") ? -1 : test::UnsyncedDisk::fsync(fd); }
  int rename(const fs::path& from, const fs::path& to) const override { return fails("rename", to.filename().string()) ? -1 : Disk::rename(from, to); }
  int unlink(const fs::path& path) const override { return fails("unlink", path.filename().string()) ? -1 : Disk::unlink(path); }
  int clone_range(int, off_t, int, off_t, std::size_t) const override {
    errno = EOPNOTSUPP;
    return -1;
  }

  bool hit() const { return calls_ > failing_call_; }
  const std::string& what() const { return what_; }

 private:
  bool fails(std::string_view call, const std::string& of = {}) const {
    if (calls_++ != failing_call_) return false;
    what_ = std::string(call) + " " + of;
    errno = error_number_;
    return true;
  }

  const int failing_call_;
  const int error_number_;
  mutable std::atomic<int> calls_{0};
  mutable std::string what_;
};

/// Nothing is done in one go: whole blocks where direct I/O asks for them, odd lengths elsewhere, and signals in between.
class SlowDisk : public test::UnsyncedDisk {
 public:
  explicit SlowDisk(bool direct) : direct_(direct) {}

  int open(const fs::path& path, int flags, unsigned mode) const override {
    if (interrupted()) return -1;
    if (!direct_ && (flags & O_DIRECT) != 0) {
      errno = EINVAL;
      return -1;
    }
    return Disk::open(path, flags, mode);
  }
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override { return interrupted() ? -1 : Disk::pread(fd, data, part(size), offset); }
  ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) const override { return interrupted() ? -1 : Disk::pwrite(fd, data, part(size), offset); }
  int ftruncate(int fd, off_t size) const override { return interrupted() ? -1 : Disk::ftruncate(fd, size); }
  int fallocate(int fd, off_t size) const override { return interrupted() ? -1 : Disk::fallocate(fd, size); }

 private:
  std::size_t part(std::size_t size) const { return std::min<std::size_t>(size, direct_ ? 4096 : 997); }
  bool interrupted() const {
    if (calls_++ % 3 != 1) return false;
    errno = EINTR;
    return true;
  }

  const bool direct_;
  mutable std::atomic<int> calls_{0};
};

/// Does something to a file before the n-th read.
class MeddlingDisk : public test::UnsyncedDisk {
 public:
  MeddlingDisk(int call, std::function<void()> meddle) : call_(call), meddle_(std::move(meddle)) {}
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    if (calls_++ == call_) meddle_();
    return Disk::pread(fd, data, size, offset);
  }

 private:
  const int call_;
  const std::function<void()> meddle_;
  mutable std::atomic<int> calls_{0};
};

/// Shares extents as btrfs does, as far as one can see; the n-th time it fails.
class SharingDisk : public test::UnsyncedDisk {
 public:
  explicit SharingDisk(int failing_call = -1, int error_number = 0) : failing_call_(failing_call), error_number_(error_number) {}

  int clone_range(int from_fd, off_t from, int to_fd, off_t to, std::size_t size) const override {
    if (calls_++ == failing_call_) {
      errno = error_number_;
      return -1;
    }
    CHECK(from % 4096 == 0);
    CHECK(to % 4096 == 0);
    CHECK(size % 4096 == 0);
    const AlignedBuffer buffer(size);  // the target is open for direct I/O
    const auto whole = static_cast<ssize_t>(size);
    return ::pread(from_fd, buffer.bytes().data(), size, from) == whole && ::pwrite(to_fd, buffer.bytes().data(), size, to) == whole ? 0 : -1;
  }
  int calls() const { return calls_; }

 private:
  const int failing_call_;
  const int error_number_;
  mutable std::atomic<int> calls_{0};
};

/// Four tensors, each of 6,000 bytes unless told; with a limit of 12,000 two shards and an index.
void write_model(const test::TempFolder& folder, int elements = 1500) {
  std::string header = "{";
  std::string data;
  const int size = elements * 4;
  for (int i = 0; i < 4; ++i) {
    header += (i > 0 ? ",\"t" : "\"t") + std::to_string(i) + R"(":{"dtype":"F32","shape":[)" + std::to_string(elements) + R"(],"data_offsets":[)" + std::to_string(i * size) + "," + std::to_string(i * size + size) + "]}";
    for (int k = 0; k < size; ++k) data += static_cast<char>(i * 61 + k * 7 + k / 256);
  }
  folder.write("m/model.safetensors", test::safetensors_file(header + "}", data));
  folder.write("m/config.json", "{}");
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with('.')) out[entry.path().filename().string()] = test::read_maybe_xz(entry.path());
  }
  return out;
}

std::string content(const fs::path& path) {
  const Disk disk;
  const Checkpoint checkpoint = open_checkpoint(path);
  TensorReader reader(checkpoint, disk);
  std::map<std::string, std::string> lines;
  for (const CheckpointTensor& t : checkpoint.tensors) lines[t.name] = sha256_hex(reader.read_all(t));
  std::string out;
  for (const auto& [name, digest] : lines) out += name + digest;
  return sha256_hex(std::as_bytes(std::span(out)));
}

ShardReport reshard(const fs::path& input, WriteOptions write, const ShardOptions& options = {.max_shard_size_bytes = 12000}) {
  write.copy.threads = 1;  // so that calls come in one order
  const test::UnsyncedDisk unsynced;
  if (write.disk == nullptr) write.disk = &unsynced;
  const Checkpoint checkpoint = open_checkpoint(input);
  return write_shards(checkpoint, plan_shard_job(checkpoint, options), write, {});
}

}  // namespace

TEST_SUITE("checkpoint/faults") {
  TEST_CASE("whichever call fails, nothing half done is left and a later run ends as an undisturbed one") {
    for (const OutputFormat format : {OutputFormat::safetensors, OutputFormat::bin}) {
      const ShardOptions options{.max_shard_size_bytes = 12000, .format = format};
      const test::TempFolder folder;
      write_model(folder);
      const auto source = files_of(folder / "m");
      reshard(folder / "m", {.output = folder / "want"}, options);
      const auto want = files_of(folder / "want");
      CHECK(want.size() == 4);
      int failures = 0;
      for (const int error : {ENOSPC, EIO, EROFS}) {
        fs::remove_all(folder / "out");
        for (int call = 0;; ++call) {
          const FailingDisk disk(call, error);
          bool failed = false;
          try {
            reshard(folder / "m", {.output = folder / "out", .disk = &disk}, options);
          } catch (const Error& e) {
            failed = true;
            CHECK_MESSAGE(e.kind() == ErrorKind::io, std::string(e.what()) << " after " << disk.what());
          }
          if (!disk.hit()) break;
          CAPTURE(call);
          CAPTURE(disk.what());
          CHECK(files_of(folder / "m") == source);
          // All or nothing; what comes after the rename may fail with everything in place.
          if (fs::exists(folder / "out")) CHECK(files_of(folder / "out") == want);
          if (!failed) CHECK(fs::exists(folder / "out"));
          failures += failed ? 1 : 0;
          if (failed) reshard(folder / "m", {.output = folder / "out", .resume = true}, options);
          CHECK(files_of(folder / "out") == want);
          CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}) == 3);
          fs::remove_all(folder / "out");
        }
      }
      CHECK(failures > 90);
    }
  }

  TEST_CASE("in place, whichever call fails, a reader sees a whole checkpoint or none, and a later run completes it") {
    // From one file, and from files whose names are taken over.
    for (const std::uint64_t first : {std::uint64_t{24000}, std::uint64_t{18000}}) {
      const test::TempFolder folder;
      write_model(folder);
      const std::string before = content(folder / "m");
      reshard(folder / "m", {.in_place = true}, {.max_shard_size_bytes = first});
      const auto start = files_of(folder / "m");
      int failures = 0, without_index = 0;
      for (int call = 0;; ++call) {
        fs::remove_all(folder / "m");
        for (const auto& [name, bytes] : start) folder.write("m/" + name, bytes);
        const FailingDisk disk(call, ENOSPC);
        bool failed = false;
        try {
          reshard(folder / "m", {.in_place = true, .disk = &disk}, {.max_shard_size_bytes = 12000});
        } catch (const Error& e) {
          failed = true;
          CHECK_MESSAGE(e.kind() == ErrorKind::io, std::string(e.what()) << " after " << disk.what());
        }
        if (!disk.hit()) break;
        CAPTURE(call);
        CAPTURE(disk.what());
        failures += failed ? 1 : 0;
        try {
          const std::string now = content(folder / "m");
          CHECK(now == before);
        } catch (const Error&) {
          ++without_index;
          CHECK_FALSE(fs::exists(folder / "m/model.safetensors.index.json"));
        }
        finish_interrupted_commit(folder / "m");
        CHECK(content(folder / "m") == before);
        reshard(folder / "m", {.in_place = true, .resume = true});
        CHECK(content(folder / "m") == before);
        CHECK(files_of(folder / "m").size() == 4);
        CHECK(std::distance(fs::directory_iterator(folder / "m"), fs::directory_iterator{}) == 4);
      }
      CHECK(failures > 20);
      CHECK((without_index > 0) == (first == 18000));
    }
  }

  TEST_CASE("short reads and writes and signals change nothing") {
    const test::TempFolder folder;
    write_model(folder);
    for (const OutputFormat format : {OutputFormat::safetensors, OutputFormat::bin}) {
      const ShardOptions options{.max_shard_size_bytes = 12000, .format = format};
      reshard(folder / "m", {.output = folder / "want"}, options);
      for (const bool direct : {true, false}) {
        const SlowDisk disk(direct);
        reshard(folder / "m", {.output = folder / "out", .read_back = true, .disk = &disk}, options);
        CHECK(files_of(folder / "out") == files_of(folder / "want"));
        fs::remove_all(folder / "out");
      }
      fs::remove_all(folder / "want");
    }
  }

  TEST_CASE("a source that changes or shrinks under the copy is noticed, and nothing is put in place") {
    for (int call = 0; call < 3; ++call) {
      CAPTURE(call);
      const test::TempFolder folder;
      write_model(folder);
      const fs::path file = folder / "m/model.safetensors";
      const Checkpoint checkpoint = open_checkpoint(folder / "m");
      const ShardJob job = plan_shard_job(checkpoint, {.max_shard_size_bytes = 12000});
      const MeddlingDisk touched(call, [&] { fs::last_write_time(file, fs::file_time_type::clock::now() + std::chrono::seconds(call + 1)); });
      CHECK_THROWS_AS(write_shards(checkpoint, job, {.output = folder / "out", .disk = &touched}, {}), IoError);
      CHECK_FALSE(fs::exists(folder / "out"));
      const Checkpoint again = open_checkpoint(folder / "m");
      const MeddlingDisk cut(call, [&] { fs::resize_file(file, 5000); });
      CHECK_THROWS_AS(write_shards(again, job, {.output = folder / "out", .disk = &cut}, {}), Error);
      CHECK_FALSE(fs::exists(folder / "out"));
    }
  }

  TEST_CASE("a source that goes away under the copy is noticed, also where all of it was read") {
    const test::TempFolder folder;
    write_model(folder);
    const Checkpoint checkpoint = open_checkpoint(folder / "m");
    const MeddlingDisk gone(0, [&] { fs::remove(folder / "m/model.safetensors"); });
    CHECK_THROWS_AS(write_shards(checkpoint, plan_shard_job(checkpoint, {.merge = true}), {.output = folder / "out", .disk = &gone}, {}), NotFoundError);
    CHECK_FALSE(fs::exists(folder / "out"));
  }

  TEST_CASE("shared extents make the same files, and one that cannot be shared ends as any other failure") {
    constexpr int kElements = 70'000;
    const ShardOptions options{.max_shard_size_bytes = 2 * 4 * kElements};
    const test::TempFolder folder;
    write_model(folder, kElements);
    reshard(folder / "m", {.output = folder / "aligned"}, {.merge = true});
    fs::remove_all(folder / "m");
    const auto source = files_of(folder / "aligned");
    WriteOptions copying{.output = folder / "want"};
    copying.copy.reflink = false;
    reshard(folder / "aligned", copying, options);
    const auto want = files_of(folder / "want");
    const SharingDisk all;
    const ShardReport report = reshard(folder / "aligned", {.output = folder / "out", .disk = &all}, options);
    CHECK(report.reflink_bytes > report.copied_bytes);
    CHECK(files_of(folder / "out") == want);
    fs::remove_all(folder / "out");
    const int calls = all.calls();
    for (const int error : {ENOSPC, EDQUOT, EIO, EXDEV}) {
      for (int call = 0; call < calls; ++call) {
        CAPTURE(error);
        CAPTURE(call);
        const SharingDisk disk(call, error);
        if (error == EXDEV) {  // not possible here: copied instead
          CHECK_NOTHROW(reshard(folder / "aligned", {.output = folder / "out", .disk = &disk}, options));
        } else {
          CHECK_THROWS_AS(reshard(folder / "aligned", {.output = folder / "out", .disk = &disk}, options), IoError);
          CHECK_FALSE(fs::exists(folder / "out"));
          reshard(folder / "aligned", {.output = folder / "out", .resume = true, .disk = &all}, options);
        }
        CHECK(files_of(folder / "out") == want);
        CHECK(files_of(folder / "aligned") == source);
        fs::remove_all(folder / "out");
      }
    }
  }

  TEST_CASE("links in the way are not followed, and weights that are links are replaced, not written through") {
    const test::TempFolder folder;
    write_model(folder);
    const std::string before = content(folder / "m");
    folder.write("theirs/precious", "keep");
    fs::create_directory_symlink(folder / "theirs", folder / ".out.bigmodel-part");
    reshard(folder / "m", {.output = folder / "out"});
    CHECK(files_of(folder / "theirs").size() == 1);
    CHECK_FALSE(fs::is_symlink(folder / "out"));
    CHECK(content(folder / "out") == before);
    fs::remove_all(folder / "out");
    fs::create_directory_symlink(folder / "theirs", folder / ".out.bigmodel-part");
    reshard(folder / "m", {.output = folder / "out", .resume = true});
    CHECK(files_of(folder / "theirs").size() == 1);
    CHECK(content(folder / "out") == before);
    fs::remove_all(folder / "out");
    fs::create_symlink(folder / "new", folder / ".out.bigmodel-journal");
    CHECK_THROWS_AS(reshard(folder / "m", {.output = folder / "out"}), IoError);
    CHECK_FALSE(fs::exists(folder / "new"));
    CHECK_FALSE(fs::exists(folder / "out"));

    // As the Hub's cache keeps them.
    fs::create_directory(folder / "snapshot");
    fs::create_symlink(folder / "m/model.safetensors", folder / "snapshot/model.safetensors");
    const auto blob = files_of(folder / "m");
    reshard(folder / "snapshot", {.in_place = true});
    CHECK(content(folder / "snapshot") == before);
    CHECK(files_of(folder / "m") == blob);
    CHECK_FALSE(fs::exists(folder / "snapshot/model.safetensors"));
  }

  TEST_CASE("a stopped run keeps its finished files, and another job does not take them for its own") {
    const test::TempFolder folder;
    write_model(folder);
    const Checkpoint checkpoint = open_checkpoint(folder / "m");
    const ShardJob job = plan_shard_job(checkpoint, {.max_shard_size_bytes = 6000});
    std::stop_source stop;
    std::uint64_t most = 0;
    const WorkContext work{.progress = [&](std::string_view, std::uint64_t done, std::uint64_t) {
                             most = std::max(most, done);
                             if (done > 12000) stop.request_stop();
                           },
                           .stop = stop.get_token()};
    CHECK_THROWS_AS(write_shards(checkpoint, job, {.output = folder / "out"}, work), CancelledError);
    CHECK_FALSE(fs::exists(folder / "out"));
    CHECK(fs::exists(folder / ".out.bigmodel-part/model-00002-of-00004.safetensors"));
    CHECK_FALSE(fs::exists(folder / ".out.bigmodel-part/model-00004-of-00004.safetensors"));
    const ShardReport other = reshard(folder / "m", {.output = folder / "out", .resume = true}, {.max_shard_size_bytes = 12000});
    CHECK(other.resumed_bytes == 0);
    CHECK(content(folder / "out") == content(folder / "m"));
  }

  TEST_CASE("a corrupt journal, or one of another program, harms nothing") {
    for (const char* journal : {"", "plan x", "plan x\ndone 5 - ../../etc/passwd\n", "commit\nmove ../x\nend\n", "\xff\xfe\n\n\n", "done 99999999999999999999 - a\ncommit\nend"}) {
      CAPTURE(journal);
      const test::TempFolder folder;
      write_model(folder);
      folder.write(".out.bigmodel-journal", journal);
      folder.write("m/.bigmodel-journal", journal);
      const auto source = files_of(folder / "m");
      try {
        reshard(folder / "m", {.output = folder / "out", .resume = true});
        CHECK(content(folder / "out") == content(folder / "m"));
      } catch (const FormatError& e) {
        CHECK(std::string(e.what()).find("journal") != std::string::npos);
      }
      try {
        finish_interrupted_commit(folder / "m");
      } catch (const FormatError& e) {
        CHECK(std::string(e.what()).find("journal") != std::string::npos);
      }
      CHECK(files_of(folder / "m") == source);
    }
  }
}

}  // namespace bigmodel
