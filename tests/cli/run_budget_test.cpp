// SPDX-License-Identifier: Apache-2.0
// `bigmodel run` within the memory that it is given, and with checkpoints whose values are not all there or no numbers.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

/// Llama's layers of random bfloat16 weights.
std::string make_llama(const TempFolder& folder, int width, int layers) {
  folder.write("config.json", fmt::format(R"({{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 2000, "hidden_size": {}, "intermediate_size": {},
    "num_hidden_layers": {}, "num_attention_heads": 8, "num_key_value_heads": 8, "tie_word_embeddings": false}})", width, 4 * width, layers));
  const std::string model = (folder / "m").string();
  REQUIRE(run_binary({"init", (folder / "config.json").string(), "--class", "auto", "--dtype", "bfloat16", "-o", model}).exit_code == 0);
  return model;
}

std::uint64_t weight_bytes(const std::string& model) { return open_checkpoint(model).tensor_bytes(); }

/// The program with so much private writable memory (RLIMIT_DATA) and no more.
RunResult run_limited(std::vector<std::string> args, std::uint64_t data_bytes) {
  args.insert(args.begin(), {fmt::format("--data={}", data_bytes), bigmodel_binary()});
  return run_binary(args, {.binary = "/usr/bin/prlimit", .input = {}});
}

/// Overwrites a float32 or bfloat16 tensor's first element.
void spoil(const std::string& model, const char* name, std::uint32_t float_bits) {
  const Checkpoint checkpoint = open_checkpoint(model);
  const CheckpointTensor* tensor = checkpoint.find(name);
  REQUIRE(tensor != nullptr);
  const auto bits = static_cast<std::uint16_t>(float_bits >> 16);
  std::fstream file(checkpoint.files[tensor->file].path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(tensor->offset));
  file.write(reinterpret_cast<const char*>(&bits), sizeof bits);
}

}  // namespace

