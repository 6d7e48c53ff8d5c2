// SPDX-License-Identifier: Apache-2.0
// How `bigmodel run` behaves towards people: what comes when, on which stream, and what it says of options that make no sense.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

const std::string kPrompt = "One morning, Ben went to";

/// Both streams into one, in the order in which they are written, as on a terminal.
RunResult run_merged(const std::vector<std::string>& args) {
  std::vector<std::string> all = {"-c", "exec \"$0\" \"$@\" 2>&1", bigmodel_binary()};
  all.insert(all.end(), args.begin(), args.end());
  return run_binary(all, {.binary = "/bin/sh"});
}

std::string llama() { return golden_path("engine/llama-llama3").string(); }

void fails(std::vector<std::string> args, int code, const std::string& words) {
  args.insert(args.begin(), "run");
  const RunResult r = run_binary(args);
  CHECK(r.exit_code == code);
  CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
}

}  // namespace

TEST_SUITE("cli/run_conduct") {
  TEST_CASE("what follows the text stands on a line of its own") {
    for (const std::vector<std::string>& prompt : {std::vector<std::string>{"-p", kPrompt}, std::vector<std::string>{"--ids", "1,49,80"}}) {
      std::vector<std::string> args = {"run", "--max-new-tokens", "4"};
      args.insert(args.end(), prompt.begin(), prompt.end());
      const RunResult alone = run_binary(args);
      const RunResult merged = run_merged(args);
      REQUIRE(merged.exit_code == 0);
      CHECK_MESSAGE(merged.out.find(alone.out + "weights: ") != std::string::npos, merged.out);
    }
  }

  TEST_CASE("token ids come as they are chosen, like text") {
    const auto start = std::chrono::steady_clock::now();
    const RunResult r = run_binary({"run", "--ids", "1,49,80", "--max-new-tokens", "1000000000", "--device-map", "cpu"},
                                   {.signal_number = 2, .signal_when = [&] { return std::chrono::steady_clock::now() - start > std::chrono::milliseconds(500); }});
    CHECK(r.exit_code == 130);
    CHECK(std::count(r.out.begin(), r.out.end(), ',') > 2);
    CHECK(r.out.starts_with(run_binary({"run", "--ids", "1,49,80", "--max-new-tokens", "2", "--quiet"}).out.substr(0, 5)));
  }

  TEST_CASE("values out of range are the call's mistake and are told under the option's name") {
    const auto refused = [](const char* option, const char* value, const std::string& words) {
      fails({"-p", kPrompt, "--max-new-tokens", "2", fmt::format("--{}={}", option, value)}, 2, fmt::format("--{}: not a valid value, expected {}", option, words));
    };
    refused("temperature", "-1", "0 to 1e+30, got -1");
    refused("top-p", "1.5", "0 to 1, got 1.5");
    refused("min-p", "-0.5", "0 to 1, got -0.5");
    refused("typical-p", "2", "0 to 1, got 2");
    refused("repetition-penalty", "0", "1e-30 to 1e+30, got 0");
    refused("length-penalty", "101", "-100 to 100, got 101");
    refused("num-beams", "0", "1 to 1024, got 0");
    refused("num-return-sequences", "0", "1 to 1000000, got 0");
    refused("max-time", "-1", "0 to 1e+30, got -1");
    refused("max-new-tokens", "4000000000000000000", "0 to 1000000000, got 4000000000000000000");
    refused("context", "9000000000000000000", "0 to 1000000000, got 9000000000000000000");
    refused("top-k", "-1", "a whole number of 0 or more, got '-1'");
    refused("seed", "99999999999999999999", "a number below 2^63, got '99999999999999999999'");
    refused("stop", "[1]", "a list of texts, got [1]");
    // What a file says wrongly is told under the file's name, whatever options stand beside it.
    fails({"-p", kPrompt, "--top-k", "3", "--generation-config", R"({"typical_p": 2})"}, 2, "--generation-config: 'typical_p' is 2");
    const TempFolder folder;
    const std::string file = folder.write("g.json", R"({"typical_p": 2})").string();
    fails({"-p", kPrompt, "--generation-config", file}, 6, "g.json: 'typical_p' is 2");
    const RunResult typo = run_binary({"run", "-p", kPrompt, "--max-new-tokens", "2", "--json", "--generation-config", R"({"typcal_p": 0.5, "pad_token_id": 3})"});
    CHECK(typo.exit_code == 0);
    CHECK(Json::parse(typo.out)["warnings"].dump().find("there are no keys typcal_p\"") != std::string::npos);
  }

  TEST_CASE("typical sampling and repeated n-grams have options of their own") {
    const auto ids = [](std::vector<std::string> more) {
      more.insert(more.begin(), {"run", "-p", "Lily", "--max-new-tokens", "30", "--json"});
      return Json::parse(run_binary(more).out).at("output_ids");
    };
    CHECK(ids({"--no-repeat-ngram-size", "1"}) == ids({"--generation-config", R"({"no_repeat_ngram_size": 1})"}));
    CHECK(ids({"--no-repeat-ngram-size", "1"}) != ids({}));
    CHECK(ids({"--typical-p", "0.2", "--temperature", "2"}) == ids({"--generation-config", R"({"typical_p": 0.2, "temperature": 2.0, "do_sample": true})"}));
    CHECK(ids({"--typical-p", "0.2", "--temperature", "2"}) != ids({"--temperature", "2"}));
  }

  TEST_CASE("what does not fit is told with what would, and that does") {
    const std::vector<std::string> base = {"run", llama(), "--ids", "1,2,3", "--max-new-tokens", "2"};
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), base.begin(), base.end());
      return run_binary(more);
    };
    const auto word_after = [](const std::string& text, const std::string& option) {
      const std::size_t at = text.find("; ") == std::string::npos ? std::string::npos : text.find(option + " ", text.rfind("; "));
      REQUIRE_MESSAGE(at != std::string::npos, text);
      const std::size_t from = at + option.size() + 1;
      return text.substr(from, text.find_first_of(", \n", from) - from);
    };
    const RunResult small = with({"--max-memory", "cpu=10KB"});
    CHECK(small.exit_code == 7);
    CHECK(small.err.find("--kv-dtype") == std::string::npos);   // no option of run
    CHECK(with({"--max-memory", word_after(small.err, "--max-memory")}).exit_code == 0);
    const RunResult far = with({"--context", "100000000", "--max-memory", "cpu=1MB"});
    CHECK(far.exit_code == 7);
    const std::string context = word_after(far.err, "--context");
    CHECK(with({"--context", context, "--max-memory", "cpu=1MB"}).exit_code == 0);
    CHECK(with({"--context", std::to_string(std::stoll(context) * 11 / 10), "--max-memory", "cpu=1MB"}).exit_code == 7);
  }

  TEST_CASE("a device map comes from a file, as people write it or as infer-device-map prints it") {
    const TempFolder folder;
    const std::vector<std::string> base = {"run", llama(), "--ids", "1,2,3", "--max-new-tokens", "2", "--json", "--device-map"};
    const auto with = [&](const std::string& map) {
      std::vector<std::string> args = base;
      args.push_back(map);
      return run_binary(args);
    };
    const RunResult own = with(folder.write("map.json", R"({"model.layers.0": "disk", "": "cpu", "nope": "cpu"})").string());
    REQUIRE_MESSAGE(own.exit_code == 0, own.err);
    CHECK(Json::parse(own.out)["hf_device_map"]["model.layers.0"] == "disk");
    CHECK(Json::parse(own.out)["warnings"].dump().find("do not match any submodules in the model: ['nope']") != std::string::npos);
    const RunResult inferred = run_binary({"infer-device-map", llama(), "--max-memory", "cpu=60KB", "--json"});
    REQUIRE_MESSAGE(inferred.exit_code == 0, inferred.err);
    const RunResult of_plan = with(folder.write("plan", inferred.out).string());
    REQUIRE_MESSAGE(of_plan.exit_code == 0, of_plan.err);
    CHECK(Json::parse(of_plan.out)["hf_device_map"] == Json::parse(inferred.out)["hf_device_map"]);
    CHECK(Json::parse(of_plan.out)["output_ids"] == Json::parse(own.out)["output_ids"]);
    const auto refused = [&](const std::string& map, int code, const std::string& words) { fails({llama(), "--ids", "1", "--device-map", map}, code, words); };
    refused("nothing.json", 3, "nothing.json: cannot open");
    refused(folder.write("list.json", "[1]").string(), 6, "list.json: expected an object of modules and devices");
    refused("mps", 8, "device 'mps' can be planned for but not run on");
    refused("xpu:1", 8, "device 'xpu:1' can be planned for but not run on");
    refused("balanced", 2, "infer-device-map MODEL --policy balanced --json > map.json");
    // A card is called the same in both options.
    fails({llama(), "--ids", "1", "--max-memory", "cuda:99=1GiB,cpu=1GiB"}, 8, "--max-memory: there is no device '99'");
    // What has no effect says so.
    const RunResult idle = run_binary({"run", llama(), "--ids", "1", "--max-new-tokens", "1", "--device-map", "disk", "--max-memory", "cpu=1KB", "--offload-folder", (folder / "off").string()});
    CHECK(idle.exit_code == 0);
    CHECK(idle.err.find("--max-memory: has no effect beside --device-map") != std::string::npos);
    CHECK(idle.err.find("--offload-folder: nothing is written there") != std::string::npos);
    CHECK(!std::filesystem::exists(folder / "off"));
  }

  TEST_CASE("a plan needs no prompt") {
    const Json plan = Json::parse(run_binary({"run", llama(), "--plan", "--context", "40", "--json"}).out);
    CHECK(run_binary({"run", llama(), "--plan"}).err.find("no prompt: the plan is for one of a single token") != std::string::npos);
    const Json with_prompt = Json::parse(run_binary({"run", llama(), "--ids", "1", "--plan", "--context", "40", "--json"}).out);
    CHECK(plan.at("predicted").at("kv_cache_bytes") == with_prompt.at("predicted").at("kv_cache_bytes"));
    fails({llama()}, 2, "expected a prompt");
  }

  TEST_CASE("JSON in the call that is none is the call's mistake, in a file the file's") {
    const TempFolder folder;
    const std::string bad = folder.write("bad.json", "{bad").string();
    fails({llama(), "--ids", "1", "--device-map", "{bad"}, 2, "--device-map: line 1, column 2");
    fails({llama(), "--ids", "1", "--device-map", R"({"": []})"}, 2, "--device-map: ");
    fails({llama(), "--ids", "1", "--device-map", bad}, 6, "bad.json: line 1, column 2");
    fails({"-p", kPrompt, "--generation-config", "{bad"}, 2, "--generation-config: line 1, column 2");
    fails({"-p", kPrompt, "--generation-config", bad}, 6, "bad.json: line 1, column 2");
    fails({"-p", kPrompt, "--generation-config", folder.write("list.json", "[1]").string()}, 6, "list.json: is array, expected an object");
    fails({"-p", kPrompt, "--stop", "[bad"}, 2, "--stop: line 1, column 2");
    const RunResult map = run_binary({"infer-device-map", llama(), "--device-map", "{bad"});
    CHECK(map.exit_code == 2);
    CHECK_MESSAGE(map.err.find("--device-map: line 1, column 2") != std::string::npos, map.err);
    // What a map names too much is told once, wherever it came from.
    const RunResult told = run_binary({"run", llama(), "--ids", "1", "--max-new-tokens", "1", "--device-map", R"({"": "cpu", "nope": "disk"})", "--json"});
    CHECK(told.exit_code == 0);
    CHECK(Json::parse(told.out).at("warnings").size() == 1);
  }

  TEST_CASE("what is piped in is the prompt where no option gives one") {
    const std::vector<std::string> few = {"run", "--greedy", "--max-new-tokens", "6", "--json"};
    const auto with = [&](std::vector<std::string> more, const RunOptions& options = {}) {
      more.insert(more.begin(), few.begin(), few.end());
      return run_binary(more, options);
    };
    const auto shell = [&](const std::string& redirection, std::vector<std::string> args) {
      args.insert(args.begin(), {"-c", "exec \"$0\" \"$@\" " + redirection, bigmodel_binary()});
      return run_binary(args, {.binary = "/bin/sh", .input = "Lily saw\n"});
    };
    const TempFolder folder;
    std::filesystem::copy(source_root() / "apps/bigmodel/demo_model", folder / "demo");
    const std::string model = (folder / "demo").string();
    const Json ids = Json::parse(with({"-p", "Lily saw"}).out).at("prompt_ids");
    const Json story = Json::parse(with({"-p", kPrompt}).out).at("prompt_ids");
    CHECK(ids != story);
    CHECK(Json::parse(with({}, {.input = "Lily saw\n"}).out).at("prompt_ids") == ids);
    CHECK(Json::parse(with({model}, {.input = "Lily saw"}).out).at("prompt_ids") == ids);
    CHECK(Json::parse(with({model, "-p", kPrompt}, {.input = "Lily saw"}).out).at("prompt_ids") == story);   // not looked at
    const std::string file = folder.write("prompt.txt", "Lily saw\n").string();
    std::vector<std::string> args = few;
    CHECK(Json::parse(shell("< " + file, args).out).at("prompt_ids") == ids);
    // Nothing there: the demo model's own, and of a model the question for one.
    for (const char* nothing : {"< /dev/null", "<&-"}) {
      CAPTURE(nothing);
      const RunResult r = shell(nothing, few);
      CHECK_MESSAGE(r.exit_code == 0, r.err);
      CHECK(Json::parse(r.out).at("prompt_ids") == story);
      const RunResult asked = shell(nothing, {"run", model});
      CHECK(asked.exit_code == 2);
      CHECK_MESSAGE(asked.err.find("run: expected a prompt; give one of --prompt, ") != std::string::npos, asked.err);
    }
    CHECK(Json::parse(with({}).out).at("prompt_ids") == story);
    CHECK(Json::parse(with({}, {.input = "\n"}).out).at("prompt_ids") == story);
    const RunResult closed = shell("<&-", {"run", "-p", "-"});
    CHECK(closed.exit_code == 9);
    CHECK_MESSAGE(closed.err.find("standard input: cannot read") != std::string::npos, closed.err);
  }

  TEST_CASE("ids outside the vocabulary are refused before any weight is read") {
    const TempFolder folder;
    std::filesystem::copy(llama(), folder / "m");
    const std::string model = (folder / "m").string();
    const std::string file = model + "/model.safetensors";
    const RunResult whole = run_binary({"run", model, "--ids", "1,999999"});
    CHECK(whole.exit_code == 2);
    CHECK_MESSAGE(whole.err.find("module 'model.embed_tokens': id 999999, expected 0 to ") != std::string::npos, whole.err);
    CHECK(whole.err.find("plan: ") == std::string::npos);
    fails({model, "--ids", "1,-3"}, 2, "id -3, expected 0 to");
    folder.write("t5/c/config.json", R"({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 50, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1,
      "num_heads": 2, "decoder_start_token_id": 0})");
    folder.write("bert/c/config.json", R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
      "intermediate_size": 64, "max_position_embeddings": 32})");
    for (const char* type : {"t5", "bert"}) {
      CAPTURE(type);
      const std::string made = (folder / type / "m").string();
      REQUIRE(run_binary({"init", (folder / type / "c/config.json").string(), "--class", "auto", "-o", made}).exit_code == 0);
      CHECK(run_binary({"run", made, "--ids", "2,5", "--max-new-tokens", "1"}).exit_code == 0);
      const RunResult r = run_binary({"run", made, "--ids", "2,60"});
      CHECK(r.exit_code == 2);
      CHECK_MESSAGE(r.err.find("id 60, expected 0 to ") != std::string::npos, r.err);
      CHECK_MESSAGE(r.err.find("plan: ") == std::string::npos, r.err);
    }
  }

  TEST_CASE("--bad-words keeps texts and ids from coming out") {
    const auto run = [](std::vector<std::string> more) {
      more.insert(more.begin(), {"run", "--greedy", "--json"});
      const RunResult r = run_binary(more);
      REQUIRE_MESSAGE(r.exit_code == 0, r.err);
      return Json::parse(r.out);
    };
    const auto text = [&](std::vector<std::string> more) {
      more.insert(more.begin(), {"-p", kPrompt});
      return run(std::move(more)).at("texts").at(0).get<std::string>();
    };
    const std::string free = text({});
    REQUIRE(free.find(" rabbit") != std::string::npos);
    REQUIRE(free.find(" old") != std::string::npos);
    const std::string without = text({"--bad-words", "rabbit", "--bad-words", "old"});
    CHECK(without.find("rabbit") == std::string::npos);
    CHECK(without.find(" old") == std::string::npos);
    CHECK(text({"--bad-words", "old"}).find(" old") == std::string::npos);
    // Ids in, ids kept out; a sequence as one.
    const auto ids = [&](std::vector<std::string> more) {
      more.insert(more.begin(), {"--ids", "1,49,80,265", "--max-new-tokens", "8"});
      return run(std::move(more)).at("output_ids").at(0);
    };
    const Json all = ids({});
    const auto pair = fmt::format("{},{}", all[0].get<int>(), all[1].get<int>());
    CHECK(ids({"--bad-words", std::to_string(all[1].get<int>())})[1] != all[1]);
    const Json other = ids({"--bad-words", pair});
    CHECK(other[0] == all[0]);
    CHECK(other[1] != all[1]);
    CHECK(other == ids({"--generation-config", fmt::format(R"({{"bad_words_ids": [[{}]]}})", pair)}));
    fails({"--ids", "1", "--bad-words", "a"}, 2, "--bad-words: expected ids such as 1,15,7, got 'a'");
    fails({"-p", kPrompt, "--bad-words", ""}, 2, "--bad-words: not a valid value, expected some text");
  }

  TEST_CASE("what would be in vain is said before anything is computed") {
    const TempFolder folder;
    const auto refused = [](std::vector<std::string> more, int code, const std::string& words) {
      more.insert(more.begin(), {"run", "-p", kPrompt});
      const RunResult r = run_binary(more);
      CHECK(r.exit_code == code);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
      CHECK(r.out.empty());
    };
    refused({"--logits", (folder / "no" / "x.safetensors").string()}, 9, "x.safetensors: cannot create");
    refused({"--logits", folder.path().string()}, 9, "is a folder, expected a file");
    refused({"--logits", "/dev/full"}, 9, "is a device or a pipe, expected a file");
    refused({"--system", "Be kind."}, 2, "--system: belongs to --chat");
    refused({"--pair", "b"}, 2, "--pair: belongs to encoders");
    CHECK(std::filesystem::is_empty(folder.path()));
    const RunResult told = run_binary({"run", "-p", kPrompt, "--max-new-tokens", "1", "--logprobs"});
    CHECK(told.exit_code == 0);
    CHECK(told.err.find("--logprobs: are printed as JSON only") != std::string::npos);
  }

  TEST_CASE("a type that nobody described is told by name, and so is what a checkpoint has too much of") {
    const TempFolder folder;
    std::filesystem::copy(llama(), folder / "typo");
    folder.write("typo/config.json", R"({"model_type": "lama"})");
    fails({(folder / "typo").string(), "--ids", "1"}, 6, "unknown model type 'lama'; known types near it: llama");
    std::filesystem::copy(llama(), folder / "fewer");
    std::ifstream in(llama() + "/config.json");
    Json config = Json::parse(in);
    const auto layers = config["num_hidden_layers"].get<int>();
    config["num_hidden_layers"] = layers - 1;
    folder.write("fewer/config.json", config.dump());
    const RunResult r = run_binary({"run", (folder / "fewer").string(), "--ids", "1", "--max-new-tokens", "1", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(Json::parse(r.out)["warnings"].dump().find(fmt::format("tensors of the checkpoint are not used: model.layers.{}.", layers - 1)) != std::string::npos);
    // The config of a catalog entry is known; it is the files that are not here.
    fails({"gpt2", "-p", "a", "--offline"}, 5, "gpt2: not in the cache (the catalog has its config alone)");
  }

  TEST_CASE("a file that is written to while its weights are streamed ends the run") {
    const TempFolder folder;
    std::filesystem::copy(llama(), folder / "m");
    const auto start = std::chrono::steady_clock::now();
    bool written = false;
    // No signal: only a moment in which to write.
    const RunResult r = run_binary({"run", (folder / "m").string(), "--ids", "1,2", "--max-new-tokens", "1000000000", "--device-map", "disk"}, {.signal_number = 15, .signal_when = [&] {
      const auto now = std::chrono::steady_clock::now() - start;
      if (!written && now > std::chrono::milliseconds(300)) {
        std::fstream file(folder / "m" / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(-4, std::ios::end);
        file.write("abcd", 4);
        written = true;
      }
      return now > std::chrono::seconds(20);
    }});
    CHECK(r.exit_code == 9);
    CHECK_MESSAGE(r.err.find("model.safetensors: was changed while it was being read") != std::string::npos, r.err);
  }

  TEST_CASE("keys and values take half the room where --kv-dtype says so, and the same comes out wherever weights lie") {
    const std::vector<std::string> base = {"run", "--ids", "1,49,80,265", "--greedy", "--max-new-tokens", "40", "--logprobs", "--json"};
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), base.begin(), base.end());
      const RunResult r = run_binary(more);
      REQUIRE_MESSAGE(r.exit_code == 0, r.err);
      CHECK(faults_of("run", r.out) == "");
      return Json::parse(r.out);
    };
    const Json exact = with({});
    for (const char* dtype : {"bfloat16", "float16"}) {
      CAPTURE(dtype);
      const Json json = with({"--kv-dtype", dtype});
      CHECK(json["kv_cache_bytes"].get<std::int64_t>() * 2 == exact["kv_cache_bytes"].get<std::int64_t>());
      CHECK(json["predicted"]["kv_cache_bytes"] == json["kv_cache_bytes"]);
      CHECK(json["warnings"].dump().find(fmt::format("keys and values are rounded to {}: the results are not exact", dtype)) != std::string::npos);
      CHECK(json["logprobs"] != exact["logprobs"]);
      CHECK(json["logprobs"][0][0].get<double>() == doctest::Approx(exact["logprobs"][0][0].get<double>()).epsilon(0.02));
      CHECK(with({"--kv-dtype", dtype, "--device-map", "disk"})["logprobs"] == json["logprobs"]);
    }
    CHECK(with({"--kv-dtype", "float32"})["logprobs"] == exact["logprobs"]);
    fails({"--ids", "1", "--kv-dtype", "int8"}, 2, "--kv-dtype: keys and values are not kept in int8, expected float32, bfloat16 or float16");
  }

  TEST_CASE("scores that are no numbers end the run, and say where to look") {
    const TempFolder folder;
    folder.write("c/config.json", R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64,
      "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": false})");
    const std::string model = (folder / "m").string();
    REQUIRE(run_binary({"init", (folder / "c/config.json").string(), "--class", "auto", "--dtype", "float32", "-o", model}).exit_code == 0);
    std::fstream file(model + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    std::uint64_t header_bytes = 0;
    file.read(reinterpret_cast<char*>(&header_bytes), 8);
    std::string header(header_bytes, ' ');
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    const auto at = Json::parse(header)["model.norm.weight"]["data_offsets"][0].get<std::uint64_t>();
    file.seekp(static_cast<std::streamoff>(8 + header_bytes + at));
    const std::uint32_t nan = 0x7fc00000;
    file.write(reinterpret_cast<const char*>(&nan), 4);
    file.close();
    for (const std::vector<std::string>& how : {std::vector<std::string>{"--greedy"}, {"--temperature", "1"}, {"--num-beams", "2"}}) {
      std::vector<std::string> args = {model, "--ids", "1,2", "--max-new-tokens", "3"};
      args.insert(args.end(), how.begin(), how.end());
      fails(args, 6, "are no numbers (NaN), expected finite ones; look for NaN and infinite weights with --check");
    }
  }

  TEST_CASE("stop texts come by repetition or as a list, and the summary says what ended the text and with which seed it was drawn") {
    const auto text = [](std::vector<std::string> more) {
      more.insert(more.begin(), {"run", "-p", kPrompt, "--quiet"});
      return run_binary(more).out;
    };
    CHECK(text({"--stop", "old book", "--stop", "rabbit"}) == text({"--stop", R"(["rabbit", "old book"])"}));
    CHECK(text({"--stop", "old book", "--stop", "rabbit"}) == text({"--stop", "old book"}));
    CHECK(text({"--stop", "rabbit", "--stop", "old, red"}).ends_with("brown rabbit\n"));
    const auto note = [](std::vector<std::string> more) {
      more.insert(more.begin(), {"run", "-p", kPrompt});
      return run_binary(more).err;
    };
    CHECK(note({}).find("ended by its end-of-sequence token") != std::string::npos);
    CHECK(note({"--stop", "."}).find("ended by a stop text") != std::string::npos);
    CHECK(note({"--max-new-tokens", "3"}).find("; 3 tokens, ended by the limit") != std::string::npos);
    CHECK(note({"--max-new-tokens", "3", "--temperature", "1", "--seed", "7"}).find("drawn with seed 7") != std::string::npos);
    CHECK(note({"--max-new-tokens", "3"}).find("seed") == std::string::npos);
  }

  TEST_CASE("models that do not generate print their plan first and what came of it last") {
    const TempFolder folder;
    folder.write("c/config.json", R"({"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
      "intermediate_size": 64, "max_position_embeddings": 32})");
    REQUIRE(run_binary({"init", (folder / "c/config.json").string(), "--class", "auto", "-o", (folder / "m").string()}).exit_code == 0);
    const RunResult r = run_merged({"run", (folder / "m").string(), "--ids", "2,5,3"});
    CHECK(r.exit_code == 0);
    CHECK(r.out.starts_with("plan: weights "));
    // A pass over all tokens at once is bound by computing, which nobody measured; from disk it takes at least as long as reading.
    CHECK(r.out.find("predicted") == std::string::npos);
    const RunResult streamed = run_merged({"run", (folder / "m").string(), "--ids", "2,5,3", "--device-map", "disk"});
    CHECK_MESSAGE(streamed.out.find("; predicted at least ") != std::string::npos, streamed.out);
    CHECK(streamed.out.find(" s, bound by disk") != std::string::npos);
    const RunResult plan = run_binary({"run", (folder / "m").string(), "--ids", "2,5,3", "--plan", "--json"});
    CHECK(faults_of("run", plan.out) == "");
    CHECK(Json::parse(plan.out).at("predicted").at("tokens_per_second").is_null());
    const std::size_t answer = r.out.find("last_hidden_state"), note = r.out.find("; computed in ");
    CHECK(answer != std::string::npos);
    CHECK_MESSAGE((note != std::string::npos && note > answer), r.out);
    // As events: a start and an end, as of models that generate.
    const RunResult events = run_binary({"run", (folder / "m").string(), "--ids", "2,5,3", "--format", "jsonl"});
    const std::size_t line = events.out.find('\n');
    REQUIRE(line != std::string::npos);
    CHECK(Json::parse(events.out.substr(0, line)).at("event") == "start");
    CHECK(faults_of("run-event", events.out.substr(0, line)) == "");
    const Json done = Json::parse(events.out.substr(line));
    CHECK(done.at("event") == "done");
    CHECK(done.at("outputs").contains("last_hidden_state"));
    CHECK(done.at("timings").at("prefill_ms").get<double>() > 0);
    CHECK(faults_of("run", events.out.substr(line)) == "");
  }
}

}  // namespace bigmodel::test
