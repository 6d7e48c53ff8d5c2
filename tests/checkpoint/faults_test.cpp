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
#include "bigmodel/io/sha256.h"
#include "checkpoint/safetensors_file.h"
#include "support/json_lines.h"
#include "support/temp_folder.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// Counts the calls that can fail and fails one of them. A clone_range is never tried: these tests are about copying.
class FailingDisk : public Disk {
 public:
  FailingDisk(int failing_call, int error_number) : failing_call_(failing_call), error_number_(error_number) {}

  int open(const fs::path& path, int flags, unsigned mode) const override { return fails("open", path.filename().string()) ? -1 : Disk::open(path, flags, mode); }
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override { return fails("pread") ? -1 : Disk::pread(fd, data, size, offset); }
  ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) const override { return fails("pwrite") ? -1 : Disk::pwrite(fd, data, size, offset); }
  int ftruncate(int fd, off_t size) const override { return fails("ftruncate") ? -1 : Disk::ftruncate(fd, size); }
  int fallocate(int fd, off_t size) const override { return fails("fallocate") ? -1 : Disk::fallocate(fd, size); }
  int fsync(int fd) const override { return fails("fsync") ? -1 : Disk::fsync(fd); }
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
class SlowDisk : public Disk {
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
class MeddlingDisk : public Disk {
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

/// Four tensors of 6,000 bytes; with a limit of 12,000 two shards and an index.
void write_model(const test::TempFolder& folder) {
  std::string header = "{";
  std::string data;
  for (int i = 0; i < 4; ++i) {
    header += (i > 0 ? ",\"t" : "\"t") + std::to_string(i) + R"(":{"dtype":"F32","shape":[1500],"data_offsets":[)" + std::to_string(i * 6000) + "," + std::to_string(i * 6000 + 6000) + "]}";
    for (int k = 0; k < 6000; ++k) data += static_cast<char>(i * 61 + k * 7 + k / 256);
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
      for (const int error : {ENOSPC, EIO}) {
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
      CHECK(failures > 60);
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
