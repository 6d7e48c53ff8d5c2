// SPDX-License-Identifier: Apache-2.0
// What models that do not generate answer: held against transformers 5.23 on the same random weights.
#include <doctest/doctest.h>

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

/// A small random BERT of a class, with the word pieces of the tokenizer goldens and a mask.
class Bert {
 public:
  explicit Bert(const std::string& class_name, bool labels = true) {
    std::ifstream file(golden_path("tokenizer/own/word_piece.json"));
    Json tokenizer = Json::parse(file);
    Json& vocabulary = tokenizer.at("model").at("vocab");
    const auto mask = static_cast<std::int64_t>(vocabulary.size());
    vocabulary["[MASK]"] = mask;
    tokenizer.at("added_tokens").push_back({{"id", mask}, {"content", "[MASK]"}, {"single_word", false}, {"lstrip", true}, {"rstrip", false}, {"normalized", false}, {"special", true}});
    Json config = {{"model_type", "bert"}, {"vocab_size", 31}, {"hidden_size", 32}, {"num_hidden_layers", 2}, {"num_attention_heads", 2}, {"intermediate_size", 64},
                   {"max_position_embeddings", 64}, {"initializer_range", 0.5}, {"architectures", {class_name}}};
    if (labels) config["id2label"] = {{"0", "O"}, {"1", "PER"}, {"2", "LOC"}};
    const RunResult made = run_binary({"init", folder_.write("config.json", config.dump()).string(), "--class", class_name, "--seed", "5", "--output", path()});
    REQUIRE_MESSAGE(made.exit_code == 0, made.err);
    folder_.write("model/tokenizer.json", tokenizer.dump());
    folder_.write("model/tokenizer_config.json", R"({"mask_token": "[MASK]"})");
  }
  std::string path() const { return (folder_ / "model").string(); }

  Json answers(std::vector<std::string> args) const {
    args.insert(args.begin(), {"run", path()});
    args.emplace_back("--json");
    const RunResult r = run_binary(args);
    REQUIRE_MESSAGE(r.exit_code == 0, r.err);
    CHECK(faults_of("run", r.out) == "");
    return Json::parse(r.out).value("answers", Json::array());
  }

 private:
  TempFolder folder_;
};

struct Wanted {
  std::string label;
  double score;
};

void check(const Json& candidates, const std::vector<Wanted>& wanted) {
  REQUIRE(candidates.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    CHECK(candidates.at(i).at("label") == wanted[i].label);
    CHECK(candidates.at(i).at("score").get<double>() == doctest::Approx(wanted[i].score).epsilon(1e-4));
  }
}

}  // namespace

TEST_SUITE("cli/run_answers") {
  TEST_CASE("masks are filled with the likeliest tokens") {
    const Bert model("BertForMaskedLM");
    const Json answers = model.answers({"-p", "hello [MASK] world"});
    REQUIRE(answers.size() == 1);
    CHECK(answers.at(0).at("kind") == "fills");
    CHECK(answers.at(0).at("position") == 2);
    CHECK(answers.at(0).at("candidates").at(0).at("token") == 5);
    check(answers.at(0).at("candidates"), {{"he", 0.614408}, {"[CLS]", 0.150638}, {"[PAD]", 0.056271}, {"e", 0.040657}, {"", 0.024676}});
    CHECK(model.answers({"-p", "[MASK] [MASK]"}).size() == 2);
    const RunResult text = run_binary({"run", model.path(), "-p", "hello [MASK] world", "--quiet"});
    CHECK(text.out.starts_with("0.6144  he\n0.1506  [CLS]\n"));
    // Without a mask there is nothing to fill: the outputs are summed up.
    CHECK(run_binary({"run", model.path(), "-p", "hello", "--quiet"}).out.starts_with("logits float32 [1, 3, 31]  norm "));
    CHECK(run_binary({"run", model.path(), "-p", "hello", "--chat"}).exit_code != 0);
  }

  TEST_CASE("classes have the config's names, padded rows their own scores") {
    const Bert model("BertForSequenceClassification");
    check(model.answers({"-p", "hello world!"}).at(0).at("candidates"), {{"O", 0.982935}, {"PER", 0.012235}, {"LOC", 0.004830}});
    const TempFolder folder;
    const Json both = model.answers({"--batch", folder.write("two.txt", "hello\nhello world!\n").string()});
    REQUIRE(both.size() == 2);
    check(both.at(1).at("candidates"), {{"O", 0.982935}, {"PER", 0.012235}, {"LOC", 0.004830}});
    check(both.at(0).at("candidates"), [&] {
      std::vector<Wanted> out;
      const Json alone = model.answers({"-p", "hello"});
      for (const Json& c : alone.at(0).at("candidates")) out.push_back({c.at("label").get<std::string>(), c.at("score").get<double>()});
      return out;
    }());
  }

  TEST_CASE("tokens carry labels with their place in the text") {
    const Json candidates = Bert("BertForTokenClassification").answers({"-p", "hello don't fix 123"}).at(0).at("candidates");
    check(candidates, {{"PER", 0.893324}, {"PER", 0.903872}, {"PER", 0.882321}, {"PER", 0.823455}, {"PER", 0.920234}, {"PER", 0.958623}, {"PER", 0.900627}, {"PER", 0.967381}});
    CHECK(candidates.at(1).at("word") == "don");
    CHECK(candidates.at(7).at("start") == 18);
    CHECK(candidates.at(7).at("end") == 19);
  }

  TEST_CASE("questions are answered by spans of the second text") {
    const Json candidates = Bert("BertForQuestionAnswering", false).answers({"-p", "he?", "--pair", "hello world, don't fix 123"}).at(0).at("candidates");
    REQUIRE(candidates.size() == 5);
    CHECK(candidates.at(0).at("label") == ", don't");
    CHECK(candidates.at(0).at("score").get<double>() == doctest::Approx(0.098683).epsilon(1e-4));
    CHECK(candidates.at(1).at("start") == 11);
    CHECK(candidates.at(1).at("end") == 17);
  }

  TEST_CASE("plain encoders give a summary, --logits every output") {
    const Bert model("BertModel");
    const RunResult r = run_binary({"run", model.path(), "-p", "hello world", "--quiet"});
    CHECK(r.exit_code == 0);
    CHECK(r.out.starts_with("last_hidden_state float32 [1, 4, 32]  norm "));
    CHECK(r.out.find("pooler_output float32 [1, 32]") != std::string::npos);
  }
}

}  // namespace bigmodel::test
