// SPDX-License-Identifier: Apache-2.0
// How `bigmodel run` behaves towards people: what comes when, on which stream, and what it says of options that make no sense.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

const std::string kPrompt = "One morning, Ben went to";

/// Both streams into one, in the order in which they are written, as on a terminal.
RunResult run_merged(const std::vector<std::string>& args) {
  std::vector<std::string> all = {"-c", "exec \"$0\" \"$@\" 2>&1", bigmodel_binary()};
  all.insert(all.end(), args.begin(), args.end());
  return run_binary(all, {.binary = "/bin/sh"});
}

}  // namespace

TEST_SUITE("cli/run_conduct") {
  TEST_CASE("what follows the text stands on a line of its own") {
    for (const std::vector<std::string>& prompt : {std::vector<std::string>{"-p", kPrompt}, std::vector<std::string>{"--ids", "1,49,80"}}) {
      std::vector<std::string> args = {"run", "--max-new-tokens", "4"};
      args.insert(args.end(), prompt.begin(), prompt.end());
      const RunResult alone = run_binary(args);
      const RunResult merged = run_merged(args);
      REQUIRE(merged.exit_code == 0);
      CHECK_MESSAGE(merged.out.find(alone.out + "weights: ") != std::string::npos, merged.out);
    }
  }

  TEST_CASE("token ids come as they are chosen, like text") {
    const auto start = std::chrono::steady_clock::now();
    const RunResult r = run_binary({"run", "--ids", "1,49,80", "--max-new-tokens", "1000000000", "--device-map", "cpu"},
                                   {.signal_number = 2, .signal_when = [&] { return std::chrono::steady_clock::now() - start > std::chrono::milliseconds(500); }});
    CHECK(r.exit_code == 130);
    CHECK(std::count(r.out.begin(), r.out.end(), ',') > 2);
    CHECK(r.out.starts_with(run_binary({"run", "--ids", "1,49,80", "--max-new-tokens", "2", "--quiet"}).out.substr(0, 5)));
  }
}

}  // namespace bigmodel::test
