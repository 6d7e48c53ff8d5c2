// SPDX-License-Identifier: Apache-2.0
// `bigmodel infer-device-map` from outside.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

RunResult infer(std::vector<std::string> args, const RunOptions& options = {}) {
  args.insert(args.begin(), "infer-device-map");
  return run_binary(args, options);
}

Json json_of(std::vector<std::string> args) {
  args.push_back("--json");
  const RunResult r = infer(args);
  CAPTURE(r.err);
  CHECK(r.exit_code == 0);
  CHECK(faults_of("infer-device-map", r.out) == "");
  return Json::parse(r.out);
}

constexpr const char* kTree = R"({"name": "", "class": "M", "children": [
  {"name": "linear1", "class": "Linear", "params": [["weight", [4, 3], "float32"], ["bias", [4], "float32"]]},
  {"name": "batchnorm", "class": "BatchNorm1d", "params": [["weight", [4], "float32"], ["bias", [4], "float32"]],
   "buffers": [["running_mean", [4], "float32", true], ["running_var", [4], "float32", true], ["num_batches_tracked", [], "int64", true]]},
  {"name": "linear2", "class": "Linear", "params": [["weight", [5, 4], "float32"], ["bias", [5], "float32"]]}]})";

struct Tree {
  TempFolder folder;
  std::string path = folder.write("tree.json", kTree).string();
};

/// The requests of goldens/device_maps, and what the reference answered.
struct Replay {
  std::map<std::string, Json> trees;
  std::vector<Json> cases;
  explicit Replay(const std::filesystem::path& folder) {
    for_each_record(folder / "trees.jsonl.xz", [this](const Json& t) { trees[t.at("id")] = t; });
    for_each_record(folder / "cases.jsonl.xz", [this](const Json& c) { cases.push_back(c); });
  }
  std::string requests() const {
    std::string out;
    for (const Json& c : cases) {
      const Json& tree = trees.at(c.at("tree"));
      const Json request = {{"graph", tree.at("graph_json")},
                            {"ties", tree.at("ties")},
                            {"policy", "accelerate"},
                            {"max_memory", c.at("max_memory")},
                            {"no_split_module_classes", c.at("no_split")},
                            {"dtype", c.at("dtype")},
                            {"special_dtypes", c.at("special_dtypes")},
                            {"clean_result", c.at("clean_result")},
                            {"offload_buffers", c.at("offload_buffers")},
                            {"fallback_allocation", c.at("fallback_allocation")}};
      out += request.dump() + "\n";
    }
    return out;
  }
  int differences(const std::string& answers) const {
    std::istringstream lines(answers);
    int different = 0;
    for (const Json& c : cases) {
      std::string line;
      if (!std::getline(lines, line)) return static_cast<int>(cases.size());
      const Json a = Json::parse(line);
      if (c.contains("error")) {
        const bool same = a.contains("error") && a.at("error").at("kind") == c.at("error")[0] && a.at("error").at("message") == c.at("error")[1];
        different += same ? 0 : 1;
        continue;
      }
      Json got = Json::array();
      for (const auto& [name, device] : a.at("hf_device_map").items()) got.push_back({name, device});
      bool same = got == c.at("result");
      std::sort(got.begin(), got.end());
      if (c.contains("order_dependent")) {
        for (Json other : c.at("order_dependent")) {
          Json result = other.value("result", Json::array());
          std::sort(result.begin(), result.end());
          same = same || got == result;
        }
      }
      different += same ? 0 : 1;
    }
    return different;
  }
};

}  // namespace

