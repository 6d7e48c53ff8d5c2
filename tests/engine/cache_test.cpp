// SPDX-License-Identifier: Apache-2.0
// Caches of layers with a window: what they keep, and that what they dropped is missed by nobody.
#include "bigmodel/engine/cache.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/auto_device_map.h"
#include "bigmodel/engine/from_pretrained.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/planning/kv_cache.h"

namespace bigmodel::test {
namespace {

constexpr std::int64_t kKvHeads = 2, kHeads = 4, kHeadDim = 12, kValueDim = 8;

std::vector<float> random_floats(std::int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

/// The same tokens through a state that forgets and one that does not.
class Pair {
 public:
  Pair(const KeyReach& reach, DType dtype, std::int64_t batch, std::int64_t expected)
      : reach_(reach), dtype_(dtype), batch_(batch), some_(batch, kKvHeads, kHeadDim, kValueDim, cpu_device(), dtype),
        all_(batch, kKvHeads, kHeadDim, kValueDim, cpu_device(), dtype) {
    some_.limit(reach);
    some_.expect(expected);
  }

  /// Whether both give the same for `count` more tokens; the first row begins with `padding` columns of none.
  bool agree(std::int64_t count, std::int64_t padding = 0) {
    const std::vector<float> k = random_floats(batch_ * count * kKvHeads * kHeadDim, random_), v = random_floats(batch_ * count * kKvHeads * kValueDim, random_);
    const std::vector<float> q = random_floats(batch_ * count * kHeads * kHeadDim, random_);
    for (KeyValueState* s : {&some_, &all_}) s->append(k.data(), v.data(), count);
    ForwardState state;
    state.length = count;
    std::vector<std::uint8_t> valid(static_cast<std::size_t>(batch_ * some_.length()), 1);
    std::fill(valid.begin(), valid.begin() + std::min(padding, some_.length()), std::uint8_t{0});
    const auto outputs = [&](const KeyValueState& s) {
      ops::AttentionInput in = s.input(state);
      in.q = q.data();
      in.heads = kHeads;
      std::vector<float> out(static_cast<std::size_t>(batch_ * count * kHeads * kValueDim));
      ops::attention({}, in, {.scale = 0.4F, .window = reach_.window, .chunk = reach_.chunk, .key_valid = valid.data()}, out.data(), dtype_);
      return out;
    };
    const bool same = outputs(some_) == outputs(all_);
    some_.trim();
    return same;
  }

  void select(const std::vector<std::int64_t>& rows) {
    for (KeyValueState* s : {&some_, &all_}) s->select(rows);
    batch_ = static_cast<std::int64_t>(rows.size());
  }

  KeyValueState& some() { return some_; }

 private:
  KeyReach reach_;
  DType dtype_;
  std::int64_t batch_;
  KeyValueState some_, all_;
  std::mt19937 random_{7};
};

/// Every other layer with a window of 20.
std::unique_ptr<LoadedModel> windowed(const char* type) {
  static spec::SpecLibrary library(embedded::architectures_files());
  const std::string config = fmt::format(R"({{"model_type": "{}", "vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 20{}}})", type,
                                         std::string(type) == "mistral" ? "" : R"(, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"])");
  return from_config(library, parse_config(config, "config.json"), "float32", 5);
}

std::vector<std::int64_t> prompt(std::int64_t length, std::int64_t seed) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < length; ++i) out.push_back((i * i * 7 + i * seed + 3) % 90);
  return out;
}

std::int64_t planned(const LoadedModel& model, std::int64_t context, std::int64_t batch, DType dtype) {
  AutoMapRequest request;
  request.context = context;
  request.batch = batch;
  request.processor_cache_dtype = dtype;
  return cache_size(plan_cache(model.graph()), engine_placement(request).cache).total_bytes;
}

}  // namespace

