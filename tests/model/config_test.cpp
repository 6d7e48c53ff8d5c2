// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/config.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/core/error.h"

using namespace bigmodel;

TEST_SUITE("model/config") {
  TEST_CASE("reads what decides about the description") {
    const Config c = parse_config(R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "auto_map": {},
      "quantization_config": {"quant_method": "fp8"}})", "config.json");
    CHECK(c.library == "transformers");
    CHECK(c.model_type == "llama");
    CHECK(c.architectures == std::vector<std::string>{"LlamaForCausalLM"});
    CHECK(c.has_auto_map);
    CHECK(c.quantization_method == "fp8");
  }

  TEST_CASE("a timm config becomes the arguments of its constructor") {
    const Config c = parse_config(R"({"architecture": "vit_tiny", "num_classes": 10, "global_pool": "avg", "model_args": {"depth": 3},
      "pretrained_cfg": {"input_size": [3, 384, 384], "fixed_input_size": true, "num_classes": 21}})", "config.json");
    CHECK(c.library == "timm");
    CHECK(c.model_type == "timm/vit_tiny");
    CHECK(*spec::find(c.data, "num_classes")->if_int() == 10);
    CHECK(spec::find(c.data, "img_size")->describe() == "[384, 384]");
    CHECK(*spec::find(c.data, "depth")->if_int() == 3);
    CHECK(*spec::find(c.data, "in_chans")->if_int() == 3);
    // A file of an older version is the record itself; a model that takes any size keeps its own grid.
    const Config old = parse_config(R"({"architecture": "vit_tiny", "num_classes": -1, "input_size": [4, 96, 64], "fixed_input_size": true})", "config.json");
    CHECK(*spec::find(old.data, "in_chans")->if_int() == 4);
    CHECK(spec::find(old.data, "img_size")->describe() == "[96, 64]");
    CHECK(spec::find(old.data, "num_classes") == nullptr);
    const Config loose = parse_config(R"({"architecture": "vit_tiny", "model_args": {"dynamic_img_size": true},
      "pretrained_cfg": {"input_size": [3, 384, 384], "fixed_input_size": true}})", "config.json");
    CHECK(spec::find(loose.data, "img_size") == nullptr);
  }

  TEST_CASE("refuses what is no config") {
    for (const char* text : {"[]", "3", "{}", R"({"model_type": 3})", R"({"model_type": ""})", R"({"model_type": "a", "model_type": "b"})",
                             R"({"model_type": "a", "architectures": "A"})", "\x80\x04\x95.", "PK\x03\x04"}) {
      CAPTURE(text);
      CHECK_THROWS_AS(parse_config(text, "config.json"), FormatError);
    }
    CHECK_THROWS_AS(parse_config(std::string(10000, '['), "config.json"), FormatError);
    CHECK_THROWS_AS(read_config("/dev/zero"), FormatError);
    CHECK_THROWS_AS(read_config("/nonexistent/config.json"), NotFoundError);
  }
}
