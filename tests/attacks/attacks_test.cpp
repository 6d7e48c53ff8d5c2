// SPDX-License-Identifier: Apache-2.0
// The readers against every attack, and the stored files against their generator.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <ctime>
#include <map>

#include "attacks/attack.h"
#include "bigmodel/checkpoint/tensor_content.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/read_file.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLimitBytes = std::uint64_t{64} << 20;

/// "accepted", or the message that refuses.
std::string verdict(const fs::path& path) {
  try {
    const Checkpoint checkpoint = open_checkpoint(path);
    static_cast<void>(read_contents(checkpoint, {}, Disk{}, {}));
    return "accepted";
  } catch (const Error& error) {
    const bool wrong_kind = error.kind() != ErrorKind::format && error.kind() != ErrorKind::unsupported && error.kind() != ErrorKind::not_found;
    return (wrong_kind ? "wrong kind of error: " : "") + error.message();
  }
}

}  // namespace

TEST_SUITE("attacks") {
  TEST_CASE("the readers refuse or accept each attack as it deserves") {
    const TempFolder folder;
    int as_said = 0, refused_count = 0;
    const std::vector<Attack> attacks = all_attacks();
    for (const Attack& attack : attacks) {
      CAPTURE(attack.path);
      // Processor time: a busy machine is no fault of the reader's.
      const std::clock_t start = std::clock();
      const std::string got = verdict(write_attack(attack, folder.path()));
      const double elapsed_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      const bool right = attack.accepted ? got == "accepted" : got != "accepted" && !got.starts_with("wrong kind") && got.find(attack.words) != std::string::npos;
      CHECK_MESSAGE(right, got);
      CHECK(elapsed_s < 20);  // far above what any takes, sanitizers and slow machines included
      as_said += right ? 1 : 0;
      refused_count += attack.accepted ? 0 : 1;
    }
    MESSAGE(as_said << " of " << attacks.size() << " as said, " << refused_count << " of them refused");
  }

  TEST_CASE("the stored files and their page are what the generator makes (bigmodel_make_attacks tests/attacks)") {
    const fs::path home = source_root() / "tests/attacks";
    std::map<std::string, std::string> want;
    for (const Attack& attack : all_attacks()) {
      if (!attack.stored()) continue;
      for (const Attack::File& file : attack.files) want[file.name.empty() ? attack.path : attack.path + "/" + file.name] = file.bytes;
    }
    std::size_t found = 0;
    for (const auto& entry : fs::recursive_directory_iterator(home / "files")) {
      if (!entry.is_regular_file()) continue;
      const std::string name = entry.path().lexically_relative(home / "files").generic_string();
      CAPTURE(name);
      REQUIRE(want.contains(name));
      CHECK(read_file(entry.path(), kLimitBytes) == want[name]);
      ++found;
    }
    CHECK(found == want.size());
    CHECK(read_file(home / "README.md", kLimitBytes) == attacks_page());
  }

  TEST_CASE("links and what is no file") {
    const TempFolder folder;
    folder.write("real/model.safetensors", all_attacks().front().files[0].bytes.empty() ? "x" : "y");
    // A pipe without a writer must not hang, wherever it stands for a file; a device never ends.
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    fs::create_directories(folder / "m");
    for (const char* target : {"../pipe", "/dev/zero"}) {
      for (const char* name : {"model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "index.json"}) {
        CAPTURE(name);
        fs::create_symlink(target, folder / "m" / name);
        CHECK_THROWS_AS(open_checkpoint(folder / "m"), Error);
        CHECK_THROWS_AS(open_checkpoint(folder / "m" / name), Error);
        fs::remove(folder / "m" / name);
      }
    }
    // The Hub's cache is made of links, so that links to real files are followed.
    const Attack good = [] {
      for (Attack& attack : all_attacks()) {
        if (attack.path == "zip/good.bin") return attack;
      }
      return Attack{};
    }();
    const fs::path file = write_attack(good, folder.path());
    fs::create_symlink(file, folder / "m/pytorch_model.bin");
    CHECK(open_checkpoint(folder / "m").tensors.size() == 1);
  }
}

}  // namespace bigmodel::test
