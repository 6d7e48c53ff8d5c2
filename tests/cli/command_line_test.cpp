// SPDX-License-Identifier: Apache-2.0
// What the program says to right and wrong command lines, whatever the command.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {

TEST_SUITE("cli/command_line") {
  TEST_CASE("prints short help and exits 0 without arguments") {
    const RunResult r = run_binary({});
    CHECK(r.exit_code == 0);
    CHECK(r.err == "");
    CHECK(r.out.find("Commands:") != std::string::npos);
  }

  TEST_CASE("names the version on stdout") {
    const RunResult r = run_binary({"--version"});
    CHECK(r.exit_code == 0);
    CHECK(r.out.starts_with("bigmodel "));
  }

  TEST_CASE("loads at start only what every command may need") {
    // Each library here costs every call its loading; what few commands use (the network's above all) is loaded when it is used.
    const std::set<std::string> allowed{"linux-vdso", "ld-linux-x86-64", "ld-linux-aarch64", "libc", "libm", "libgcc_s", "libstdc++", "libfmt", "libcrypto", "libz", "libonig",
                                        "libutf8proc"};
    const RunResult r = run_binary({}, {.environment = {{"LD_TRACE_LOADED_OBJECTS", "1"}}});
    REQUIRE(r.exit_code == 0);
    std::istringstream lines(r.out);
    int libraries = 0;
    for (std::string line; std::getline(lines, line); ++libraries) {
      const std::size_t begin = line.find_first_not_of(" \t"), end = line.find(".so", begin);
      REQUIRE(end != std::string::npos);
      const std::string path = line.substr(begin, end - begin);
      const std::string name = path.substr(path.rfind('/') + 1);
      const bool sanitizer = name.ends_with("san");
      CHECK_MESSAGE((sanitizer || allowed.contains(name)), name, " is loaded at every start");
    }
    CHECK(libraries > 3);
  }

  TEST_CASE("prints the page of a command for help anywhere") {
    const RunResult by_topic = run_binary({"help", "help"});
    const RunResult by_option = run_binary({"help", "--help"});
    CHECK(by_topic.exit_code == 0);
    CHECK(by_topic.out == by_option.out);
    CHECK(run_binary({"--help", "help"}).out == by_option.out);
  }

  TEST_CASE("suggests the nearest command and exits 2") {
    const RunResult r = run_binary({"hlep"});
    CHECK(r.exit_code == 2);
    CHECK(r.out == "");
    CHECK(r.err == "error: hlep: no such command; did you mean 'help'?\n");
  }

  TEST_CASE("suggests the nearest option and exits 2") {
    const RunResult r = run_binary({"help", "--colour", "never"});
    CHECK(r.exit_code == 2);
    CHECK(r.err == "error: --colour: no such option; did you mean --color?\n");
  }

  TEST_CASE("suggests the nearest choice and exits 2") {
    const RunResult r = run_binary({"help", "--color", "nevr"});
    CHECK(r.exit_code == 2);
    CHECK(r.err == "error: --color: not a valid value, expected auto|always|never, got 'nevr'; did you mean 'never'?\n");
  }

  TEST_CASE("names the option whose value is missing") {
    const RunResult r = run_binary({"help", "--color"});
    CHECK(r.exit_code == 2);
    CHECK(r.err == "error: --color: its value is missing\n");
  }

  TEST_CASE("prints errors as one JSON object under --json") {
    const RunResult r = run_binary({"hlep", "--json"});
    CHECK(r.exit_code == 2);
    const auto error = nlohmann::json::parse(r.err).at("error");
    CHECK(error.at("code") == 2);
    CHECK(error.at("kind") == "usage");
    CHECK(error.at("message") == "hlep: no such command");
    CHECK(error.at("hint") == "did you mean 'help'?");
  }

  TEST_CASE("accepts underscores for hyphens") {
    CHECK(run_binary({"help", "--no_config"}).exit_code == 0);
    CHECK(run_binary({"help", "exit_codes"}).exit_code == 0);
  }

  TEST_CASE("says one argument too many") {
    const RunResult r = run_binary({"help", "help", "more"});
    CHECK(r.exit_code == 2);
    CHECK(r.err.find("one argument too many, got 'more'") != std::string::npos);
  }

  TEST_CASE("keeps control characters of arguments from the terminal") {
    const RunResult r = run_binary({"\x1b[31mred\n"});
    CHECK(r.exit_code == 2);
    CHECK(r.err.find('\x1b') == std::string::npos);
    CHECK(r.err.find("\\x1b[31mred") != std::string::npos);
  }

  TEST_CASE("ends quietly when the reader of the pipe is gone") {
    const RunResult r = run_binary({"help"}, {.close_stdout = true});
    CHECK(r.exit_code == 0);
    CHECK(r.err == "");
  }

  TEST_CASE("exits 9 when the disk behind stdout is full") {
    const RunResult r = run_binary({"help"}, {.stdout_path = "/dev/full"});
    CHECK(r.exit_code == 9);
    CHECK(r.err == "error: standard output: cannot write: No space left on device; free some space on the disk\n");
  }

  TEST_CASE("colours when told to, and not into pipes by itself") {
    CHECK(run_binary({"help"}).out.find('\x1b') == std::string::npos);
    CHECK(run_binary({"help", "--color", "always"}).out.find('\x1b') != std::string::npos);
    CHECK(run_binary({"help"}, {.environment = {{"CLICOLOR_FORCE", "1"}}}).out.find('\x1b') != std::string::npos);
    CHECK(run_binary({"help"}, {.environment = {{"CLICOLOR_FORCE", "1"}, {"NO_COLOR", "1"}}}).out.find('\x1b') ==
          std::string::npos);
  }
}

