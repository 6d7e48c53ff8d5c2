// SPDX-License-Identifier: Apache-2.0
// `bigmodel estimate-memory` from outside.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

/// A folder with the config of bert-base-cased; its numbers are the documentation's.
struct Bert {
  TempFolder folder;
  std::string path;
  Bert() {
    path = folder.write("config.json", R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 28996})")
               .string();
  }
};

}  // namespace

TEST_SUITE("cli/estimate_memory") {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  TEST_CASE("a model of 45,000 tensors in 200 shards takes no more memory than one of 200") {
    // A limit of the kernel, so that the machine's load says nothing: what is evaluated once per layer instead of once passes it.
    for (const char* model : {"bert-base-cased", "deepseek-ai/DeepSeek-V3"}) {
      const RunResult r = run_binary({"-c", "ulimit -d 12000 && exec \"$0\" estimate-memory \"$1\"", bigmodel_binary(), model}, {.binary = "/bin/sh"});
      CAPTURE(r.err);
      CHECK(r.exit_code == 0);
    }
  }
#endif

  TEST_CASE("prints the table of bert-base-cased") {
    const Bert bert;
    const RunResult r = run_binary({"estimate-memory", bert.folder.path().string()});
    CHECK(r.exit_code == 0);
    CHECK(r.out.find("│ float32 │ 86.47 MiB  embeddings           │ 413.18 MiB │           1.61 GiB │\n") != std::string::npos);
    CHECK(r.out.find("│ int4    │ 10.81 MiB  embeddings           │  51.65 MiB │         206.59 MiB │\n") != std::string::npos);
    CHECK(r.out.find("BertForMaskedLM: +119.27 KiB in float32, --class auto\n") != std::string::npos);
    CHECK(r.out.find("for loading, not inference") != std::string::npos);
  }

  TEST_CASE("gives the documented bytes as JSON") {
    const Bert bert;
    const Json json = Json::parse(run_binary({"estimate-memory", bert.path, "--json"}).out);
    CHECK(json.at("parameters") == 108310272);
    CHECK(json.at("buffers") == 1024);
    CHECK(json.at("tensors") == 201);
    CHECK(json.at("class") == "BertModel");
    CHECK(json.at("source") == "file");
    const Json& row = json.at("dtypes").at(0);
    CHECK(row.at("total_bytes") == 433249280);
    CHECK(row.at("largest_layer") == Json::parse(R"({"bytes": 90669056, "modules": ["embeddings"]})"));
    CHECK(row.at("training_adam_bytes") == 1732997120);
    CHECK(json.at("checkpoint_class").at("class") == "BertForMaskedLM");
  }

  TEST_CASE("prints accelerate's own table letter by letter") {
    const Bert bert;
    const RunResult r = run_binary({"estimate-memory", "c", "--format", "accelerate"}, {.folder = [&] {
                                     bert.folder.write("c/config.json", R"({"model_type": "bert", "vocab_size": 28996})");
                                     return bert.folder.path().string();
                                   }()});
    CHECK(r.out ==
          "┌────────────────────────────────────────────────────┐\n"
          "│            Memory Usage for loading `c`            │\n"
          "├───────┬─────────────┬──────────┬───────────────────┤\n"
          "│ dtype │Largest Layer│Total Size│Training using Adam│\n"
          "├───────┼─────────────┼──────────┼───────────────────┤\n"
          "│float32│   86.47 MB  │413.18 MB │      1.61 GB      │\n"
          "│float16│   43.23 MB  │206.59 MB │     826.36 MB     │\n"
          "│  int8 │   21.62 MB  │103.29 MB │        N/A        │\n"
          "│  int4 │   10.81 MB  │ 51.65 MB │        N/A        │\n"
          "└───────┴─────────────┴──────────┴───────────────────┘\n");
  }

  TEST_CASE("takes dtypes by blanks, commas and repetition, in the order given") {
    const Bert bert;
    const auto dtypes = [&](std::vector<std::string> args) {
      args.insert(args.begin(), "estimate-memory");
      args.insert(args.end(), {"--format", "csv"});
      const RunResult r = run_binary(args);
      CHECK(r.exit_code == 0);
      return r.out;
    };
    const std::string by_blanks = dtypes({"--dtypes", "int8", "bfloat16", bert.path});
    CHECK(by_blanks ==
          "model,class,dtype,largest_layer_bytes,largest_layer,total_bytes,training_adam_bytes\n" + bert.path +
              ",BertModel,int8,22667264,embeddings,108312320,433249280\n" + bert.path +
              ",BertModel,bfloat16,45334528,embeddings,216624640,866498560\n");
    CHECK(dtypes({bert.path, "--dtypes", "int8,bfloat16"}) == by_blanks);
    CHECK(dtypes({bert.path, "--dtypes=int8", "--dtypes=bf16"}) == by_blanks);
    CHECK(dtypes({"-d", "int8", "bfloat16", bert.path}) == by_blanks);
  }

  TEST_CASE("prints one JSON array, or one line each, for several models") {
    const Bert bert;
    const Json array = Json::parse(run_binary({"estimate-memory", bert.path, bert.path, "--json"}).out);
    REQUIRE(array.is_array());
    CHECK(array.size() == 2);
    const std::string lines = run_binary({"estimate-memory", bert.path, bert.path, "--format", "jsonl"}).out;
    CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
  }

  TEST_CASE("prints only the total of the first dtype under --quiet") {
    const Bert bert;
    const RunResult r = run_binary({"estimate-memory", bert.path, "--quiet"});
    CHECK(r.out == "433249280\n");
    CHECK(r.err == "");
  }

  TEST_CASE("counts the class that is asked for") {
    const Bert bert;
    const Json json = Json::parse(run_binary({"estimate-memory", bert.path, "--json", "--class", "auto"}).out);
    CHECK(json.at("class") == "BertForMaskedLM");
    CHECK_FALSE(json.contains("checkpoint_class"));
    CHECK(run_binary({"estimate-memory", bert.path, "--class", "BertForNothing"}).exit_code == 3);
  }

  TEST_CASE("prices a quantised model as stored; a method that is not known makes the estimate incomplete") {
    const TempFolder folder;
    const auto priced = [&](const std::string& method, std::vector<std::string> more = {}) {
      const std::string path = folder.write("config.json", R"({"model_type": "bert", "architectures": ["BertModel"], "torch_dtype": "float16",
          "quantization_config": {"quant_method": ")" + method + R"(", "bits": 4, "group_size": 64}})").string();
      std::vector<std::string> arguments{"estimate-memory", path, "--json"};
      arguments.insert(arguments.end(), more.begin(), more.end());
      return run_binary(arguments);
    };
    const RunResult known = priced("gptq", {"--strict", "--context", "1"});
    CHECK(known.exit_code == 0);
    CHECK(known.err == "");
    CHECK(faults_of("estimate-memory", known.out) == "");
    const Json json = Json::parse(known.out);
    const std::int64_t packed = INT64_C(12) * (4 * 768 * 768 + 2 * 768 * 3072), all = 109482240;
    CHECK(json["stored"]["parts"][0]["form"] == "int4, groups of 64");
    CHECK(json["stored"]["parts"][0]["parameters"] == packed);
    const std::int64_t bytes = packed / 2 + packed / 64 * 2 + packed / 128 + 4 * 12 * (5 * 768 + 3072) + (all - packed) * 2;
    CHECK(json["stored"]["bytes"] == bytes);
    CHECK(json["stored"]["parameters"] == all);
    CHECK(json["inference"]["dtypes"][0]["dtype"] == "gptq");
    CHECK(json["inference"]["dtypes"][0]["weights_bytes"] == bytes);
    CHECK(json["dtypes"][0]["total_bytes"] == all * 4 + 8 * 512 * 2);
    const RunResult unknown = priced("aqlm");
    CHECK(unknown.exit_code == 0);
    CHECK(unknown.err.find("estimate incomplete: quantisation method 'aqlm' is not known") != std::string::npos);
    CHECK(faults_of("estimate-memory", unknown.out) == "");
    CHECK(Json::parse(unknown.out)["incomplete"].size() == 1);
    CHECK(priced("aqlm", {"--strict"}).exit_code == 1);
  }

  TEST_CASE("headers count where there are some, packed elements are no parameters") {
    const TempFolder folder;
    folder.write("config.json", R"({"model_type": "bert", "architectures": ["BertModel"], "quantization_config": {"quant_method": "aqlm"}})");
    const std::string header = R"({"a.qweight": {"dtype": "I32", "shape": [2, 4], "data_offsets": [0, 32]}, "b": {"dtype": "F16", "shape": [3], "data_offsets": [32, 38]}})";
    folder.write("model.safetensors", safetensors_file(header, std::string(38, 'x')));
    const RunResult r = run_binary({"estimate-memory", folder.path().string(), "--exact", "--strict", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(faults_of("estimate-memory", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(json["stored"]["from"] == "headers");
    CHECK(json["stored"]["bytes"] == 38);
    CHECK_FALSE(json["checkpoint"].contains("parameters"));
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--exact"}).out.find("checkpoint: 2 tensors, packed, 38 B in 1 file (int32, float16)\n") !=
          std::string::npos);
  }

  TEST_CASE("explains that there is nothing to trust") {
    const Bert bert;
    const RunResult r = run_binary({"estimate-memory", bert.path, "--trust_remote_code"});
    CHECK(r.exit_code == 0);
    CHECK(r.err.find("never runs a model's code") != std::string::npos);
  }

  TEST_CASE("reads a config from standard input") {
    const RunResult r = run_binary({"estimate-memory", "-", "-q"}, {.input = R"({"model_type": "bert", "vocab_size": 28996})"});
    CHECK(r.out == "433249280\n");
  }

  TEST_CASE("knows well-known models without any file, and suggests the nearest") {
    const RunResult r = run_binary({"estimate-memory", "bert-base-cased", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(r.err == "using catalog entry bert-base-cased\n");
    CHECK(Json::parse(r.out).at("source") == "catalog");
    CHECK(Json::parse(r.out).at("dtypes").at(0).at("total_bytes") == 433249280);
    const RunResult typo = run_binary({"estimate-memory", "bert-base-casd"});
    CHECK(typo.exit_code == 5);
    CHECK(typo.err ==
          "error: bert-base-casd: not in the cache nor the catalog, and the network is off (HF_HUB_OFFLINE); did you mean "
          "'bert-base-cased'?\n");
  }

  TEST_CASE("counts the documentation's rows") {
    const auto row = [](const std::string& model) {
      const Json json = Json::parse(run_binary({"estimate-memory", model, "--json"}).out);
      return json.at("dtypes").at(0);
    };
    // The documentation's 3,240,165,632 counted tables of cosines and sines (2 x [2048, 128] float32) that every layer kept:
    // transformers 5 keeps inv_freq and original_inv_freq instead, 2,096,896 bytes less.
    CHECK(row("HuggingFaceM4/idefics-80b-instruct").at("largest_layer").at("bytes") == 3240165632 - 2096896);
    CHECK(row("timm/resnet50.a1_in1k").at("total_bytes") == 102441032);
    CHECK(row("timm/resnet50.a1_in1k").at("largest_layer").at("bytes") == 9437184);
    CHECK(row("meta-llama/Meta-Llama-3-70B").at("total_bytes") == 278012133888);
    CHECK(row("meta-llama/Meta-Llama-3-70B").at("largest_layer").at("bytes") == 4202692608);
  }

  TEST_CASE("prefers the Hub cache to the catalog, by either name of a repository, and says so") {
    const TempFolder home;
    const std::string commit(40, 'c');
    home.write("hub/models--google-bert--bert-base-cased/refs/main", commit);
    home.write("hub/models--google-bert--bert-base-cased/snapshots/" + commit + "/config.json",
               R"({"model_type": "bert", "num_hidden_layers": 1})");
    for (const char* name : {"google-bert/bert-base-cased", "bert-base-cased"}) {
      CAPTURE(name);
      const RunResult r =
          run_binary({"estimate-memory", name, "--json"}, {.environment = {{"HF_HOME", home.path().string()}}});
      CHECK(r.err == "using cache google-bert/bert-base-cased@ccccccc\n");
      CHECK(Json::parse(r.out).at("source") == "cache");
      CHECK(Json::parse(r.out).at("parameters") < 108310272);
    }
    const RunResult other = run_binary({"estimate-memory", "bert-base-uncased", "--json"},
                                       {.environment = {{"HF_HOME", home.path().string()}}});
    CHECK(Json::parse(other.out).at("source") == "catalog");
  }

  TEST_CASE("takes bare names of timm under --library_name, and asks for it otherwise") {
    const RunResult r = run_binary({"estimate-memory", "resnet50", "--library_name", "timm", "-q"});
    CHECK(r.out == "102441032\n");
    const RunResult bare = run_binary({"estimate-memory", "resnet50"});
    CHECK(bare.exit_code == 3);
    CHECK(bare.err.find("pass --library_name timm") != std::string::npos);
  }

  TEST_CASE("asks for the library where a config does not say what it is") {
    const RunResult r = run_binary({"estimate-memory", "-"}, {.input = R"({"hidden_size": 768})"});
    CHECK(r.exit_code == 6);
    CHECK(r.err.find("--library_name") != std::string::npos);
  }
}

}  // namespace bigmodel::test
