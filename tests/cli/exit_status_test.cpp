// SPDX-License-Identifier: Apache-2.0
// One test per exit code, through the whole program with commands that fail on demand (probe_main.cpp).
#include <doctest/doctest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/run_binary.h"

namespace bigmodel::test {
namespace {

RunResult fail(const std::string& kind) { return run_binary({"fail", kind}, {.binary = probe_binary()}); }

}  // namespace

TEST_SUITE("cli/exit_status") {
  TEST_CASE("0: done") {
    CHECK(fail("not at all").exit_code == 0);
    CHECK(fail("not at all").out == "done\n");
  }
  TEST_CASE("1: a check answered no") {
    CHECK(fail("answered_no").exit_code == 1);
    CHECK(fail("answered_no").err == "");
  }
  TEST_CASE("2: usage") { CHECK(fail("usage").exit_code == 2); }
  TEST_CASE("3: not found") { CHECK(fail("not_found").exit_code == 3); }
  TEST_CASE("4: authorisation") { CHECK(fail("authorisation").exit_code == 4); }
  TEST_CASE("5: network") { CHECK(fail("network").exit_code == 5); }
  TEST_CASE("6: malformed") { CHECK(fail("format").exit_code == 6); }
  TEST_CASE("6: unsupported") { CHECK(fail("unsupported").exit_code == 6); }
  TEST_CASE("7: does not fit") { CHECK(fail("capacity").exit_code == 7); }
  TEST_CASE("7: out of memory") { CHECK(fail("out_of_memory").exit_code == 7); }
  TEST_CASE("8: device") { CHECK(fail("device").exit_code == 8); }
  TEST_CASE("9: local input or output") { CHECK(fail("io").exit_code == 9); }
  TEST_CASE("70: a bug of ours") {
    CHECK(fail("assertion").exit_code == 70);
    CHECK(fail("foreign").exit_code == 70);
    CHECK(fail("unprintable").exit_code == 70);
    CHECK(fail("foreign").err == "error: not one of ours; this is a bug of bigmodel, please report it\n");
  }
  TEST_CASE("130: cancelled without a signal") { CHECK(fail("cancelled").exit_code == 130); }

  TEST_CASE("prints one line with what to do") {
    CHECK(fail("format").err == "error: thing: is wrong, expected a, got b; do c\n");
    CHECK(fail("format").out == "");
  }

  TEST_CASE("prints the error object under --json") {
    const RunResult r = run_binary({"fail", "format", "--json"}, {.binary = probe_binary()});
    CHECK(nlohmann::json::parse(r.err) ==
          nlohmann::json::parse(R"({"error": {"code": 6, "kind": "format", "message": "thing: is wrong, expected a, got b",
                                    "hint": "do c"}})"));
  }
}

TEST_SUITE("cli/signals") {
  TEST_CASE("the first interrupt stops the command and ends the process by the signal") {
    const RunResult r = run_binary({"wait"}, {.binary = probe_binary(), .signal_number = SIGINT});
    CHECK(r.exit_code == 128 + SIGINT);
    CHECK(r.err.find("stopping; press Ctrl-C again to quit now\n") != std::string::npos);
    CHECK(r.err.find("error") == std::string::npos);
  }

  TEST_CASE("a termination request does the same") {
    CHECK(run_binary({"wait"}, {.binary = probe_binary(), .signal_number = SIGTERM}).exit_code == 128 + SIGTERM);
  }
}

TEST_SUITE("cli/progress") {
  TEST_CASE("nothing is animated and nothing reaches stdout where stderr is no terminal") {
    const RunResult r = run_binary({"progress"}, {.binary = probe_binary()});
    CHECK(r.out == "result\n");
    CHECK(r.err == "");
  }
}

}  // namespace bigmodel::test
