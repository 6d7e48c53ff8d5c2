// SPDX-License-Identifier: Apache-2.0
// kill -9 at random moments of `bigmodel shard`, then --resume, and of `bigmodel edit`: nothing half done is ever seen, and the end is that of an
// undisturbed run; and Ctrl-C at random moments of `bigmodel run`. BIGMODEL_TEST_KILLS sets the number of kills for each way of writing (16 without it).
#include <doctest/doctest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/sha256.h"
#include "cli/run_binary.h"
#include "support/json_lines.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono;

int kills_wanted() {
  const char* text = std::getenv("BIGMODEL_TEST_KILLS");
  return text == nullptr ? 16 : std::max(1, std::atoi(text));
}

/// Starts the program and sends it the signal after `delay`. What waitpid says of its end.
int status_after(microseconds delay, const std::vector<std::string>& args, int signal_number) {
  std::vector<std::string> words{bigmodel_binary()};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, bigmodel_binary().c_str(), &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  std::this_thread::sleep_for(delay);
  ::kill(child, signal_number);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

/// Kills the program after `delay`. Its exit code where it had ended before that.
std::optional<int> ended_before(microseconds delay, const std::vector<std::string>& args) {
  const int status = status_after(delay, args, SIGKILL);
  if (!WIFEXITED(status)) return std::nullopt;
  return WEXITSTATUS(status);
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

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string digest = "folder";
    if (entry.is_regular_file()) {
      const std::string bytes = read_maybe_xz(entry.path());
      digest = sha256_hex(std::as_bytes(std::span(bytes)));
    }
    out[entry.path().filename().string()] = digest;
  }
  return out;
}

void make_model(const TempFolder& folder, std::string_view name) {
  folder.write("config.json", R"({"model_type": "llama", "vocab_size": 2000, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 4})");
  REQUIRE(run_binary({"init", (folder / "config.json").string(), "-o", (folder / name).string()}).exit_code == 0);
}

/// Anywhere within a run, and as often in its last third, where names change.
microseconds moment(std::mt19937& random, microseconds whole) {
  const int first = random() % 2 == 0 ? 0 : 700;
  return whole * std::uniform_int_distribution<int>(first, 1100)(random) / 1000;
}

/// How long an undisturbed run takes: kills fall anywhere within it.
microseconds time_of(const std::vector<std::string>& args) {
  const auto begin = steady_clock::now();
  REQUIRE(run_binary(args).exit_code == 0);
  return duration_cast<microseconds>(steady_clock::now() - begin);
}

}  // namespace

