// SPDX-License-Identifier: Apache-2.0
// The README's transcripts are what the program prints: every `$ bigmodel ...` line of a code block is run, one after the
// other in one folder, so that a transcript may go on with what an earlier one wrote.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

struct Transcript {
  std::string command;  ///< without "$ bigmodel "
  std::string output;   ///< standard error, then standard output, as a terminal shows them
};

std::vector<Transcript> transcripts() {
  std::ifstream in(source_root() / "README.md");
  std::vector<Transcript> out;
  bool inside = false;
  bool ours = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
      ours = false;
    } else if (inside && line.starts_with("$ ")) {
      ours = line.starts_with("$ bigmodel ");
      if (ours) out.push_back({line.substr(11), ""});
    } else if (ours) {
      out.back().output += line + "\n";
    }
  }
  return out;
}

}  // namespace

TEST_SUITE("cli/readme") {
  TEST_CASE("every transcript is what the program prints") {
    const std::vector<Transcript> all = transcripts();
    const TempFolder folder;
    // The demo model as a folder, which the README says it is.
    std::filesystem::create_directory_symlink(source_root() / "apps/bigmodel/demo_model", folder / "demo-model");
    CHECK(all.size() >= 3);
    for (const Transcript& transcript : all) {
      CAPTURE(transcript.command);
      std::istringstream words(transcript.command);
      std::vector<std::string> args;
      for (std::string word; words >> std::quoted(word);) args.push_back(word);
      const RunResult r = run_binary(args, {.folder = folder.path().string()});
      CHECK(r.exit_code == 0);
      CHECK(r.err + r.out == transcript.output);
    }
  }
}

}  // namespace bigmodel::test
