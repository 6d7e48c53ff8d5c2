// SPDX-License-Identifier: Apache-2.0
// Configs and indexes that were seen to mislead estimators: none of them may end as a quiet "fits".
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

RunResult estimate(const TempFolder& folder, const std::string& config, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"estimate-memory", folder.write("config.json", config).string()});
  return run_binary(more);
}

}  // namespace

TEST_SUITE("cli/estimate_traps") {
  TEST_CASE("total_size and total_parameters of an index are not believed: headers are summed") {
    const TempFolder folder;
    folder.write("config.json", R"({"model_type": "llama", "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}})");
    folder.write("a.safetensors", safetensors_file(R"({"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}})", "12345678"));
    // Twice the truth (DeepSeek-V3), a tied head counted again (gemma-3-27b-it), 550 GB of two shards (Agents-A1-4B).
    for (const char* metadata : {R"({"total_size": 16})", R"({"total_size": 8, "total_parameters": 28842036848})", R"({"total_size": 550700000000})"}) {
      folder.write("model.safetensors.index.json", std::string(R"({"metadata": )") + metadata + R"(, "weight_map": {"a": "a.safetensors"}})");
      const RunResult r = run_binary({"estimate-memory", folder.path().string(), "--exact", "--json"});
      CAPTURE(r.err);
      CHECK(r.exit_code == 0);
      CHECK(Json::parse(r.out)["stored"]["bytes"] == 8);
    }
    folder.write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}})");
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--exact"}).exit_code == 3);  // a missing shard
  }

  TEST_CASE("of two copies in one folder one is counted") {
    const TempFolder folder;
    folder.write("config.json", R"({"model_type": "llama"})");
    const std::string file = safetensors_file(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", "12345678");
    folder.write("model.safetensors", file);
    folder.write("consolidated.safetensors", file);
    CHECK(Json::parse(run_binary({"estimate-memory", folder.path().string(), "--exact", "--json"}).out)["checkpoint"]["bytes"] == 8);
  }

  TEST_CASE("packed elements are not parameters: both are said") {
    const TempFolder folder;
    const Json stored = Json::parse(estimate(folder, R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1, "vocab_size": 100,
        "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}})", {"--json"}).out)["stored"];
    const std::int64_t linear = 4 * 4096 * 4096 + 3 * 4096 * 11008, rest = 2 * 100 * 4096 + 3 * 4096;
    CHECK(stored["parameters"] == linear + rest);
    // Eight to an int32, a scale and an eighth of an int32 of zeros each 128.
    CHECK(stored["elements"] == linear / 8 + linear / 128 + linear / 128 / 8 + rest);
  }

  TEST_CASE("gpt-oss states a method and no bits: the method is known") {
    const Json json = Json::parse(run_binary({"estimate-memory", "openai/gpt-oss-120b", "--json"}).out);
    CHECK(json["stored"]["parameters"] == 116829156672);
    CHECK(json["stored"]["bytes"] == 65248815744);
  }

  TEST_CASE("a wrapper's quantisation holds for its text part, wherever it stands") {
    const TempFolder folder;
    const std::string text = R"("text_config": {"model_type": "gemma3_text", "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 512)";
    const std::string gptq = R"("quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128})";
    const auto stored = [&](const std::string& config) {
      const RunResult r = estimate(folder, config, {"--json"});
      CAPTURE(r.err);
      CHECK(r.exit_code == 0);
      return Json::parse(r.out)["stored"];
    };
    const Json outside = stored(R"({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], )" + gptq + ", " + text + "}}");
    const Json inside = stored(R"({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], )" + text + ", " + gptq + "}}");
    CHECK(outside["parts"][0]["form"] == "int4, groups of 128");
    CHECK(outside == inside);
    const RunResult both = estimate(folder, R"({"model_type": "gemma3", "quantization_config": {"quant_method": "awq"}, )" + text + ", " + gptq + "}}");
    CHECK(both.err.find("differ") != std::string::npos);
  }

  TEST_CASE("windows by layer that no description reads make the estimate incomplete") {
    const TempFolder folder;
    const std::string config = R"({"model_type": "llama", "num_hidden_layers": 2, "sliding_windows": [128, 0]})";
    CHECK(estimate(folder, config, {"--context", "100"}).err.find("'sliding_windows' is not read") != std::string::npos);
    CHECK(estimate(folder, config, {"--context", "100", "--strict"}).exit_code == 1);
    CHECK(estimate(folder, config, {"--context", "100", "--device", "80GiB", "--fits"}).exit_code == 1);
  }

  TEST_CASE("heads, windows and layer types that make no sense are errors") {
    const TempFolder folder;
    for (const char* config : {R"({"model_type": "llama", "num_attention_heads": 0})", R"({"model_type": "llama", "num_attention_heads": -4})",
                               R"({"model_type": "llama", "num_attention_heads": NaN})", R"({"model_type": "llama", "num_key_value_heads": 0})",
                               R"({"model_type": "llama", "num_key_value_heads": -1})", R"({"model_type": "gemma2", "sliding_window": 0})",
                               R"({"model_type": "gemma2", "sliding_window": -5})", R"({"model_type": "gemma2", "num_hidden_layers": 4, "layer_types": ["full_attention"]})",
                               R"({"model_type": "llama", "head_dim": -2})", R"({"model_type": "llama", "hidden_size": -1})"}) {
      CAPTURE(config);
      const RunResult r = estimate(folder, config, {"--context", "100", "--device", "80GiB", "--fits"});
      CHECK(r.exit_code == 6);
      CHECK(r.out.empty());
    }
    // A scalar's place taken by a list: nothing is promised.
    CHECK(estimate(folder, R"({"model_type": "mistral", "num_hidden_layers": 2, "sliding_window": [4096, 4096]})", {"--device", "80GiB", "--fits"}).exit_code == 1);
    // Absent key-value heads are as many as the heads, not one.
    const auto bytes = [&](const char* config) { return Json::parse(estimate(folder, config, {"--context", "10", "--json"}).out)["inference"]["dtypes"][0]["kv_cache"]["bytes"]; };
    CHECK(bytes(R"({"model_type": "llama", "num_attention_heads": 8, "hidden_size": 64, "num_hidden_layers": 1})") == 10 * 64 * 2 * 2);
  }

  TEST_CASE("heads and windows of other kinds: priced as they are, or no quiet fit") {
    const TempFolder folder;
    const auto fits = [&](const std::string& config) { return estimate(folder, config, {"--context", "100", "--device", "80GiB", "--fits"}); };
    // A type that does not read the key: the weights or the cache are of another width, and --strict says no.
    for (const char* key : {R"("v_head_dim": 64)", R"("global_head_dim": 512)", R"("attn_output_gate": true)", R"("num_global_key_value_heads": 2)"}) {
      CAPTURE(key);
      const std::string config = std::string(R"({"model_type": "llama", "num_hidden_layers": 2, )") + key + "}";
      CHECK(estimate(folder, config).err.find("is not used by model type 'llama'") != std::string::npos);
      CHECK(estimate(folder, config, {"--strict"}).exit_code == 1);
    }
    // Types that do.
    CHECK(estimate(folder, R"({"model_type": "mimo_v2_flash", "num_hidden_layers": 2, "v_head_dim": 64})", {"--strict", "--context", "10"}).err.find("v_head_dim") == std::string::npos);
    CHECK(estimate(folder, R"({"model_type": "gemma4_text", "num_hidden_layers": 6, "global_head_dim": 128})", {"--strict", "--context", "10"}).exit_code == 0);
    // A window that is switched off is saved as 0.
    CHECK(estimate(folder, R"({"model_type": "qwen2_moe", "num_hidden_layers": 2, "use_sliding_window": false, "sliding_window": 0})", {"--strict", "--context", "10"}).exit_code == 0);
    // Its cache is not told: said, and no quiet fit.
    const RunResult untold = estimate(folder, R"({"model_type": "xlstm", "architectures": ["xLSTMForCausalLM"], "num_hidden_layers": 2})", {"--strict", "--context", "10"});
    CHECK(untold.exit_code == 1);
    CHECK(untold.err.find("no layer says what it keeps") != std::string::npos);
    CHECK(estimate(folder, R"({"model_type": "qwen3_next", "num_hidden_layers": 4, "attn_output_gate": true})", {"--strict", "--context", "10"}).exit_code == 0);
    // A pattern by number is read, one by list or of nothing is an error.
    CHECK(fits(R"({"model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window_pattern": 2})").exit_code == 0);
    for (const char* pattern : {"[1, 1, 0, 0]", "0", R"("LLLG")"}) {
      CAPTURE(pattern);
      const RunResult r = fits(std::string(R"({"model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window_pattern": )") + pattern + "}");
      CHECK(r.exit_code == 6);
      CHECK(r.err.find("gemma.arch") != std::string::npos);
    }
  }

  TEST_CASE("layers of multi-token prediction are said not to be counted") {
    const TempFolder folder;
    const Json json = Json::parse(estimate(folder, R"({"model_type": "deepseek_v3", "num_hidden_layers": 4, "num_nextn_predict_layers": 1})", {"--json"}).out);
    CHECK(json["assumptions"].dump().find("multi-token prediction") != std::string::npos);
    // Those that the description knows are counted beside: attention, experts, two embeddings and what joins them.
    const Json v3 = Json::parse(run_binary({"estimate-memory", "deepseek-ai/DeepSeek-V3", "--json"}).out);
    CHECK(v3["prediction_layers"] == Json::parse(R"({"layers": 1, "parameters": 13463426304, "elements": 13464128568, "bytes": 15424227552})"));
    CHECK(v3["parameters"] == 670099725312);
    CHECK(faults_of("estimate-memory", v3.dump()) == "");
    CHECK(run_binary({"estimate-memory", "deepseek-ai/DeepSeek-V3"}).out.find("beside it 1 layer of multi-token prediction: 13,463,426,304 parameters") != std::string::npos);
    // A type that inherits from one is another: said, not guessed.
    const Json other = Json::parse(estimate(folder, R"({"model_type": "mimo_v2_flash", "num_hidden_layers": 2, "num_nextn_predict_layers": 3})", {"--json"}).out);
    CHECK(other["assumptions"].dump().find("3 layers of multi-token prediction") != std::string::npos);
    CHECK(!other.contains("prediction_layers"));
    for (const char* nonsense : {"0", "-1", "null", R"("one")", "1.5"}) {
      CAPTURE(nonsense);
      const RunResult none = estimate(folder, fmt::format(R"({{"model_type": "deepseek_v3", "num_hidden_layers": 4, "num_nextn_predict_layers": {}}})", nonsense), {"--json"});
      CHECK(none.exit_code == 0);
      CHECK(!Json::parse(none.out).contains("prediction_layers"));
    }
    CHECK(estimate(folder, R"({"model_type": "deepseek_v3", "num_hidden_layers": 4, "num_nextn_predict_layers": 100000000000})").exit_code == 6);
  }
}

}  // namespace bigmodel::test