TEST_SUITE("engine/cache") {
  TEST_CASE("a state that forgets what is out of reach gives the same bits, within its room") {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
      for (const KeyReach reach : {KeyReach{.window = 1}, KeyReach{.window = 5}, KeyReach{.window = 20}, KeyReach{.window = 150}, KeyReach{.chunk = 16}, KeyReach{.window = 9, .chunk = 24}}) {
        for (const std::int64_t first : {1, 30, 400}) {
          for (const std::int64_t expected : {0, 700}) {
            CAPTURE(name(dtype));
            CAPTURE(reach.window);
            CAPTURE(reach.chunk);
            CAPTURE(first);
            Pair pair(reach, dtype, 2, expected);
            const std::int64_t most = reach.chunk > 0 ? kept_window_tokens(reach.chunk, true) : kept_window_tokens(reach.window, false);
            bool same = pair.agree(first, 13), bounded = pair.some().capacity() <= most;
            for (int i = 0; i < 150; ++i) {
              same = same && pair.agree(1, 13);
              bounded = bounded && pair.some().capacity() <= most;
            }
            // More tokens at once, as many as there are in a window and more.
            same = same && pair.agree(7, 13) && pair.agree(90, 13) && pair.agree(1, 13);
            CHECK(same);
            CHECK(bounded);
            CHECK(pair.some().capacity() <= most);
            CHECK(pair.some().size_bytes() == static_cast<std::uint64_t>(byte_count(dtype, pair.some().capacity() * 2 * kKvHeads * (kHeadDim + kValueDim))));
            CHECK(pair.some().first_key() > 0);
            pair.select({1, 1, 0});
            CHECK(pair.agree(1));
            CHECK(pair.agree(60));
          }
        }
      }
    }
  }

  TEST_CASE("what is expected to fit gets no more room, and a long prompt no more than it needs") {
    Pair small({.window = 20}, DType::float32, 1, 30);
    CHECK(small.agree(10));
    CHECK(small.some().capacity() == 30);
    Pair large({.window = 20}, DType::float32, 1, 5000);
    CHECK(large.agree(10));
    CHECK(large.some().capacity() == 52);
    // It moves in place, once in 33 tokens.
    const float* place = large.some().keys();
    std::int64_t moves = 0;
    for (int i = 0; i < 330; ++i) {
      const std::int64_t before = large.some().first_key();
      CHECK(large.agree(1));
      moves += large.some().first_key() != before ? 1 : 0;
    }
    CHECK(moves == 9);
    CHECK(large.some().keys() == place);
    KeyValueState prompt(1, 1, 4, 4);
    prompt.limit({.window = 20});
    prompt.expect(5000);
    const std::vector<float> rows(4000, 1.0F);
    prompt.append(rows.data(), rows.data(), 1000);
    CHECK(prompt.capacity() == 1000);
    CHECK(prompt.first_key() == 0);
    prompt.trim();
    CHECK(prompt.capacity() == 52);
    CHECK(prompt.first_key() == 981);
    CHECK(prompt.length() == 1000);
  }

  TEST_CASE("nothing goes back to where keys are gone") {
    Pair pair({.window = 20}, DType::float32, 1, 0);
    CHECK(pair.agree(100));
    CHECK(pair.some().first_key() == 81);
    CHECK_THROWS_WITH_AS(pair.some().set_length(99), doctest::Contains("KV cache: cannot go back that far, expected a token that sees none before 81, got 99"), UsageError);
    CHECK(pair.agree(1));
    CHECK_NOTHROW(pair.some().set_length(100));
    CHECK(pair.some().length() == 100);
  }

  TEST_CASE("models with windows say the same with a cache as without, and keep what was planned") {
    for (const char* type : {"mistral", "gemma3_text"}) {
      CAPTURE(type);
      const std::unique_ptr<LoadedModel> model = windowed(type);
      for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
        CAPTURE(name(dtype));
        GenerateOptions options;
        options.max_new_tokens = 150;
        options.sample = true;
        options.logprobs = true;
        options.cache_dtype = dtype;
        // One long prompt, and two that are padded.
        for (const TokenBatch& batch : {pad_left({prompt(70, 1)}, 0), pad_left({prompt(9, 2), prompt(33, 3)}, 0)}) {
          options.use_cache = true;
          const GenerateResult with = generate(*model, batch, options);
          CHECK(static_cast<std::int64_t>(with.cache_bytes) == planned(*model, batch.length + 150, batch.rows, dtype));
          options.use_cache = false;
          const GenerateResult without = generate(*model, batch, options);
          CHECK(with.ids == without.ids);
          CHECK(with.logprobs == without.logprobs);
        }
      }
    }
  }

  TEST_CASE("where accelerators take part, windows are planned whole") {
    AutoMapRequest request;
    CHECK(!engine_placement(request).cache.on_accelerators);
    request.accelerator_bytes.emplace_back(0, 1000);
    CHECK(engine_placement(request).cache.on_accelerators);
  }

  TEST_CASE("beams reorder windows, and generation keeps no more however long it goes on") {
    const std::unique_ptr<LoadedModel> model = windowed("mistral");
    GenerateOptions options;
    options.max_new_tokens = 90;
    options.beams = 3;
    const TokenBatch batch = pad_left({prompt(40, 1), prompt(25, 4)}, 0);
    const GenerateResult with = generate(*model, batch, options);
    CHECK(static_cast<std::int64_t>(with.cache_bytes) == planned(*model, 130, 6, DType::float32));
    options.use_cache = false;
    CHECK(generate(*model, batch, options).ids == with.ids);
    options = {};
    options.max_new_tokens = 20;
    const std::uint64_t few = generate(*model, pad_left({prompt(40, 1)}, 0), options).cache_bytes;
    options.max_new_tokens = 300;
    CHECK(generate(*model, pad_left({prompt(40, 1)}, 0), options).cache_bytes == few);
  }
}

}  // namespace bigmodel::test