TEST_SUITE("cli/kill") {
  TEST_CASE("killed at any moment, a new output is there whole or not at all") {
    const TempFolder folder;
    make_model(folder, "m");
    const auto source = files_of(folder / "m");
    const auto args = [&](const char* output) { return std::vector<std::string>{"shard", (folder / "m").string(), "-s", "500KB", "-o", (folder / output).string(), "--resume"}; };
    const microseconds whole = time_of(args("want"));
    const auto want = files_of(folder / "want");
    std::mt19937 random(20240117);
    int kills = 0, rounds = 0;
    while (kills < kills_wanted()) {
      ++rounds;
      for (bool done = false; !done;) {
        const bool complete = fs::exists(folder / "out");
        const auto code = ended_before(moment(random, whole), args("out"));
        done = code.has_value();
        kills += done ? 0 : 1;
        // One that was killed after its last step has left nothing to resume.
        if (done && *code != 0) CHECK((complete && *code == 2));
        if (!done && fs::exists(folder / "out")) CHECK(files_of(folder / "out") == want);
        if (kills > 50 * kills_wanted()) break;
      }
      CHECK(files_of(folder / "out") == want);
      CHECK(files_of(folder / "m") == source);
      CHECK(files_of(folder.path()).size() == 4);
      fs::remove_all(folder / "out");
    }
    MESSAGE(kills << " kills in " << rounds << " rounds");
  }

  TEST_CASE("killed at any moment in place, a reader sees a whole checkpoint or no index, and the next run completes it") {
    const TempFolder folder;
    make_model(folder, "m");
    const std::string before = content(folder / "m");
    std::mt19937 random(20240118);
    // Limits that change the number of shards, and two that keep it and move tensors between files of the same name.
    const std::vector<std::vector<std::string>> jobs = {{"-s", "900KB"}, {"-s", "1000KB"}, {"-s", "900KB", "--policy", "balanced"}, {"-s", "900KB"}, {"--merge"}};
    const auto args = [&](std::size_t job) {
      std::vector<std::string> out{"shard", (folder / "m").string(), "--in-place", "--resume"};
      out.insert(out.end(), jobs[job].begin(), jobs[job].end());
      return out;
    };
    const microseconds whole = time_of(args(0));
    int kills = 0, without_index = 0;
    for (std::size_t job = 1; kills < kills_wanted(); job = (job + 1) % jobs.size()) {
      for (bool done = false; !done;) {
        const auto code = ended_before(moment(random, whole), args(job));
        done = code.has_value();
        kills += done ? 0 : 1;
        CHECK(code.value_or(0) == 0);
        try {
          const std::string now = content(folder / "m");
          CHECK(now == before);
        } catch (const Error& e) {
          ++without_index;
          CHECK_MESSAGE(!fs::exists(folder / "m/model.safetensors.index.json"), std::string(e.what()));
        }
        if (kills > 50 * kills_wanted()) break;
      }
      CHECK(content(folder / "m") == before);
      for (const auto& [name, digest] : files_of(folder / "m")) CHECK_FALSE(name.starts_with("."));
    }
    MESSAGE(kills << " kills, " << without_index << " of them seen while names were changing hands");
  }

  TEST_CASE("an edit that is killed at any moment leaves all or nothing, and the same call, with --resume or without, clears up and completes it") {
    const TempFolder folder;
    make_model(folder, "m");
    const auto source = files_of(folder / "m");
    const auto args = [&](const char* output, bool resume) {
      std::vector<std::string> out{"edit", (folder / "m").string(), "--resize-vocab", "2100", "--prune-heads", "0:1;4:0,2", "-s", "900KB", "-o", (folder / output).string()};
      if (resume) out.emplace_back("--resume");
      return out;
    };
    const microseconds whole = time_of(args("want", false));
    const auto want = files_of(folder / "want");
    std::mt19937 random(20240120);
    int kills = 0, rounds = 0, leftovers = 0;
    while (kills < kills_wanted()) {
      const bool resume = ++rounds % 2 == 0;
      for (bool done = false; !done;) {
        const bool complete = fs::exists(folder / "out");
        const auto code = ended_before(moment(random, whole), args("out", resume));
        done = code.has_value();
        kills += done ? 0 : 1;
        if (done && *code != 0) CHECK((complete && *code == 2));
        if (!done && fs::exists(folder / "out")) CHECK(files_of(folder / "out") == want);
        if (!done) leftovers += files_of(folder.path()).size() > (fs::exists(folder / "out") ? 4U : 3U) ? 1 : 0;
        if (kills > 50 * kills_wanted()) break;
      }
      CHECK(files_of(folder / "out") == want);
      CHECK(files_of(folder / "m") == source);
      CHECK(files_of(folder.path()).size() == 4);
      fs::remove_all(folder / "out");
    }
    MESSAGE(kills << " kills in " << rounds << " rounds, " << leftovers << " left hidden folders behind");
  }

  TEST_CASE("Ctrl-C at any moment of a run ends it by that signal and leaves no part of a file") {
    const TempFolder folder;
    make_model(folder, "m");
    const auto source = files_of(folder / "m");
    std::mt19937 random(20240119);
    int stops = 0;
    for (const char* map : {"cpu", "disk"}) {
      const std::vector<std::string> args{"run", (folder / "m").string(), "--ids", "1,2,3,4,5,6", "--max-new-tokens", "60", "--device-map", map, "--logits", (folder / "scores.safetensors").string()};
      const microseconds whole = time_of(args);
      std::string want = content(folder / "scores.safetensors");
      for (int i = 0; i < kills_wanted(); ++i) {
        fs::remove(folder / "scores.safetensors");
        const int status = status_after(moment(random, whole), args, SIGINT);
        const bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        stops += ended ? 0 : 1;
        // A shell calls an end by this signal 130.
        CHECK((ended || (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT)));
        const bool written = fs::exists(folder / "scores.safetensors");
        if (ended) CHECK(written);
        if (written) CHECK(content(folder / "scores.safetensors") == want);
        CHECK(files_of(folder.path()).size() == (written ? 3 : 2));
      }
    }
    CHECK(stops > 0);
    CHECK(files_of(folder / "m") == source);
    MESSAGE(stops << " stops");
  }
}

}  // namespace bigmodel::test
