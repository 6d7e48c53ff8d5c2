// SPDX-License-Identifier: Apache-2.0
// Every model of the run goldens against the reference: a few from this repository, all of them where the large set is there.
#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/check_cases.h"
#include "engine/expected.h"
#include "support/plain_accelerator.h"
#include "support/shared_folder.h"

using namespace bigmodel;

namespace {

using Counts = std::map<std::string, std::size_t>;

void expect(const Counts& have, const Counts& want) {
  CHECK(have.size() == want.size());
  for (const auto& [kind, count] : want) {
    CAPTURE(kind);
    CHECK((have.contains(kind) ? have.at(kind) : 0) == count);
  }
}

void check_own() {
  const auto golden = test::golden_path("engine");
  expect(test::check_cases(golden), {{"decoder", 1}});
  expect(test::check_packed_cases(golden / "cases.tar.xz"), {{"decoder", 1}, {"encoder", 1}, {"seq2seq", 1}, {"vision", 2}, {"audio", 1}, {"vlm", 1}});
  expect(test::check_packed_cases(golden / "types.tar.xz"), {{"decoder", 2}, {"encoder", 1}, {"seq2seq", 1}, {"two-tower", 1}});
  expect(test::check_packed_cases(golden / "types-tiny.tar.xz"), {{"decoder", 3}, {"encoder", 2}, {"vision", 2}, {"two-tower", 1}, {"patches", 1}});
}

void check_large() {
  const auto set = test::shared_path("goldens/run");
  if (!set) return;
  Counts all;
  for (const char* part : {"decoders-1-gpt", "decoders-2-llama", "decoders-3-moe", "decoders-4-recurrent", "encoders", "seq2seq", "vision-audio"}) {
    for (const auto& [kind, count] : test::check_packed_cases((*set / part).string() + ".tar.xz")) all[kind] += count;
  }
  expect(all, {{"decoder", 71}, {"encoder", 22}, {"seq2seq", 10}, {"vision", 8}, {"two-tower", 2}, {"audio", 2}, {"vlm", 2}});
}

}  // namespace

TEST_SUITE("engine/run_goldens") {
  TEST_CASE("the models of this repository are equal") { check_own(); }

  // What make_cases.py made: BIGMODEL_RUN_CASES names its folder.
  TEST_CASE("the cases of a folder are equal") {
    if (const char* set = std::getenv("BIGMODEL_RUN_CASES")) test::check_cases(set, true);
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