TEST_SUITE("cli/settings") {
  TEST_CASE("takes options from the environment") {
    const RunResult r = run_binary({"help"}, {.environment = {{"BIGMODEL_COLOR", "always"}}});
    CHECK(r.out.find('\x1b') != std::string::npos);
  }

  TEST_CASE("names the variable whose value is wrong") {
    const RunResult r = run_binary({"help"}, {.environment = {{"BIGMODEL_COLOR", "sometimes"}}});
    CHECK(r.exit_code == 2);
    CHECK(r.err.starts_with("error: BIGMODEL_COLOR: --color: not a valid value"));
  }

  TEST_CASE("lets the command line win over the environment, and that over the file") {
    const TempFolder home;
    home.write(".config/bigmodel/config.toml", "color = \"always\"\n");
    const std::string folder = home.path().string();
    CHECK(run_binary({"help"}, {.environment = {{"HOME", folder}}}).out.find('\x1b') != std::string::npos);
    CHECK(run_binary({"help"}, {.environment = {{"HOME", folder}, {"BIGMODEL_COLOR", "never"}}}).out.find('\x1b') ==
          std::string::npos);
    CHECK(run_binary({"help", "--color", "always"}, {.environment = {{"HOME", folder}, {"BIGMODEL_COLOR", "never"}}})
              .out.find('\x1b') != std::string::npos);
    CHECK(run_binary({"help", "--no-config"}, {.environment = {{"HOME", folder}}}).out.find('\x1b') ==
          std::string::npos);
  }

  TEST_CASE("lets a command's section of the file win over its head") {
    const TempFolder home;
    home.write("bigmodel/config.toml", "color = \"never\"\n[help]\ncolor = 'always' # here\n");
    const RunResult r = run_binary({"help"}, {.environment = {{"XDG_CONFIG_HOME", home.path().string()}}});
    CHECK(r.out.find('\x1b') != std::string::npos);
  }

  TEST_CASE("names file, line and nearest key for what the file gets wrong") {
    const TempFolder folder;
    const auto said = [&](const std::string& text) {
      const std::string path = folder.write("c.toml", text).string();
      const RunResult r = run_binary({"help", "--config", path});
      CHECK(r.exit_code == 2);
      return r.err.substr(std::string("error: ").size() + path.size());
    };
    CHECK(said("# x\ncolour = \"never\"\n") == ":2: no such option 'colour'; did you mean 'color'?\n");
    CHECK(said("[hlep]\ncolor = \"never\"\n") == ":2: no such section 'hlep'; did you mean 'help'?\n");
    CHECK(said("color\n") == ":1: not understood, expected key = value\n");
    CHECK(said("color = \"never\n") == ":1: the string has no closing quote\n");
    CHECK(said("quiet = 3\n") == ":1: not a valid value, expected true or false\n");
  }

  TEST_CASE("exits 3 where the named config file is not there") {
    CHECK(run_binary({"help", "--config", "/nonexistent/c.toml"}).exit_code == 3);
  }
}

}  // namespace bigmodel::test
