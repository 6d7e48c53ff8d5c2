// SPDX-License-Identifier: Apache-2.0
// Whole models on an emulated card: the GPU's own kernels, the engine's placement, caches and recordings, against the reference.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/generation/decoding.h"
#include "engine/expected.h"
#include "engine/run_case.h"
#include "support/emulated_card.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

void unpack(const std::filesystem::path& archive, const std::filesystem::path& folder) {
  REQUIRE(std::system(fmt::format("tar -xJf '{}' -C '{}'", archive.string(), folder.string()).c_str()) == 0);
}

void check(const std::filesystem::path& set, const std::string& kind, test::CaseResult (*run)(const std::filesystem::path&)) {
  for (const auto& path : test::cases_of_kind(set, kind)) {
    CAPTURE(path.filename().string());
    const test::CaseResult result = run(path);
    CHECK(result.refused == "");
    for (const std::string& fault : result.faults) FAIL_CHECK(fault);
  }
}

void check_all(const std::filesystem::path& set) {
  check(set, "decoder", &test::check_decoder);
  check(set, "encoder", &test::check_inputs);
  check(set, "seq2seq", &test::check_seq2seq);
  check(set, "vlm", &test::check_vision_language);
  for (const char* kind : {"vision", "two-tower", "audio"}) check(set, kind, &test::check_inputs);
}

}  // namespace

TEST_SUITE("engine/emulated_run") {
  TEST_CASE("the models of this repository are equal in the kernels of a card") {
    const auto card = test::emulated_card();
    const test::OnAccelerator on(*card);
    const test::TempFolder folder;
    unpack(test::golden_path("engine") / "cases.tar.xz", folder.path());
    check(test::golden_path("engine"), "decoder", &test::check_decoder);
    check_all(folder.path());
    const test::TempFolder types;
    unpack(test::golden_path("engine") / "types.tar.xz", types.path());
    check_all(types.path());
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
      const test::TempFolder folder;
      unpack((*set / part).string() + ".tar.xz", folder.path());
      check_all(folder.path());
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
