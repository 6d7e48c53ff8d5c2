// SPDX-License-Identifier: Apache-2.0
// Whole models on an emulated card: the GPU's own kernels, the engine's placement, caches and recordings, against the reference.
#include <doctest/doctest.h>

#include <cstdlib>

#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/generation/decoding.h"
#include "engine/check_cases.h"
#include "engine/expected.h"
#include "engine/run_case.h"
#include "support/emulated_card.h"
#include "support/shared_folder.h"

using namespace bigmodel;

TEST_SUITE("engine/emulated_run") {
  TEST_CASE("the models of this repository are equal in the kernels of a card") {
    const auto card = test::emulated_card();
    const test::OnAccelerator on(*card);
    const auto golden = test::golden_path("engine");
    test::check_cases(golden);
    for (const char* archive : {"cases.tar.xz", "types.tar.xz", "types-tiny.tar.xz"}) test::check_packed_cases(golden / archive);
    CHECK(card->counts().launches > 0);
    CHECK(card->counts().replays > 0);
  }

  // BIGMODEL_EMULATE=all: minutes.
  TEST_CASE("the large set is equal in the kernels of a card") {
    const char* wanted = std::getenv("BIGMODEL_EMULATE");
    const auto set = test::shared_path("goldens/run");
    if (wanted == nullptr || !set) return;
    const auto card = test::emulated_card();
    const test::OnAccelerator on(*card);
    for (const char* part : {"decoders-1-gpt", "decoders-2-llama", "decoders-3-moe", "decoders-4-recurrent", "encoders", "seq2seq", "vision-audio"}) {
      if (std::string(wanted) != "all" && std::string(wanted) != part) continue;
      test::check_packed_cases((*set / part).string() + ".tar.xz");
    }
  }

  TEST_CASE("a recorded pass is the pass that it was recorded from, bit for bit, and takes no new memory") {
    const auto run = [](bool can_record, std::vector<std::int64_t>& ids) {
      const auto card = test::emulated_card({.can_record = can_record});
      const test::OnAccelerator on(*card);
      const auto folders = test::cases_of_kind(test::golden_path("engine"), "decoder");
      REQUIRE(!folders.empty());
      const auto model = test::load_case(folders.front(), DType::float32, "cpu");
      REQUIRE(model->only_accelerator() == card.get());
      Decoding decoding(*model, pad_left({{1, 5, 9, 2}}, 0), 12, true, {});
      Tensor logits = decoding.run_prompt(false);
      std::vector<float> all;
      std::uint64_t allocations = 0;
      for (int step = 0; step < 12; ++step) {
        const float* last = logits.f32();
        const std::int64_t next = std::max_element(last, last + logits.width()) - last;
        ids.push_back(next);
        if (step == 6) allocations = card->counts().allocations;
        logits = decoding.step(std::span(&next, 1));
        all.insert(all.end(), logits.f32(), logits.f32() + logits.count());
      }
      CHECK(decoding.is_recorded() == can_record);
      if (can_record) CHECK(card->counts().allocations == allocations);
      CHECK(card->counts().recordings == (can_record ? 1 : 0));
      return all;
    };
    std::vector<std::int64_t> recorded_ids, plain_ids;
    const std::vector<float> recorded = run(true, recorded_ids);
    const std::vector<float> plain = run(false, plain_ids);
    CHECK(recorded_ids == plain_ids);
    CHECK(recorded == plain);
  }
}
