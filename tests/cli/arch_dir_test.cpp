// SPDX-License-Identifier: Apache-2.0
// A user's own descriptions (--arch-dir): used before the built-in ones, and shown with line, column and caret where they are wrong.
#include <doctest/doctest.h>

#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

constexpr const char* kGood =
    "arch 1\n"
    "\n"
    "model pebble as Pebble\n"
    "  config\n"
    "    size = 4\n"
    "  base Model\n"
    "  entry Model\n"
    "    fc: Linear(size, size * 2)\n";

RunResult run(const TempFolder& folder, const std::string& description, const std::string& config = R"({"model_type": "pebble"})") {
  folder.write("config.json", config);
  folder.write("own.arch", description);
  return run_binary({"inspect", folder.path().string(), "--arch-dir", folder.path().string(), "--tensors", "--format", "csv"});
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_SUITE("cli/arch_dir") {
  TEST_CASE("describes a type that the program does not know") {
    const TempFolder folder;
    const RunResult r = run(folder, kGood, R"({"model_type": "pebble", "size": 3})");
    CHECK(r.exit_code == 0);
    CHECK(r.out.find("fc.weight,") != std::string::npos);
    CHECK(r.out.find("fc.bias,") != std::string::npos);
    CHECK(run_binary({"inspect", folder.path().string()}).exit_code == 6);
  }

  TEST_CASE("replaces a built-in type") {
    const TempFolder folder;
    const RunResult r = run(folder, replaced(kGood, "model pebble", "model bert"), R"({"model_type": "bert"})");
    CHECK(r.exit_code == 0);
    CHECK(r.out.find("embeddings") == std::string::npos);
    CHECK(r.out.find("fc.weight,") != std::string::npos);
  }

  TEST_CASE("a mistake in the text is shown with its line and a caret") {
    const TempFolder folder;
    const RunResult r = run(folder, replaced(kGood, "size = 4", "size = = 4"));
    CHECK(r.exit_code == 6);
    CHECK(r.out == "");
    CHECK(r.err.find("own.arch:5:12: ") != std::string::npos);
    CHECK(r.err.find("\n        size = = 4\n               ^\n") != std::string::npos);
  }

  TEST_CASE("a mistake in its meaning is shown with the module that it came up in") {
    const TempFolder folder;
    const RunResult r = run(folder, replaced(kGood, "size * 2", "sise * 2"));
    CHECK(r.exit_code == 6);
    CHECK(r.err.find("own.arch:8:22: ") != std::string::npos);
    CHECK(r.err.find("sise") != std::string::npos);
    CHECK(r.err.find("(in fc of ") != std::string::npos);
    CHECK(r.err.find("^\n") != std::string::npos);
  }

  TEST_CASE("a folder that is not there, and a file in its place") {
    const TempFolder folder;
    const std::string config = folder.write("config.json", R"({"model_type": "bert"})").string();
    const RunResult gone = run_binary({"inspect", config, "--arch-dir", (folder.path() / "no").string()});
    CHECK(gone.exit_code == 3);
    CHECK(gone.err.find("no: ") != std::string::npos);
    CHECK(run_binary({"inspect", config, "--arch-dir", config}).exit_code != 0);
  }
}

}  // namespace bigmodel::test
