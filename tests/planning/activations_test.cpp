// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/activations.h"

#include <doctest/doctest.h>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"

namespace bigmodel {
namespace {

ActivationWidths widths_of(std::string_view model) {
  spec::SpecLibrary library(embedded::architectures_files());
  const std::optional<CatalogEntry> entry = find_catalog_entry(model);
  REQUIRE(entry.has_value());
  return activation_widths(build_meta_graph(library, parse_config(entry->config, "config.json"), {.class_name = "auto"}));
}

}  // namespace

TEST_SUITE("planning/activations") {
  TEST_CASE("widths of a llama: four heads' worth of attention, three of the gated MLP") {
    const ActivationWidths w = widths_of("meta-llama/Meta-Llama-3-8B");
    CHECK(w.hidden == 4096);
    CHECK(w.attention == 4096 + 2 * 1024 + 4096);
    CHECK(w.heads == 32);
    CHECK(w.feed_forward == 3 * 14336);
    CHECK(w.vocabulary == 128256);
    CHECK(w.experts == 0);
  }

  TEST_CASE("other families: fused projections, experts, latents, layers that hold their MLP, tied heads") {
    const ActivationWidths gpt2 = widths_of("gpt2");
    CHECK(gpt2.attention == 4 * 768);
    CHECK(gpt2.feed_forward == 3072);
    CHECK(gpt2.vocabulary == 50257);
    const ActivationWidths mixtral = widths_of("mistralai/Mixtral-8x7B-v0.1");
    CHECK(mixtral.feed_forward == 2 * 3 * 14336);
    CHECK(mixtral.experts == 8);
    const ActivationWidths oss = widths_of("openai/gpt-oss-20b");
    CHECK(oss.feed_forward == 4 * 3 * 2880);
    const ActivationWidths opt = widths_of("facebook/opt-1.3b");
    CHECK(opt.feed_forward == 8192);
    CHECK(opt.hidden == 2048);
    const ActivationWidths t5 = widths_of("t5-small");
    CHECK(t5.vocabulary == 32128);
    CHECK(t5.attention == 4 * 512);
    CHECK(widths_of("deepseek-ai/DeepSeek-V3").attention == 128 * 192 + 128 * 256 + 128 * 128);
    CHECK(widths_of("state-spaces/mamba-130m-hf").feed_forward == 2 * 1536);
  }

  TEST_CASE("a full-sequence float32 upcast of the logits is the peak: 4.2 GB for 8192 tokens of Llama-3") {
    const ActivationWidths w = widths_of("meta-llama/Meta-Llama-3-8B");
    const ActivationSize all = activation_size(w, {.tokens = 8192, .context = 8192, .dtype = DType::bfloat16, .all_logits = true});
    CHECK(all.logits_bytes == INT64_C(8192) * 128256 * (4 + 2));
    CHECK(all.peak_bytes == all.residual_bytes + all.logits_bytes);
    const ActivationSize last = activation_size(w, {.tokens = 8192, .context = 8192, .dtype = DType::bfloat16});
    CHECK(last.logits_bytes == INT64_C(128256) * 4);
    CHECK(last.peak_bytes == INT64_C(8192) * (2 * 4096 + 3 * 14336) * 2);
    const ActivationSize eager = activation_size(w, {.tokens = 1024, .context = 1024, .dtype = DType::bfloat16, .eager_attention = true});
    CHECK(eager.attention_bytes == INT64_C(1024) * 10240 * 2 + INT64_C(1024) * 1024 * 32 * (2 + 4));
  }

  TEST_CASE("layers with a window hold a pass's keys and values until their attention is through") {
    const ActivationWidths w = widths_of("mistralai/Mistral-7B-v0.1");
    CHECK(w.windowed == 2 * 1024);
    CHECK(widths_of("gpt2").windowed == 0);
    ActivationRequest request{.tokens = 100, .context = 100, .dtype = DType::float32};
    const std::int64_t later = activation_size(w, request).attention_bytes;
    request.drops_later = false;
    CHECK(later - activation_size(w, request).attention_bytes == 100 * 2048 * 4);
  }

  TEST_CASE("nonsense and overflow are errors") {
    const ActivationWidths w = widths_of("gpt2");
    CHECK_THROWS_AS(activation_size(w, {.tokens = 0}), UsageError);
    CHECK_THROWS_AS(activation_size(w, {.tokens = INT64_MAX / 4}), FormatError);
  }
}

}  // namespace bigmodel
