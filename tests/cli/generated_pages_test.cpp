// SPDX-License-Identifier: Apache-2.0
// completions/ and man/ are what the program makes from its option table; shells and mandoc accept them.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::set<std::string> names_below(const fs::path& folder) {
  std::set<std::string> out;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) out.insert(entry.path().filename().string());
  return out;
}

/// The program's path where PATH has it, else empty: shells and mandoc are not needed to build.
std::string tool(const std::string& name) {
  for (const char* folder : {"/usr/bin/", "/bin/", "/usr/local/bin/"}) {
    if (fs::exists(folder + name)) return folder + name;
  }
  MESSAGE("skipped: ", name, " is not installed");
  return {};
}

}  // namespace

TEST_SUITE("cli/generated_pages") {
  TEST_CASE("the committed pages are what the option table gives") {
    const TempFolder fresh;
    REQUIRE(run_binary({"generate", "all", "--output", fresh.path().string()}).exit_code == 0);
    for (const char* folder : {"completions", "man"}) {
      CAPTURE(folder);
      const std::set<std::string> made = names_below(fresh / folder);
      CHECK(made == names_below(source_root() / folder));
      for (const std::string& name : made) {
        CAPTURE(name);
        // If this fails: cmake --build build/dev --target update_pages, and commit.
        CHECK(content(fresh / folder / name) == content(source_root() / folder / name));
      }
    }
  }

  TEST_CASE("shells accept the completion scripts") {
    const std::string folder = (source_root() / "completions").string();
    if (const std::string bash = tool("bash"); !bash.empty()) {
      CHECK(run_binary({"-n", folder + "/bigmodel.bash"}, {.binary = bash}).exit_code == 0);
    }
    if (const std::string zsh = tool("zsh"); !zsh.empty()) {
      CHECK(run_binary({"-n", folder + "/bigmodel.zsh"}, {.binary = zsh}).exit_code == 0);
    }
    if (const std::string fish = tool("fish"); !fish.empty()) {
      CHECK(run_binary({"--no-execute", folder + "/bigmodel.fish"}, {.binary = fish}).exit_code == 0);
    }
  }

  TEST_CASE("bash completes commands, options and choices") {
    const std::string bash = tool("bash");
    if (bash.empty()) return;
    const auto completed = [&](const std::string& words) {
      const std::string script = "source '" + (source_root() / "completions/bigmodel.bash").string() +
                                 "'; COMP_WORDS=(" + words +
                                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _bigmodel; printf '%s ' \"${COMPREPLY[@]}\"";
      return run_binary({"-c", script}, {.binary = bash}).out;
    };
    CHECK(completed("bigmodel hel") == "help ");
    CHECK(completed("bigmodel help --no-c") == "--no-config ");
    CHECK(completed("bigmodel help --color n") == "never ");
    CHECK(completed("bigmodel help exit") == "exit-codes ");
  }

  TEST_CASE("fish completes commands and choices") {
    const std::string fish = tool("fish");
    if (fish.empty()) return;
    const auto completed = [&](const std::string& line) {
      const std::string script =
          "source '" + (source_root() / "completions/bigmodel.fish").string() + "'; complete -C'" + line + "'";
      return run_binary({"--no-config", "-c", script}, {.binary = fish}).out;
    };
    CHECK(completed("bigmodel hel").starts_with("help\t"));
    CHECK(completed("bigmodel help --color n").starts_with("never"));
  }

  TEST_CASE("mandoc finds nothing to complain about in the man pages") {
    const std::string mandoc = tool("mandoc");
    if (mandoc.empty()) return;
    for (const std::string& name : names_below(source_root() / "man")) {
      CAPTURE(name);
      const RunResult r =
          run_binary({"-T", "lint", "-W", "warning", (source_root() / "man" / name).string()}, {.binary = mandoc});
      CHECK(r.err + r.out == "");
    }
  }

  TEST_CASE("the man page of every command is named by bigmodel(1)") {
    const std::string page = content(source_root() / "man/bigmodel.1");
    for (std::string name : names_below(source_root() / "man")) {
      if (name == "bigmodel.1") continue;
      name = name.substr(0, name.size() - 2);
      std::string escaped;
      for (const char c : name) escaped += c == '-' ? std::string("\\-") : std::string(1, c);
      CAPTURE(name);
      CHECK(page.find(escaped) != std::string::npos);
    }
  }
}

}  // namespace bigmodel::test
