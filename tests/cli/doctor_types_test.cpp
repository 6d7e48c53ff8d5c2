// SPDX-License-Identifier: Apache-2.0
// `bigmodel doctor --types`: described types with their classes, what runs, and what is missing where nothing does.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

Json type_entry(const Json& survey, std::string_view type) {
  for (const Json& entry : survey.at("types")) {
    if (entry.at("model_type") == type) return entry;
  }
  return nullptr;
}

bool holds(const Json& list, std::string_view name) {
  return std::ranges::any_of(list, [name](const Json& item) { return item == name; });
}

}  // namespace

TEST_SUITE("cli/doctor_types") {
  TEST_CASE("types run, or say what is missing") {
    const TempFolder folder;
    folder.write("own.arch", "arch 1\n\nmodel mute as Mute\n  base Model\n  entry Model\n    param weight [2]\n\n"
                             "model needy as Needy\n  config\n    width = required\n  base Model\n  entry Model\n    param weight [width]\n\n"
                             "model gap : llama as Gap\n  class DecoderLayer\n    block prenorm_layer\n      incomplete = \"a gate\"\n");
    const RunResult r = run_binary({"doctor", "--types", "--json", "--arch-dir", folder.path().string()});
    REQUIRE(r.exit_code == 0);
    CHECK(faults_of("doctor-types", r.out) == "");
    const Json survey = Json::parse(r.out);
    const Json llama = type_entry(survey, "llama");
    CHECK(llama.at("classes").front() == "LlamaModel");
    CHECK(holds(llama.at("runnable"), "LlamaForCausalLM"));
    CHECK_FALSE(llama.contains("missing"));
    // A stack that only its model can build does not hide the classes behind it.
    CHECK(holds(type_entry(survey, "t5").at("runnable"), "T5ForConditionalGeneration"));
    CHECK(type_entry(survey, "mute").at("runnable").empty());
    CHECK(type_entry(survey, "mute").at("missing").get<std::string>().find("gives it no role") != std::string::npos);
    CHECK(type_entry(survey, "gap").at("missing").get<std::string>().find("a gate") != std::string::npos);
    CHECK(type_entry(survey, "needy").at("missing").get<std::string>().find("'width' is required") != std::string::npos);
    CHECK(survey.at("described_count") == std::ranges::count_if(survey.at("types"), [](const Json& t) { return t.at("described").get<bool>(); }));
    CHECK(llama.at("described") == true);
    CHECK(survey.at("described_count") == survey.at("types").size());  // nothing that the reference builds is missing
    CHECK(survey.at("types").size() >= 767);
    CHECK(survey.at("timm_count") > 0);
    CHECK(std::ranges::none_of(survey.at("types"), [](const Json& t) { return t.at("model_type").get<std::string>().starts_with("timm/"); }));
  }

  TEST_CASE("--types and --probe are not one question") {
    CHECK(run_binary({"doctor", "--types", "--probe"}).exit_code == 2);
  }
}

}  // namespace bigmodel::test
