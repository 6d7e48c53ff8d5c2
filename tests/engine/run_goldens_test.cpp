// SPDX-License-Identifier: Apache-2.0
// Every model of the run goldens against the reference: a few from this repository, all of them where the large set is there.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "engine/run_case.h"
#include "engine/expected.h"
#include "support/plain_accelerator.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

void unpack(const std::filesystem::path& archive, const std::filesystem::path& folder) {
  REQUIRE(std::system(fmt::format("tar -xJf '{}' -C '{}'", archive.string(), folder.string()).c_str()) == 0);
}

void check(const std::vector<std::filesystem::path>& cases, test::CaseResult (*run)(const std::filesystem::path&), std::size_t count) {
  CHECK(cases.size() == count);
  for (const auto& path : cases) {
    CAPTURE(path.filename().string());
    const test::CaseResult result = run(path);
    CHECK(result.refused == "");
    for (const std::string& fault : result.faults) FAIL_CHECK(fault);
  }
}

/// As many cases of a kind as there are. A type that is refused by name is said, and no fault.
void check_found(const std::filesystem::path& set, const std::string& kind, test::CaseResult (*run)(const std::filesystem::path&)) {
  for (const auto& path : test::cases_of_kind(set, kind)) {
    CAPTURE(path.filename().string());
    const test::CaseResult result = run(path);
    if (!result.refused.empty()) MESSAGE("refused: ", result.refused);
    for (const std::string& fault : result.faults) FAIL_CHECK(fault);
  }
}

struct Counts {
  std::size_t decoders = 0, encoders = 0, seq2seq = 0, vision = 0, two_towers = 0, audio = 0, vision_language = 0, patches = 0;
};

void check_all(const std::filesystem::path& set, const Counts& counts) {
  check(test::cases_of_kind(set, "decoder"), &test::check_decoder, counts.decoders);
  check(test::cases_of_kind(set, "encoder"), &test::check_inputs, counts.encoders);
  check(test::cases_of_kind(set, "seq2seq"), &test::check_seq2seq, counts.seq2seq);
  check(test::cases_of_kind(set, "vision"), &test::check_inputs, counts.vision);
  check(test::cases_of_kind(set, "two-tower"), &test::check_inputs, counts.two_towers);
  check(test::cases_of_kind(set, "audio"), &test::check_inputs, counts.audio);
  check(test::cases_of_kind(set, "vlm"), &test::check_vision_language, counts.vision_language);
  check(test::cases_of_kind(set, "patches"), &test::check_inputs, counts.patches);
}

void check_own() {
  const test::TempFolder folder;
  unpack(test::golden_path("engine") / "cases.tar.xz", folder.path());
  check(test::cases_of_kind(test::golden_path("engine"), "decoder"), &test::check_decoder, 1);
  check_all(folder.path(), {.decoders = 1, .encoders = 1, .seq2seq = 1, .vision = 2, .audio = 1, .vision_language = 1});
  const test::TempFolder types;
  unpack(test::golden_path("engine") / "types.tar.xz", types.path());
  check_all(types.path(), {.decoders = 2, .encoders = 1, .seq2seq = 1, .two_towers = 1});
  const test::TempFolder tiny;
  unpack(test::golden_path("engine") / "types-tiny.tar.xz", tiny.path());
  check_all(tiny.path(), {.decoders = 3, .encoders = 2, .vision = 2, .two_towers = 1, .patches = 1});
}

void check_large() {
  const auto set = test::shared_path("goldens/run");
  if (!set) return;
  const test::TempFolder folder;
  for (const char* part : {"decoders-1-gpt", "decoders-2-llama", "decoders-3-moe", "decoders-4-recurrent", "encoders", "seq2seq", "vision-audio"}) {
    unpack((*set / part).string() + ".tar.xz", folder.path());
  }
  check_all(folder.path(), {.decoders = 71, .encoders = 22, .seq2seq = 10, .vision = 8, .two_towers = 2, .audio = 2, .vision_language = 2});
}

}  // namespace

TEST_SUITE("engine/run_goldens") {
  TEST_CASE("the models of this repository are equal") { check_own(); }

  // What make_cases.py made: BIGMODEL_RUN_CASES names its folder.
  TEST_CASE("the cases of a folder are equal") {
    const char* set = std::getenv("BIGMODEL_RUN_CASES");
    if (set == nullptr) return;
    check_found(set, "decoder", &test::check_decoder);
    check_found(set, "seq2seq", &test::check_seq2seq);
    check_found(set, "vlm", &test::check_vision_language);
    for (const char* kind : {"encoder", "vision", "two-tower", "audio", "patches"}) check_found(set, kind, &test::check_inputs);
  }

  TEST_CASE("the large set is equal") { check_large(); }

  // Through all that the engine does with a device, with the processor's operations as its kernels: what a block does behind their back shows.
  TEST_CASE("the models of this repository and the large set are equal on an accelerator") {
    const test::PlainAccelerator device;
    const test::OnAccelerator on(device);
    check_own();
    check_large();
  }
}
