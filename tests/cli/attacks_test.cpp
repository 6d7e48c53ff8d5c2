// SPDX-License-Identifier: Apache-2.0
// The program against every attack: its exit code, one line, bounded memory, and no output of what it refused.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "attacks/attack.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

/// In 1.5 GB of address space.
RunResult run_bounded(const TempFolder& folder, Strings args) {
  args.insert(args.begin(), {"-c", R"(ulimit -v 1500000; exec "$0" "$@")", bigmodel_binary()});
  return run_binary(args, {.binary = "/bin/sh", .folder = folder.path().string()});
}

bool prints_control_characters(const std::string& text) {
  return std::ranges::any_of(text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f; });
}

}  // namespace

TEST_SUITE("cli/attacks") {
  TEST_CASE("verify, inspect and shard refuse or accept each attack, in bounded memory") {
    const TempFolder folder;
    int refused_count = 0, accepted_count = 0;
    for (const Attack& attack : all_attacks()) {
      CAPTURE(attack.path);
      const std::string path = write_attack(attack, folder.path()).string();
      const RunResult inspected = run_bounded(folder, {"inspect", path, "--checkpoint", "--tensors"});
      const RunResult sharded = run_bounded(folder, {"shard", path, "--output", "out", "--format", "safetensors"});
      const RunResult verified = run_bounded(folder, {"verify", path, "--deep"});
      CHECK_FALSE(prints_control_characters(inspected.out + inspected.err + sharded.err + verified.out + verified.err));
      if (attack.accepted) {
        ++accepted_count;
        CHECK_MESSAGE(inspected.exit_code == 0, inspected.err);
        CHECK_MESSAGE(sharded.exit_code == 0, sharded.err);
        CHECK_MESSAGE(verified.exit_code == 0, verified.out << verified.err);
        fs::remove_all(folder / "out");
        continue;
      }
      ++refused_count;
      for (const RunResult* result : {&inspected, &sharded}) {
        CHECK_MESSAGE(result->exit_code == attack.exit_code, result->err);
        CHECK(result->out.empty());
        CHECK(std::ranges::count(result->err, '\n') == 1);
        CHECK_MESSAGE(result->err.find(attack.words) != std::string::npos, result->err);
      }
      // What an index is wrong about, verify lists; of a file that cannot be read there is nothing to list.
      CHECK_MESSAGE((verified.exit_code == 1 || verified.exit_code == attack.exit_code), verified.out << verified.err);
      if (!attack.path.starts_with("folders/")) CHECK(verified.exit_code == 6);
      CHECK_FALSE(fs::exists(folder / "out"));
    }
    MESSAGE(refused_count << " refused, " << accepted_count << " accepted");
  }

  TEST_CASE("a storage that is not what its checksum says is found where it is read") {
    const TempFolder folder;
    for (Attack& attack : all_attacks()) {
      if (attack.path != "zip/good.bin") continue;
      std::string& bytes = attack.files[0].bytes;
      bytes[bytes.find("abcd")] ^= 1;
      const std::string path = write_attack(attack, folder.path()).string();
      CHECK(run_bounded(folder, {"verify", path}).exit_code == 0);
      const RunResult r = run_bounded(folder, {"verify", path, "--deep"});
      CHECK(r.exit_code == 1);
      CHECK(r.out.find("entry \"archive/data/0\" is damaged: its checksum is") != std::string::npos);
    }
  }

  TEST_CASE("an output that is a link, or the input under another name, is refused") {
    const TempFolder folder;
    for (const Attack& attack : all_attacks()) {
      if (attack.path == "zip/good.bin") write_attack(attack, folder.path());
    }
    fs::create_directories(folder / "m");
    fs::copy_file(folder / "zip/good.bin", folder / "m/pytorch_model.bin");
    fs::create_directories(folder / "elsewhere");
    fs::create_symlink("elsewhere", folder / "link");
    fs::create_symlink("nowhere", folder / "dangling");
    fs::create_symlink("m", folder / "same");
    for (const char* output : {"link", "dangling", "same", "m", "m/../m"}) {
      CAPTURE(output);
      const RunResult r = run_bounded(folder, {"shard", "m", "--output", output});
      CHECK(r.exit_code == 2);
      CHECK(r.out.empty());
    }
    CHECK(fs::is_empty(folder / "elsewhere"));
    CHECK(fs::is_symlink(folder / "link"));
    CHECK(std::distance(fs::directory_iterator(folder / "m"), fs::directory_iterator{}) == 1);
  }
}

}  // namespace bigmodel::test