TEST_SUITE("cli/run_budget") {
  TEST_CASE("a model three times its allowed RAM runs within it, under the kernel's own limit") {
    const TempFolder folder;
    const std::string model = make_llama(folder, 512, 16);
    const std::uint64_t weights = weight_bytes(model), budget = weights / 3;
    CHECK(weights > 130'000'000);
    const std::vector<std::string> base = {"run", model, "--ids", "1,2,3", "--greedy", "--max-new-tokens", "3", "--json", "--threads", "2"};
    const Json whole = Json::parse(run_binary(base).out);
    // What was foreseen is what was kept, and what the process took in all.
    CHECK(whole.at("predicted").at("kv_cache_bytes") == whole.at("kv_cache_bytes"));
    const auto foreseen = whole.at("predicted").at("peak_bytes").get<double>() + whole.at("predicted").at("program_bytes").get<double>();
    CHECK(foreseen == doctest::Approx(whole.at("peak_rss_bytes").get<double>()).epsilon(0.05));
    std::vector<std::string> args = base;
    args.insert(args.end(), {"--max-memory", fmt::format("cpu={}", budget)});
    // Beside the budget: the program with its descriptions, and the stacks of its threads, of 8 MiB each.
    constexpr std::uint64_t kBeside = std::uint64_t{64} << 20;
    const RunResult r = run_limited(args, budget + kBeside);
    REQUIRE_MESSAGE(r.exit_code == 0, r.err);
    const Json json = Json::parse(r.out);
    CHECK(json.at("output_ids") == whole.at("output_ids"));
    CHECK(json.at("placement").at("disk_bytes").get<std::uint64_t>() > weights / 2);
    CHECK(json.at("predicted").at("peak_bytes").get<std::uint64_t>() <= budget);
    const auto peak = json.at("peak_rss_bytes").get<std::uint64_t>();
    CHECK(peak <= budget + (std::uint64_t{40} << 20));
    MESSAGE(weights << " bytes of weights, " << budget << " allowed, peak " << peak);
    // The limit is one: all in RAM breaks it.
    std::vector<std::string> too_much = base;
    too_much.insert(too_much.end(), {"--device-map", "cpu"});
    CHECK(run_limited(too_much, budget + kBeside).exit_code == 7);
    // Too little for the stacks of many threads: no bug of ours.
    std::vector<std::string> many(base.begin(), base.end() - 1);
    many.insert(many.end(), {"64", "--device-map", "disk"});
    const RunResult starved = run_limited(many, std::uint64_t{200} << 20);
    CHECK(starved.exit_code == 7);
    CHECK_MESSAGE(starved.err.find("no thread could be started") != std::string::npos, starved.err);
  }

  TEST_CASE("where two slots do not fit one does, and what does not fit names the layer") {
    const TempFolder folder;
    const std::string model = make_llama(folder, 512, 4);
    const std::vector<std::string> base = {"run", model, "--ids", "1,2,3", "--greedy", "--max-new-tokens", "3", "--logprobs", "--json", "--threads", "2"};
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), base.begin(), base.end());
      return run_binary(more);
    };
    const Json whole = Json::parse(with({}).out);
    const Json two = Json::parse(with({"--device-map", "disk"}).out).at("predicted");
    const auto bytes = [](const Json& json, const char* key) { return json.at(key).get<std::int64_t>(); };
    const std::int64_t slot = bytes(two, "slot_bytes") / 2, beside = bytes(two, "kv_cache_bytes") + bytes(two, "workspace_bytes");
    // Room for two; for one and a half; for none.
    const RunResult both = with({"--max-memory", fmt::format("cpu={}", beside + 2 * slot)});
    REQUIRE_MESSAGE(both.exit_code == 0, both.err);
    CHECK(bytes(Json::parse(both.out).at("predicted"), "slot_bytes") == 2 * slot);
    CHECK(both.err.find("not ahead") == std::string::npos);
    const std::int64_t budget = beside + slot * 3 / 2;
    const RunResult one = with({"--max-memory", fmt::format("cpu={}", budget)});
    REQUIRE_MESSAGE(one.exit_code == 0, one.err);
    CHECK(one.err.find(" from disk and not ahead (there is room for one slot), peak ") != std::string::npos);
    const Json json = Json::parse(one.out);
    CHECK(faults_of("run", one.out) == "");
    CHECK(json.at("output_ids") == whole.at("output_ids"));
    CHECK(json.at("logprobs") == whole.at("logprobs"));
    CHECK(bytes(json.at("predicted"), "slot_bytes") == slot);
    CHECK(bytes(json.at("predicted"), "peak_bytes") <= budget);
    // The slots that there were.
    const auto text_of = [&](std::int64_t bytes_of_cpu) {
      return run_binary({"run", model, "--ids", "1,2,3", "--greedy", "--max-new-tokens", "3", "--max-memory", fmt::format("cpu={}", bytes_of_cpu)}).err;
    };
    const auto slots = [](std::int64_t count_bytes) { return fmt::format(" through {:.1f}", static_cast<double>(count_bytes) / (1 << 20)); };   // rounded up to blocks of the disk
    CHECK_MESSAGE(text_of(budget).find(slots(slot)) != std::string::npos, text_of(budget));
    CHECK_MESSAGE(text_of(beside + 2 * slot).find(slots(2 * slot)) != std::string::npos, text_of(beside + 2 * slot));
    const RunResult none = with({"--max-memory", fmt::format("cpu={}", beside + slot * 9 / 10)});
    CHECK(none.exit_code == 7);
    CHECK_MESSAGE(none.err.find("and a slot for the largest layer, 'model.layers.0' of ") != std::string::npos, none.err);
    CHECK(none.err.find(" are missing") != std::string::npos);
    CHECK(none.err.find("--kv-dtype") == std::string::npos);   // hints are of options that run has
  }

  TEST_CASE("windows keep no more than was foreseen, whatever the prompt's length, and estimate-memory says the same") {
    const TempFolder folder;
    folder.write("config.json", R"({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "vocab_size": 2000, "hidden_size": 64, "intermediate_size": 96,
      "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 20, "tie_word_embeddings": false})");
    const std::string model = (folder / "m").string();
    REQUIRE(run_binary({"init", (folder / "config.json").string(), "--class", "auto", "--dtype", "bfloat16", "-o", model}).exit_code == 0);
    for (const int prompt : {5, 400}) {
      CAPTURE(prompt);
      std::string ids = "1";
      for (int i = 1; i < prompt; ++i) ids += fmt::format(",{}", i * 37 % 2000);
      const RunResult r = run_binary({"run", model, "--ids", ids, "--greedy", "--max-new-tokens", "100", "--json"});
      REQUIRE_MESSAGE(r.exit_code == 0, r.err);
      const Json json = Json::parse(r.out);
      CHECK(json.at("kv_cache_bytes") == (20 + 32) * 3 * 2 * 2 * 16 * 4);
      CHECK(json.at("predicted").at("kv_cache_bytes") == json.at("kv_cache_bytes"));
      const RunResult streamed = run_binary({"run", model, "--ids", ids, "--greedy", "--max-new-tokens", "100", "--json", "--device-map", "disk"});
      REQUIRE_MESSAGE(streamed.exit_code == 0, streamed.err);
      CHECK(Json::parse(streamed.out).at("output_ids") == json.at("output_ids"));
      const RunResult estimate = run_binary({"estimate-memory", model, "--engine", "bigmodel", "--context", std::to_string(prompt + 100), "--json"});
      REQUIRE_MESSAGE(estimate.exit_code == 0, estimate.err);
      CHECK(Json::parse(estimate.out).at("inference").at("dtypes").at(0).at("kv_cache").at("bytes") == json.at("kv_cache_bytes"));
    }
  }

  TEST_CASE("--check refuses NaN and infinite weights by name") {
    const TempFolder folder;
    const std::string model = make_llama(folder, 32, 2);
    const std::vector<std::string> args = {"run", model, "--ids", "1,2,3", "--max-new-tokens", "1", "--check"};
    CHECK(run_binary(args).exit_code == 0);
    spoil(model, "model.layers.1.mlp.up_proj.weight", std::bit_cast<std::uint32_t>(std::numeric_limits<float>::infinity()));
    RunResult r = run_binary(args);
    CHECK(r.exit_code == 6);
    CHECK_MESSAGE(r.err.find("tensor 'model.layers.1.mlp.up_proj.weight' holds 0 NaN and 1 infinite values") != std::string::npos, r.err);
    spoil(model, "model.layers.0.mlp.up_proj.weight", 0x7fc00000);
    r = run_binary(args);
    CHECK(r.err.find("holds 1 NaN and 0 infinite values, expected none; so do 1 more") != std::string::npos);
    // Without it nobody looks before the scores are there.
    r = run_binary({"run", model, "--ids", "1,2,3", "--max-new-tokens", "1"});
    CHECK(r.exit_code == 6);
    CHECK(r.err.find("the scores of the next token: are no numbers (NaN)") != std::string::npos);
  }

  TEST_CASE("tensors that the checkpoint lacks are refused, or drawn by the seed with --init-missing, the same wherever they lie") {
    const TempFolder folder;
    const std::string model = make_llama(folder, 32, 2);
    // A third layer that the files do not have.
    std::ifstream in(model + "/config.json");
    Json config = Json::parse(in);
    config["num_hidden_layers"] = 3;
    folder.write("m/config.json", config.dump());
    const auto run = [&](std::vector<std::string> more) {
      std::vector<std::string> args = {"run", model, "--ids", "1,2,3", "--max-new-tokens", "0", "--json", "--logits", (folder / "scores.safetensors").string()};
      args.insert(args.end(), more.begin(), more.end());
      return run_binary(args);
    };
    const auto scores = [&] {
      std::ifstream file(folder / "scores.safetensors", std::ios::binary);
      return std::string((std::istreambuf_iterator<char>(file)), {});
    };
    CHECK(run({}).exit_code == 6);
    const RunResult first = run({"--init-missing"});
    REQUIRE_MESSAGE(first.exit_code == 0, first.err);
    CHECK(faults_of("run", first.out) == "");
    const std::string warning = Json::parse(first.out).at("warnings").at(0);
    CHECK(warning.starts_with("9 tensors are not in the checkpoint and were drawn with seed 0: model.layers.2."));
    CHECK(first.err.find(warning) != std::string::npos);
    const std::string from_ram = scores();
    CHECK(run({"--init-missing", "--device-map", "disk"}).exit_code == 0);
    CHECK(scores() == from_ram);
    CHECK(run({"--init-missing", "--seed", "5"}).exit_code == 0);
    CHECK(scores() != from_ram);
  }
}

}  // namespace bigmodel::test
