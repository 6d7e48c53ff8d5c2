// SPDX-License-Identifier: Apache-2.0
// Every decoder of the run goldens against the reference: a few from this repository, all of them where the large set is there.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "engine/run_case.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

/// Types of the large set that the engine refuses as yet. It may refuse no others, and must not run these wrongly.
constexpr int kRefused = 0;

}  // namespace

TEST_SUITE("engine/run_goldens") {
  TEST_CASE("the decoders of this repository are equal") {
    const auto cases = test::cases_of_kind(test::golden_path("engine"), "decoder");
    CHECK(cases.size() == 3);
    for (const auto& folder : cases) {
      CAPTURE(folder.filename().string());
      const test::CaseResult result = test::check_decoder(folder);
      CHECK(result.refused == "");
      for (const std::string& fault : result.faults) FAIL_CHECK(fault);
    }
  }

  TEST_CASE("the decoders of the large set are equal or refused by name") {
    const auto set = test::shared_path("goldens/run");
    if (!set) return;
    const test::TempFolder folder;
    for (const char* part : {"decoders-1-gpt", "decoders-2-llama", "decoders-3-moe", "decoders-4-recurrent"}) {
      REQUIRE(std::system(fmt::format("tar -xJf '{}' -C '{}'", (*set / part).string() + ".tar.xz", folder.path().string()).c_str()) == 0);
    }
    int refused = 0;
    const auto cases = test::cases_of_kind(folder.path(), "decoder");
    CHECK(cases.size() == 71);
    for (const auto& path : cases) {
      CAPTURE(path.filename().string());
      const test::CaseResult result = test::check_decoder(path);
      if (!result.refused.empty()) {
        ++refused;
        MESSAGE(path.filename().string() << ": " << result.refused);
      }
      for (const std::string& fault : result.faults) FAIL_CHECK(fault);
    }
    CHECK(refused <= kRefused);
  }
}
