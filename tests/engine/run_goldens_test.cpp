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

/// So many cases of the large set are refused as yet; no more may be, and none may run wrongly.
constexpr int kRefusedDecoders = 0;
constexpr int kRefusedEncoders = 4;
constexpr int kRefusedSeq2Seq = 0;
constexpr int kRefusedVision = 1;

void check(const std::vector<std::filesystem::path>& cases, test::CaseResult (*run)(const std::filesystem::path&), std::size_t count, int most_refused) {
  CHECK(cases.size() == count);
  int refused = 0;
  for (const auto& path : cases) {
    CAPTURE(path.filename().string());
    const test::CaseResult result = run(path);
    if (!result.refused.empty()) {
      ++refused;
      MESSAGE(path.filename().string() << ": " << result.refused);
    }
    for (const std::string& fault : result.faults) FAIL_CHECK(fault);
  }
  CHECK(refused <= most_refused);
}

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

  TEST_CASE("the large set is equal or refused by name") {
    const auto set = test::shared_path("goldens/run");
    if (!set) return;
    const test::TempFolder folder;
    for (const char* part : {"decoders-1-gpt", "decoders-2-llama", "decoders-3-moe", "decoders-4-recurrent", "encoders", "seq2seq", "vision-audio"}) {
      REQUIRE(std::system(fmt::format("tar -xJf '{}' -C '{}'", (*set / part).string() + ".tar.xz", folder.path().string()).c_str()) == 0);
    }
    check(test::cases_of_kind(folder.path(), "decoder"), &test::check_decoder, 71, kRefusedDecoders);
    check(test::cases_of_kind(folder.path(), "encoder"), &test::check_encoder, 22, kRefusedEncoders);
    check(test::cases_of_kind(folder.path(), "seq2seq"), &test::check_seq2seq, 10, kRefusedSeq2Seq);
    check(test::cases_of_kind(folder.path(), "vision"), &test::check_inputs, 8, kRefusedVision);
    check(test::cases_of_kind(folder.path(), "two-tower"), &test::check_inputs, 2, 0);
  }
}