TEST_SUITE("cli/infer_device_map") {
  TEST_CASE("T0pp's documented map, but for what is tied today") {
    const Json json = json_of({"bigscience/T0pp", "--max-memory", "0=20.5GiB,1=20.5GiB,cpu=60GiB"});
    Json want = {{"shared", 0}, {"decoder.embed_tokens", 0}, {"encoder", 0}, {"lm_head", 0}, {"decoder.block.0", 0}};
    for (int i = 1; i <= 21; ++i) want["decoder.block." + std::to_string(i)] = 1;
    for (const char* name : {"decoder.block.22", "decoder.block.23", "decoder.final_layer_norm", "decoder.dropout"}) want[name] = "cpu";
    for (const auto& [name, device] : want.items()) {
      CAPTURE(name);
      CHECK(json.at("hf_device_map").value(name, Json()) == device);
    }
    CHECK(json.at("hf_device_map").size() == want.size());
    CHECK(json.at("policy") == "auto");
    CHECK(json.at("dtype") == "float32");
    CHECK(json.at("fits") == true);
    CHECK(json.at("devices").size() == 4);
    CHECK(json.at("devices")[3].at("device") == "disk");
    CHECK_FALSE(json.at("devices")[3].contains("budget_bytes"));
  }

  TEST_CASE("replays a small set of calls in one process") {
    const Replay small(golden_path("planning"));
    const TempFolder folder;
    const RunResult r = infer({"--request", folder.write("calls.jsonl", small.requests()).string()});
    CHECK(r.exit_code == 0);
    CHECK(small.differences(r.out) == 0);
  }

  TEST_CASE("replays 3,128 calls in one process") {
    const auto path = shared_path("goldens/device_maps");
    if (!path) return;
    const Replay all(*path);
    const TempFolder folder;
    const RunResult r = infer({"--request", folder.write("calls.jsonl", all.requests()).string()});
    CHECK(r.exit_code == 0);
    CHECK(all.cases.size() == 3128);
    CHECK(all.differences(r.out) == 0);
  }

  TEST_CASE("plans a module tree, prints a table, Python and JSON that agree") {
    const Tree tree;
    const std::vector<std::string> args = {"--graph", tree.path, "--max-memory", "0=200,1=200", "--policy", "accelerate"};
    const Json json = json_of(args);
    CHECK(json.at("hf_device_map") == Json({{"linear1", 0}, {"batchnorm", 1}, {"linear2", 1}}));
    CHECK(json.at("devices")[0] == Json({{"device", 0}, {"budget_bytes", 200}, {"weights_bytes", 64}, {"reserved_bytes", 100}, {"free_bytes", 36}}));
    auto more = args;
    more.insert(more.end(), {"--format", "python"});
    CHECK(infer(more).out == "{\n    'linear1': 0,\n    'batchnorm': 1,\n    'linear2': 1,\n}\n");
    const RunResult table = infer(args);
    CHECK(table.out.find("M in float32, policy accelerate\n") != std::string::npos);
    CHECK(table.out.find("│ 0      │    200 B │    64 B │    100 B │ 36 B │ █████████▉") != std::string::npos);
    CHECK(table.out.find("\n1  batchnorm, linear2\n") != std::string::npos);
    more = args;
    more.insert(more.end(), {"--no-clean-result", "--dtype", "float16", "--special-dtypes", "linear2.weight=float32", "--offload-buffers", "--fallback-allocation",
                             "--no-split-module-classes", "none"});
    CHECK(json_of(more).at("dtype") == "float16");
  }

  TEST_CASE("a quantised model is planned as its checkpoint stores it, with --dtype as it was before") {
    const TempFolder folder;
    const std::string start = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4,
        "num_attention_heads": 8, "vocab_size": 1000, "dtype": "float16")";
    const std::string packed = folder.write("packed.json", start + R"(, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}})").string();
    const std::string unknown = folder.write("unknown.json", start + R"(, "quantization_config": {"quant_method": "hqq"}})").string();
    const auto weights = [](const Json& json) {
      std::int64_t sum = 0;
      for (const Json& device : json.at("devices")) sum += device.at("weights_bytes").get<std::int64_t>();
      return sum;
    };
    const Json stored = Json::parse(run_binary({"estimate-memory", packed, "--json"}).out)["stored"];
    const Json map = json_of({packed, "--max-memory", "0=2MB,1=20MB"});
    // The rotary tables that files leave out are placed too: two of 32 floats in float32.
    CHECK(weights(map) == stored["bytes"].get<std::int64_t>() + 2 * 32 * 4);
    CHECK(map.dump().find("as the checkpoint stores them: awq") != std::string::npos);
    CHECK(map.dump().find("before quantisation") == std::string::npos);
    const Json wide = json_of({packed, "--max-memory", "0=200MB", "--dtype", "float16"});
    CHECK(weights(wide) > 3 * weights(map) / 2);
    CHECK(wide.dump().find("before quantisation") != std::string::npos);
    const Json other = json_of({unknown, "--max-memory", "0=200MB"});
    // Without --dtype the tables are placed in float32.
    CHECK(weights(other) == weights(wide) + 2 * 32 * 2);
    CHECK(other.dump().find("'hqq'") != std::string::npos);
  }

  TEST_CASE("messages and exceptions are the reference's own under accelerate") {
    const Tree tree;
    const Json json = json_of({"--graph", tree.path, "--max-memory", "0=163", "--policy", "accelerate"});
    CHECK(json.at("hf_device_map") == Json({{"", "disk"}}));
    REQUIRE(json.at("messages").size() >= 1);
    CHECK(json.dump().find("  - 0: 164 bytes required") != std::string::npos);
    const RunResult r = infer({"--graph", tree.path, "--max-memory", "tpu=5", "--policy", "accelerate"});
    CHECK(r.exit_code == 2);
    CHECK(r.err.find("Device tpu is not recognized, available devices are integers(for GPU/XPU), 'mps', 'cpu' and 'disk'") != std::string::npos);
    CHECK(json_of({"--graph", tree.path, "--max-memory", "0=-5", "--policy", "accelerate"}).at("hf_device_map") == Json({{"", "disk"}}));
  }

  TEST_CASE("what does not fit ends with 7, what is missing, and ways out that work") {
    const RunResult r = infer({"gpt2", "-m", "0=100MB,cpu=100MB,disk=0"});
    CHECK(r.exit_code == 7);
    CHECK(r.out == "");
    CHECK(r.err.find("are missing; --dtype int8, or --max-memory cpu=") != std::string::npos);
    const std::size_t at = r.err.find("cpu=", r.err.find("--max-memory")) + 4;
    const std::string cpu = r.err.substr(at, r.err.find(' ', at) - at);
    CHECK(infer({"gpt2", "-m", "0=100MB,cpu=" + cpu + ",disk=0"}).exit_code == 0);
    CHECK(infer({"gpt2", "-m", "0=100MB,cpu=100MB,disk=0", "--dtype", "int8"}).exit_code == 0);
    CHECK(infer({"gpt2", "-m", "0=100MB,cpu=100MB,disk=0", "--policy", "accelerate"}).exit_code == 0);
    const RunResult json = infer({"gpt2", "-m", "0=1MB,cpu=1MB,disk=0", "--json"});
    CHECK(json.exit_code == 7);
    CHECK(faults_of("error", json.err.substr(json.err.rfind('\n', json.err.size() - 2) + 1)) == "");
    const RunResult optimal = infer({"gpt2", "-m", "cpu=100MB", "--policy", "optimal"});
    CHECK(optimal.exit_code == 7);
    CHECK(optimal.err.find("--max-memory cpu=") != std::string::npos);
  }

  TEST_CASE("explains a module") {
    const RunResult r = infer({"gpt2", "-m", "0=300MB,cpu=1GB", "--explain", "transformer.h.9.mlp"});
    CHECK(r.exit_code == 0);
    CHECK(r.out.starts_with("transformer.h.9.mlp lies on cpu\n"));
    CHECK(r.out.find("transformer: 474.70 MiB do not fit 0 (286.10 MiB left): split\n") != std::string::npos);
    CHECK(r.out.find("transformer.h.9: 27.04 MiB on cpu") != std::string::npos);
    const RunResult wrong = infer({"gpt2", "-m", "0=300MB", "--explain", "h.9"});
    CHECK(wrong.exit_code == 3);
    CHECK(wrong.err.find("did you mean 'transformer.h.9'?") != std::string::npos);
    CHECK(json_of({"gpt2", "-m", "0=300MB,cpu=1GB", "--explain", "transformer.h.9"}).at("explain").at("devices") == Json({"cpu"}));
  }

  TEST_CASE("checks a map that was written by hand") {
    const Tree tree;
    const auto check = [&tree](const std::string& map, std::vector<std::string> more = {}) {
      more.insert(more.begin(), {"--graph", tree.path, "--device-map", map});
      return infer(more);
    };
    CHECK(check(R"({"": 0})").exit_code == 0);
    CHECK(check(R"({"linear1": 0, "linear2": 1, "batchnorm": "cpu"})").exit_code == 0);
    const RunResult r = check(R"({"linear1": 0, "linear3": 1})");
    CHECK(r.exit_code == 1);
    CHECK(r.err.find("the model has no 'linear3'") != std::string::npos);
    CHECK(r.err.find("no device for batchnorm.weight, batchnorm.bias, batchnorm.running_mean") != std::string::npos);
    // The longest prefix counts, and budgets are held against it.
    const RunResult over = check(R"({"": "cpu", "linear1": 0, "linear1.weight": 1})", {"--max-memory", "0=16,1=47,cpu=1000", "--json"});
    CHECK(over.exit_code == 1);
    const Json json = Json::parse(over.out);
    CHECK(json.at("fits") == false);
    CHECK(json.at("devices")[0].at("weights_bytes") == 16);
    CHECK(json.at("devices")[1].at("weights_bytes") == 48);
    CHECK(json.at("devices")[2].at("weights_bytes") == 172);
    CHECK(json.at("warnings")[0] == "device 1: 1 B over its budget");
    const std::string file = tree.folder.write("map.json", R"({"hf_device_map": {"": "cuda:1"}})").string();
    CHECK(check(file).exit_code == 0);
    CHECK(check("{]").exit_code == 2);
    CHECK(check("no/such/file.json").exit_code == 3);
  }

  TEST_CASE("optimal prints its speed beside accelerate's") {
    const Json json = json_of({"meta-llama/Meta-Llama-3-8B", "--policy", "optimal", "--dtype", "bfloat16", "-m", "0=12GiB,cpu=64GiB", "--bandwidth",
                               "0=3.3TB/s,cpu=50GB/s,disk=3GB/s", "--context", "8192"});
    const Json& predicted = json.at("predicted");
    CHECK(predicted.at("bound") == "cpu");
    CHECK(predicted.at("tokens_per_second").get<double>() > 8);
    CHECK(predicted.at("accelerate_missing_bytes").get<std::int64_t>() > 400'000'000);  // it forgets the cache
    const Json two = json_of({"meta-llama/Meta-Llama-3-8B", "--policy", "optimal", "--dtype", "bfloat16", "-m", "0=8GiB,1=8GiB,cpu=64GiB", "--bandwidth",
                              "gpu=3.3TB/s,cpu=50GB/s,disk=3GB/s"});
    CHECK(two.at("predicted").at("tokens_per_second").get<double>() > 4 * two.at("predicted").at("accelerate_tokens_per_second").get<double>());
    CHECK(json.at("devices")[0].at("kv_cache_bytes") == 1 << 30);
    const RunResult text = infer({"gpt2", "--policy", "optimal", "-m", "0=1GB", "--batch", "2"});
    CHECK(text.out.find("predicted: ") != std::string::npos);
    CHECK(text.err.find("speeds assumed: 0=1TB/s") != std::string::npos);
    CHECK(json_of({"gpt2", "-m", "0=1GB", "--bandwidth", "gpu=1TB/s"}).at("predicted").at("bound") == "0");
  }

  TEST_CASE("what doctor --probe measures is what --bandwidth takes") {
    const RunResult probe = run_binary({"doctor", "--probe", "--json"});
    CHECK(probe.exit_code == 0);
    CHECK(faults_of("doctor", probe.out) == "");
    const std::string bandwidth = Json::parse(probe.out).at("probe").at("bandwidth");
    CHECK(bandwidth.find("cpu=") != std::string::npos);
    CHECK(json_of({"gpt2", "-m", "cpu=1GB", "--bandwidth", bandwidth}).at("predicted").at("tokens_per_second").get<double>() > 0);
  }

  TEST_CASE("the machine is asked where no budget is given") {
    const RunResult r = infer({"gpt2"});
    CHECK(r.exit_code == 0);
    CHECK(r.err.find("device cpu: ") != std::string::npos);
  }

  TEST_CASE("one request, several on standard input, errors among them") {
    const TempFolder folder;
    const std::string one = folder.write("one.json", R"({"graph": )" + std::string(kTree) + R"(, "max_memory": {"0": 300, "cpu": "1KB"}})").string();
    const RunResult single = infer({"--request", one});
    CHECK(single.exit_code == 0);
    CHECK(faults_of("infer-device-map", single.out) == "");
    CHECK(Json::parse(single.out).at("hf_device_map") == Json({{"", 0}}));
    const RunResult lines = infer({"--request", "-"}, {.input = "{\"model\": \"gpt2\", \"max_memory\": [[0, \"1GB\"]]}\n\n[]\nnot json\n"
                                                               "{\"model\": \"gpt2\", \"max_memory\": [[0, NaN]]}\n{\"model\": \"gpt2\", \"max_memroy\": null}\n"
                                                               "{\"model\": \"gpt2\", \"max_memory\": [[0, 5], [\"disk\", 5]]}\n"});
    CHECK(lines.exit_code == 0);
    std::istringstream in(lines.out);
    std::vector<Json> answers;
    for (std::string line; std::getline(in, line);) answers.push_back(Json::parse(line));
    REQUIRE(answers.size() == 6);
    CHECK(answers[0].at("hf_device_map") == Json({{"", 0}}));
    CHECK(answers[1].at("error").at("kind") == "format");
    CHECK(answers[2].at("error").at("kind") == "format");
    CHECK(answers[3].at("error").at("kind") == "usage");
    CHECK(answers[4].at("error").at("hint") == "did you mean 'max_memory'?");
    CHECK(answers[5].at("error").at("code") == 7);
  }

  TEST_CASE("bad arguments are named") {
    const auto refused = [](std::vector<std::string> args, int code, const char* text) {
      const RunResult r = infer(args);
      CAPTURE(r.err);
      CHECK(r.exit_code == code);
      CHECK(r.err.find(text) != std::string::npos);
      CHECK(r.out == "");
    };
    refused({}, 2, "expected a MODEL, --graph or --request");
    refused({"gpt2", "--graph", "x.json"}, 2, "exclude each other");
    refused({"gpt2", "-m", "0"}, 2, "no device and size");
    refused({"gpt2", "-m", "tpu=5GB"}, 2, "unknown device 'tpu'");
    refused({"gpt2", "-m", "-1=5GB"}, 2, "unknown device '-1'");
    refused({"gpt2", "-m", "0=-5GB"}, 2, "--max-memory");
    refused({"gpt2", "-m", "0=nanGB"}, 2, "--max-memory");
    refused({"gpt2", "-m", "0=99999999999999999999GB"}, 2, "--max-memory");
    refused({"gpt2", "-m", "0=18446744073709551615"}, 2, "too large");
    refused({"gpt2", "-m", "99999999999999999999=5GB"}, 2, "unknown device");
    refused({"gpt2", "-m", "0=5GB", "--special-dtypes", "x"}, 2, "<tensor>=<dtype>");
    refused({"gpt2", "-m", "0=5GB", "--policy", "best"}, 2, "--policy");
    refused({"gpt2", "-m", "0=5GB", "--policy", "optimal", "--bandwidth", "0=fast"}, 2, "--bandwidth");
    refused({"gpt2", "-m", "0=5GB", "--policy", "optimal", "--batch", "0"}, 2, "--batch");
    refused({"gpt2", "-m", "0=5GB", "--policy", "optimal", "--kv-dtype", "x"}, 2, "--kv-dtype");
    refused({"gpt2", "-m", "0=5GB", "--policy", "optimal", "--context", "9000000000000000000", "--batch", "9000000000000000000"}, 6, "too large");
    refused({"--graph", "/no/such.json"}, 3, "/no/such.json");
    const TempFolder folder;
    refused({"--graph", folder.write("a.json", "[]").string()}, 6, "expected a module tree");
    refused({"--graph", folder.write("b.json", R"({"children": [{"name": "a", "params": [["w", [4611686018427387904, 4], "float32"]]}]})").string()}, 6, "too large");
    refused({"--graph", folder.write("c.json", R"({"params": [["w", [2], "float32"]], "ties": [["w", "w"]]})").string()}, 6, "two places");
  }
}

}  // namespace bigmodel::test
