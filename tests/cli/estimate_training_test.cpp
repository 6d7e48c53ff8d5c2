// SPDX-License-Identifier: Apache-2.0
// `estimate-memory --train ...` from outside.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "cli/json_schema.h"
#include "cli/run_binary.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

RunResult run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"estimate-memory", "gpt2"});
  return run_binary(arguments);
}

}  // namespace

TEST_SUITE("cli/estimate_training") {
  TEST_CASE("its JSON is as the schema says, and adds up") {
    const RunResult r = run({"--train", "full", "--optimizer", "lion", "--dtypes", "float32", "bfloat16", "--device", "2xT4", "--sharding", "zero2", "--sequence",
                             "512", "--micro-batch", "2", "--recompute", "full", "--json"});
    REQUIRE(r.exit_code == 0);
    CHECK(faults_of("estimate-memory", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(!json.contains("inference"));
    const Json training = json["training"];
    CHECK(training["trainable_parameters"] == 124439808);
    CHECK(training["devices"] == 2);
    const Json& row = training["dtypes"][0];
    CHECK(row["weights_bytes"] == INT64_C(124439808) * 4);
    CHECK(row["gradients_bytes"] == INT64_C(124439808) * 4 / 2);
    CHECK(row["optimizer_bytes"] == INT64_C(124439808) * 4 / 2);
    CHECK(row["bucket_bytes"] == INT64_C(124439808) * 4);
    CHECK(row["fit"]["verdict"] == "fits");
    CHECK(row["total"]["low"] <= row["total"]["expected"]);
    CHECK(training["dtypes"][1]["weights_bytes"] == INT64_C(124439808) * 2);
  }

  TEST_CASE("compiled: less is kept for the way back") {
    const auto kept = [](std::vector<std::string> more) {
      more.insert(more.begin(), {"estimate-memory", "meta-llama/Llama-3.2-1B", "--train", "full", "--dtypes", "bfloat16", "--json"});
      return Json::parse(run_binary(more).out)["training"];
    };
    CHECK(kept({})["compiled"] == false);
    const Json compiled = kept({"--compiled"});
    CHECK(compiled["compiled"] == true);
    CHECK(compiled["dtypes"][0]["activations_bytes"] < kept({})["dtypes"][0]["activations_bytes"]);
    CHECK(run({"--train", "full", "--compiled"}).out.find(", compiled") != std::string::npos);
    CHECK(run({"--compiled"}).exit_code == 2);
  }

  TEST_CASE("adapters, a verdict, and what would help") {
    const RunResult r = run({"--train", "lora", "--lora-rank", "8", "--lora-targets", "c_attn,c_fc"});
    CHECK(r.exit_code == 0);
    CHECK(r.out.find("to train GPT2LMHeadModel (lora): adamw, 1 x 2,048 tokens, recompute none") != std::string::npos);
    CHECK(r.out.find("663,552 parameters are trained") != std::string::npos);
    const RunResult no = run({"--train", "full", "--dtypes", "float32", "--device", "2GiB", "--fits"});
    CHECK(no.exit_code == 1);
    CHECK(no.out.find("what would make it fit: --recompute full") != std::string::npos);
    CHECK(run({"--train", "full", "--device", "80GiB", "--fits"}).exit_code == 0);
    // Asked for both, both are answered.
    const RunResult both = run({"--train", "qlora", "--context", "100", "--device", "T4"});
    CHECK(both.out.find("to run GPT2LMHeadModel") != std::string::npos);
    CHECK(both.out.find("to train GPT2LMHeadModel (qlora)") != std::string::npos);
  }

  TEST_CASE("several devices: what each holds, stage by stage; states in host memory") {
    const RunResult stages = run({"--train", "full", "--sharding", "pp=3,tp=2", "--device", "6xT4", "--dtypes", "float32"});
    CHECK(stages.exit_code == 0);
    CHECK(stages.out.find("│ device │ layers │") != std::string::npos);
    CHECK(stages.out.find("│ 2-3    │ 4-7    │") != std::string::npos);
    CHECK(run({"--train", "full"}).out.find("│ device │") == std::string::npos);
    const RunResult offload = run({"--train", "full", "--offload", "all", "--sharding", "zero3=4", "--dtypes", "float32", "--json"});
    CHECK(faults_of("estimate-memory", offload.out) == "");
    const Json training = Json::parse(offload.out)["training"];
    CHECK(training["offload"] == "all");
    const Json& row = training["dtypes"][0];
    CHECK(row["weights_bytes"] == 0);
    CHECK(row["host"]["expected"] == INT64_C(124439808) * 16);
    REQUIRE(row["devices"].size() == 1);
    CHECK(row["devices"][0]["count"] == 4);
    CHECK(row["devices"][0]["total"] == row["total"]);
    CHECK(run({"--train", "full", "--offload", "optimizer"}).out.find("in host memory: ") != std::string::npos);
    CHECK(run({"--train", "full", "--offload", "all"}).exit_code == 2);
    CHECK(run({"--train", "full", "--offload", "optimizer", "--optimizer-in-backward"}).exit_code == 2);
    CHECK(run({"--train", "full", "--offload", "optimizer", "--optimizer", "paged-adamw-8bit"}).exit_code == 2);
    CHECK(run({"--offload", "optimizer"}).exit_code == 2);
    CHECK(run({"--train", "full", "--sharding", "pp=99"}).exit_code == 2);
  }

  TEST_CASE("sequences beyond the model's positions are a warning, unknown activations no promise") {
    CHECK(run({"--train", "full", "--sequence", "2000"}).err.find("1,024 positions") != std::string::npos);
    CHECK(run({"--train", "full", "--sequence", "1000"}).err.find("positions") == std::string::npos);
    const RunResult convolutions = run_binary({"estimate-memory", "microsoft/resnet-50", "--train", "full", "--device", "80GiB", "--fits"});
    CHECK(convolutions.exit_code == 1);
    CHECK(convolutions.err.find("unknown is: activations") != std::string::npos);
  }

  TEST_CASE("what contradicts itself or makes no sense is refused") {
    CHECK(run({"--optimizer", "sgd"}).exit_code == 2);
    CHECK(run({"--sequence", "512"}).exit_code == 2);
    CHECK(run({"--train", "some"}).exit_code == 2);
    CHECK(run({"--train", "full", "--lora-rank", "4"}).exit_code == 2);
    CHECK(run({"--train", "lora", "--master-weights"}).exit_code == 2);
    CHECK(run({"--train", "full", "--sharding", "zero3"}).exit_code == 2);
    CHECK(run({"--train", "full", "--sharding", "zero9=2"}).exit_code == 2);
    CHECK(run({"--train", "full", "--dtypes", "int4"}).exit_code == 2);
    CHECK(run({"--train", "full", "--sequence", "0"}).exit_code == 2);
    CHECK(run({"--train", "full", "--sequence", "9000000000000000000"}).exit_code == 6);
    const RunResult near = run({"--train", "lora", "--lora-targets", "c_atn"});
    CHECK(near.exit_code == 3);
    CHECK(near.err.find("did you mean 'c_attn'") != std::string::npos);
  }
}

}  // namespace bigmodel::test
