// SPDX-License-Identifier: Apache-2.0
// Quantised checkpoints against the reference's values, and methods that are refused.
#include "bigmodel/engine/packed_weight.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/infer.h"
#include "engine/expected.h"
#include "support/shared_folder.h"

using namespace bigmodel;

namespace {

QuantizationMethod method_of(const std::string& quantization) {
  return quantization_method(parse_config(fmt::format(R"({{"model_type": "llama", "quantization_config": {}}})", quantization), "config.json"));
}

Tensor logits_of(LoadedModel& model, const test::Expected& expected) {
  return infer(model, {{"input_ids", test::input_of(expected, "input_ids")}}).front().second;
}

}  // namespace

TEST_SUITE("engine/packed_weight") {
  TEST_CASE("quantised checkpoints run as the values that they stand for") {
    for (const char* name : {"fp8", "mxfp4", "bitsandbytes", "compressed-tensors"}) {
      CAPTURE(name);
      const std::filesystem::path folder = test::golden_path("engine-quantised") / name;
      const test::Expected expected(folder);
      const auto model = test::load_case(folder, DType::float32, "cpu");
      const Tensor logits = logits_of(*model, expected);
      CHECK(test::largest_difference(test::floats_of(logits), expected.floats("logits")) <= 1e-4);
      GenerateOptions options;
      options.max_new_tokens = 8;
      CHECK(generate(*model, pad_left({expected.ids("input_ids")}, 0), options).ids.front() == expected.ids("greedy_ids"));
      const auto streamed = test::load_case(folder, DType::float32, "disk");
      CHECK(std::memcmp(logits_of(*streamed, expected).bytes(), logits.bytes(), static_cast<std::size_t>(logits.count()) * sizeof(float)) == 0);
      const auto narrow = test::load_case(folder, DType::bfloat16, "cpu");
      CHECK(test::largest_difference(test::floats_of(logits_of(*narrow, expected)), expected.floats("logits")) <= 0.1);
    }
  }

  TEST_CASE("every other method is refused by its name") {
    for (const char* quantization : {R"({"quant_method": "gptq", "bits": 4})", R"({"quant_method": "awq"})", R"({"quant_method": "bitsandbytes", "load_in_4bit": true})",
                                     R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})", R"({"quant_method": "hqq"})", "{}", "3"}) {
      CAPTURE(quantization);
      CHECK_THROWS_AS(method_of(quantization), UnsupportedError);
    }
    CHECK_THROWS_WITH_AS(method_of(R"({"quant_method": "gptq"})"), doctest::Contains("'gptq'"), UnsupportedError);
    CHECK_THROWS_AS(method_of(R"({"quant_method": "fp8", "weight_block_size": [0, 128]})"), FormatError);
    CHECK_THROWS_AS(method_of(R"({"quant_method": "fp8", "weight_block_size": 128})"), FormatError);
    CHECK(method_of("null").kind == QuantizationMethod::Kind::none);
  }

  TEST_CASE("a quantised tensor without its factors, or with others, is refused") {
    CheckpointTensor values;
    values.name = "w.weight";
    values.dtype = DType::float8_e4m3fn;
    values.shape = {40, 40};
    CheckpointTensor factors;
    factors.name = "w.weight_scale_inv";
    factors.dtype = DType::float32;
    const QuantizationMethod method{QuantizationMethod::Kind::fp8_blocks, 32, 32};
    const auto find = [&](const std::string& name) -> const CheckpointTensor* { return name == values.name ? &values : name == factors.name ? &factors : nullptr; };
    factors.shape = {2, 2};
    CHECK(bool(find_packed_weight(method, "w.weight", find)));
    for (const Shape& wrong : {Shape{1, 2}, Shape{2}, Shape{4}, Shape{3, 3}, Shape{}, Shape{0, 2}}) {
      factors.shape = wrong;
      CHECK_THROWS_AS(find_packed_weight(method, "w.weight", find), FormatError);
    }
    factors.name = "another";
    CHECK_THROWS_WITH_AS(find_packed_weight(method, "w.weight", find), doctest::Contains("w.weight_scale_inv"), FormatError);
    values.dtype = DType::bfloat16;
    CHECK_FALSE(bool(find_packed_weight(method, "w.weight", find)));
  }
}
