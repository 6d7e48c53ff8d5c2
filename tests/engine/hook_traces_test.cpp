// SPDX-License-Identifier: Apache-2.0
// Hooks against accelerate 1.15: every event, move, device, dtype, output, error and message of its traces.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/hook_trace.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

struct Count {
  int all = 0, reference_failed = 0;
};

Count replay(const std::filesystem::path& path) {
  Count count;
  for_each_record(path, [&](const nlohmann::ordered_json& trace) {
    ++count.all;
    const TraceResult result = replay_trace(trace);
    count.reference_failed += result.reference_failed ? 1 : 0;
    if (!result.difference.empty()) FAIL_CHECK(trace.at("id").get<std::string>() << ": " << result.difference.substr(0, 4000));
  });
  return count;
}

}  // namespace

TEST_SUITE("engine/hook_traces") {
  TEST_CASE("hooks do what accelerate's do") { CHECK(replay(golden_path("hooks") / "traces.jsonl.xz").all == 20); }

  TEST_CASE("hooks do what accelerate's do, all traces") {
    const auto folder = shared_path("goldens/hooks");
    if (!folder) return;
    const Count count = replay(*folder / "traces.jsonl.xz");
    CHECK(count.all == 140);
    CHECK(count.reference_failed == 4);
  }
}

}  // namespace bigmodel::test
