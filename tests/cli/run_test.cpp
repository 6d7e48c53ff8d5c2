// SPDX-License-Identifier: Apache-2.0
// `bigmodel run` from outside.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

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

std::string joined(const Json& ids) { return fmt::format("{}", fmt::join(ids.get<std::vector<std::int64_t>>(), ",")); }

std::string llama() { return golden_path("engine/llama-llama3").string(); }

}  // namespace

TEST_SUITE("cli/run") {
  TEST_CASE("little RAM streams layers, and the tokens stay the same") {
    const std::vector<std::string> base = {"run", llama(), "--ids", "1,2,3", "--greedy", "--max-new-tokens", "4", "--json"};
    const Json whole = Json::parse(run_binary(base).out);
    CHECK(whole.at("hf_device_map") == Json({{"", "cpu"}}));
    bool streamed = false, refused = false;
    for (const char* size : {"10KB", "100KB", "105KB", "1MB"}) {
      CAPTURE(size);
      std::vector<std::string> args = base;
      args.insert(args.end(), {"--max-memory", std::string("cpu=") + size});
      const RunResult r = run_binary(args);
      if (r.exit_code != 0) {
        CHECK(r.exit_code == 7);
        refused = true;
        continue;
      }
      const Json json = Json::parse(r.out);
      CHECK(json.at("output_ids") == whole.at("output_ids"));
      streamed = streamed || json.at("placement").at("disk_bytes").get<std::int64_t>() > 0;
    }
    CHECK(streamed);
    CHECK(refused);
    CHECK(run_binary({"run", llama(), "--ids", "1,2", "--max-memory", "0=1GB"}).exit_code == 8);
  }

  TEST_CASE("the model inside the program tells the stories that its makers recorded") {
    std::ifstream file(source_root() / "apps/bigmodel/demo_model/expected.json");
    const Json expected = Json::parse(file);
    for (const Json& story : expected.at("continuations")) {
      for (const char* device : {"cpu", "disk"}) {
        const std::string count = std::to_string(story.at("new_ids").size());
        const RunResult r = run_binary({"run", "--ids", joined(story.at("prompt_ids")), "--greedy", "--max-new-tokens", count, "--device-map", device, "--json"});
        CHECK(r.exit_code == 0);
        CHECK(faults_of("run", r.out) == "");
        const Json json = Json::parse(r.out);
        CHECK(json.at("output_ids").at(0) == story.at("new_ids"));
        CHECK(json.at("source") == "embedded");
        CHECK(json.at("dtype") == "bfloat16");
        CHECK((json.at("placement").at("disk_bytes") > 0) == (std::string(device) == "disk"));
      }
    }
  }

  TEST_CASE("text goes in and comes out, as the makers of the demo model recorded it") {
    std::ifstream file(source_root() / "apps/bigmodel/demo_model/expected.json");
    const Json expected = Json::parse(file);
    for (const Json& story : expected["continuations"]) {
      const RunResult r = run_binary({"run", "--prompt", story["prompt"].get<std::string>()});
      CHECK(r.exit_code == 0);
      CHECK(r.out == story["text"].get<std::string>() + "\n");
      const Json json = Json::parse(run_binary({"run", "-p", story["prompt"].get<std::string>(), "--json"}).out);
      CHECK(json["prompt_ids"][0] == story["prompt_ids"]);
      CHECK(json["texts"][0] == story["text"]);
      CHECK(json["finish"][0] == "eos");
    }
    const RunResult own = run_binary({"run"});
    CHECK(own.exit_code == 0);
    CHECK(own.out.starts_with(" the farm."));
    CHECK(run_binary({"run", "-p", ""}).exit_code == 2);
    CHECK(run_binary({"run", "-p", "a", "--ids", "1"}).exit_code == 2);
  }

  TEST_CASE("the plan says what lies where before anything is read, and the run agrees with it") {
    const std::vector<std::string> base = {"run", llama(), "--ids", "1,2,3", "--max-new-tokens", "4", "--bandwidth", "cpu=10GB/s,disk=1GB/s"};
    for (const char* map : {"cpu", "disk", R"({"model.layers.0": "disk", "": "cpu"})"}) {
      std::vector<std::string> args = base;
      args.insert(args.end(), {"--device-map", map, "--json"});
      const Json run = Json::parse(run_binary(args).out);
      args.emplace_back("--plan");
      const RunResult r = run_binary(args);
      REQUIRE(r.exit_code == 0);
      CHECK(faults_of("run", r.out) == "");
      const Json plan = Json::parse(r.out);
      CHECK(plan.at("output_ids").empty());
      // What the program itself takes is measured, and differs by some pages.
      Json said = plan.at("predicted"), done = run.at("predicted");
      CHECK(said.at("program_bytes").get<std::int64_t>() > 0);
      said.erase("program_bytes");
      done.erase("program_bytes");
      CHECK(said == done);
      CHECK(plan.at("hf_device_map") == run.at("hf_device_map"));
      CHECK(plan.at("predicted").at("bound") == (std::string(map) == "cpu" ? "cpu" : "disk"));
      // Read bytes are rounded up to blocks of the disk; buffers that are computed (rotary frequencies) are planned and not loaded.
      for (const char* tier : {"ram_bytes", "disk_bytes"}) {
        const double planned = plan.at("placement").at(tier).get<double>(), real = run.at("placement").at(tier).get<double>();
        CHECK(real >= planned - 4096);
        CHECK(real <= planned * 1.1 + 8 * 4096);
      }
    }
    std::vector<std::string> text = base;
    text.emplace_back("--plan");
    const RunResult r = run_binary(text);
    CHECK(r.out.find("tokens/s, bound by cpu\n") != std::string::npos);
    // The line before a run, and what came of it.
    const RunResult noted = run_binary(base);
    CHECK(noted.err.find("plan: weights ") != std::string::npos);
    CHECK(noted.err.find("% of the predicted") != std::string::npos);
  }

  TEST_CASE("logits are the same to the bit wherever the weights lie") {
    const TempFolder folder;
    std::string first;
    for (const char* map : {"cpu", "disk", R"({"model.layers.0": "disk", "": "cpu"})", R"({"model.layers": "cpu", "": "disk"})"}) {
      const std::string file = (folder / "logits.safetensors").string();
      const RunResult r = run_binary({"run", llama(), "--ids", "5,9,31,7", "--max-new-tokens", "0", "--logits", file, "--device-map", map, "--json"});
      CHECK(r.exit_code == 0);
      std::ifstream in(file, std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(in)), {});
      CHECK(bytes.size() > 1000);
      if (first.empty()) first = bytes;
      CHECK(bytes == first);
    }
  }

  TEST_CASE("weights kept in eight bits give the same logits wherever they lie, take less room, and skipping all of them is the plain run") {
    const TempFolder folder;
    const auto logits = [&](const std::vector<std::string>& more, Json* json = nullptr) {
      const std::string file = (folder / "logits.safetensors").string();
      std::vector<std::string> args{"run", llama(), "--ids", "5,9,31,7", "--max-new-tokens", "2", "--dtype", "float32", "--logits", file, "--json"};
      args.insert(args.end(), more.begin(), more.end());
      const RunResult r = run_binary(args);
      CHECK_MESSAGE(r.exit_code == 0, r.err);
      if (json != nullptr) *json = Json::parse(r.out);
      std::ifstream in(file, std::ios::binary);
      return std::string((std::istreambuf_iterator<char>(in)), {});
    };
    Json whole, small;
    const std::string plain = logits({}, &whole), eight = logits({"--storage-dtype", "float8_e4m3fn"}, &small);
    CHECK(eight != plain);
    CHECK(small["storage_dtype"] == "float8_e4m3fn");
    CHECK(faults_of("run", small.dump()) == "");
    CHECK(small["placement"]["ram_bytes"].get<std::int64_t>() < whole["placement"]["ram_bytes"].get<std::int64_t>());
    CHECK(logits({"--storage-dtype", "float8_e4m3fn", "--device-map", "disk"}) == eight);
    CHECK(logits({"--storage-dtype", "float8_e5m2"}) != eight);
    CHECK(logits({"--storage-dtype", "bfloat16"}) == plain);   // as they are stored
    CHECK(logits({"--storage-dtype", "float8_e5m2", "--skip-modules-classes", "LlamaForCausalLM"}) == plain);
    CHECK(logits({"--storage-dtype", "float8_e5m2", "--skip-modules-pattern", "self_attn,mlp,^lm_head$"}) == plain);
    CHECK(logits({"--storage-dtype", "float8_e4m3fn", "--skip-modules-pattern", "mlp"}) != eight);
    const auto fails = [](const std::vector<std::string>& more, const char* words) {
      std::vector<std::string> args{"run", llama(), "--ids", "1"};
      args.insert(args.end(), more.begin(), more.end());
      const RunResult r = run_binary(args);
      CHECK(r.exit_code == 2);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
    };
    fails({"--storage-dtype", "int8"}, "expected float8_e4m3fn, float8_e5m2, bfloat16 or float16");
    fails({"--skip-modules-pattern", "mlp"}, "belongs to --storage-dtype");
    fails({"--storage-dtype", "float16", "--skip-modules-pattern", "("}, "skip pattern '('");
  }

  TEST_CASE("prompts of different lengths come out as each alone") {
    const TempFolder folder;
    const std::string file = folder.write("ids.json", "[[5, 9, 31, 7], [8, 2]]").string();
    const auto ids_of = [](const RunResult& r) { return Json::parse(r.out).at("output_ids"); };
    const Json both = ids_of(run_binary({"run", llama(), "--ids-file", file, "--max-new-tokens", "6", "--json"}));
    CHECK(both.size() == 2);
    CHECK(both.at(0) == ids_of(run_binary({"run", llama(), "--ids", "5,9,31,7", "--max-new-tokens", "6", "--json"})).at(0));
    CHECK(both.at(1) == ids_of(run_binary({"run", llama(), "--ids", "8,2", "--max-new-tokens", "6", "--json"})).at(0));
  }

  TEST_CASE("--quantize takes less memory, says that it is not exact, and gives the same wherever weights lie") {
    const std::vector<std::string> base = {"run", "--ids", "1,49,80,265", "--greedy", "--max-new-tokens", "8", "--json"};
    const Json exact = Json::parse(run_binary(base).out);
    std::int64_t least = exact.at("placement").at("ram_bytes").get<std::int64_t>();
    for (const char* form : {"int8", "int4"}) {
      CAPTURE(form);
      std::vector<std::string> args = base;
      args.insert(args.end(), {"--quantize", form});
      const RunResult r = run_binary(args);
      CHECK(r.exit_code == 0);
      CHECK(r.err.find("the results are not exact") != std::string::npos);
      const Json json = Json::parse(r.out);
      const auto ram = json.at("placement").at("ram_bytes").get<std::int64_t>();
      CHECK(ram < least);
      least = ram;
      CHECK(json.at("warnings").dump().find("not exact") != std::string::npos);
      args.insert(args.end(), {"--device-map", "disk"});
      CHECK(Json::parse(run_binary(args).out).at("output_ids") == json.at("output_ids"));
    }
    CHECK(run_binary({"run", "--quantize", "int3"}).exit_code == 2);
  }

  TEST_CASE("what cannot be run ends with its own exit code and says why") {
    const TempFolder folder;
    const auto fails = [](std::vector<std::string> args, int code, const char* words) {
      args.insert(args.begin(), "run");
      const RunResult r = run_binary(args);
      CHECK(r.exit_code == code);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
    };
    fails({llama()}, 2, "expected a prompt");
    fails({llama(), "--ids", "1,x"}, 2, "--ids: expected ids");
    fails({llama(), "--ids", "1,999999"}, 2, "id 999999, expected 0 to");
    fails({llama(), "--ids", "-3"}, 2, "id -3");
    fails({llama(), "--ids", "1", "--device-map", "{\"\": 99}"}, 8, "--device-map: there is no device '99'");
    fails({llama(), "--ids", "1", "--device-map", "cuda:99"}, 8, "--device-map: there is no device 'cuda:99'");
    fails({llama(), "--ids", "1", "--device-map", "{\"model.norm\": \"mps\", \"\": \"cpu\"}"}, 8, "can be planned for but not run on");
    fails({llama(), "--ids", "1", "--device-map", "gpu"}, 2, "expected auto, cpu, disk, cuda:0, a JSON object or a file of it");
    fails({llama(), "--ids", "1", "--max-memory", "99=1GiB,cpu=1GiB"}, 8, "--max-memory: there is no device '99'");
    fails({llama(), "--ids", "1", "--device-map", "{\"model\": \"cpu\"}"}, 2, "says nothing of 'lm_head");
    // A module that is none does no harm, and a context beyond the model's is the user's to choose: both are told.
    const RunResult told = run_binary({"run", "-p", "One day", "--max-new-tokens", "300", "--stop", ".", "--device-map", "{\"\": \"cpu\", \"model.layer.0\": \"disk\"}", "--json"});
    CHECK_MESSAGE(told.exit_code == 0, told.err);
    CHECK(told.err.find("do not match any submodules in the model: ['model.layer.0']") != std::string::npos);
    const Json warnings = Json::parse(told.out)["warnings"];
    CHECK(warnings.dump().find("tokens are more than the 256 positions") != std::string::npos);
    fails({llama(), "--ids", "1", "--dtype", "int8"}, 2, "--dtype");
    fails({llama(), "--ids-file", folder.write("ids.json", "{\"input_ids\": [[1, 2]], \"attention_mask\": [[1, 0]]}").string()}, 2, "padded on the right");
    // A config without weights, a cut file, weights of another shape, a type that nobody runs.
    const std::string config = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 50})";
    folder.write("none/config.json", config);
    fails({(folder / "none").string(), "--ids", "1"}, 3, "none");
    std::filesystem::copy(llama(), folder / "other");
    folder.write("other/config.json", config);
    fails({(folder / "other").string(), "--ids", "1"}, 6, "expected [50, 32]");
    std::filesystem::copy(llama(), folder / "cut");
    std::filesystem::resize_file(folder / "cut" / "model.safetensors", 20000);
    fails({(folder / "cut").string(), "--ids", "1"}, 6, "cut");
    std::filesystem::copy(llama(), folder / "speech");
    folder.write("speech/config.json", R"({"model_type": "speecht5"})");
    fails({(folder / "speech").string(), "--ids", "1"}, 6, "cannot be run");
  }
}

}  // namespace bigmodel::test
