// SPDX-License-Identifier: Apache-2.0
// Text through `bigmodel run`: how tokens are chosen and when they end, batches, chats, events.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

const std::string kPrompt = "One morning, Ben went to";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

Json run_json(std::vector<std::string> args, const RunOptions& options = {}) {
  args.insert(args.begin(), "run");
  args.emplace_back("--json");
  const RunResult r = run_binary(args, options);
  REQUIRE_MESSAGE(r.exit_code == 0, r.err);
  CHECK(faults_of("run", r.out) == "");
  return Json::parse(r.out);
}

std::string text_of(const Json& json, std::size_t row = 0) { return json.at("texts").at(row).get<std::string>(); }

/// The demo model as a folder, with a template that only joins contents.
std::string chat_model(const TempFolder& folder) {
  std::filesystem::copy(source_root() / "apps/bigmodel/demo_model", folder / "demo");
  folder.write("demo/chat_template.jinja", "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");
  folder.write("demo/tokenizer_config.json", R"({"bos_token": "<|bos|>"})");
  return (folder / "demo").string();
}

}  // namespace

TEST_SUITE("cli/run_text") {
  TEST_CASE("stop strings, counts and times end the output and say so") {
    const Json whole = run_json({"-p", kPrompt});
    CHECK(whole.at("finish") == Json({"eos"}));
    const std::string text = text_of(whole);
    for (const char* stop : {"brown rabbit", R"(["nowhere", " book"])", "."}) {
      CAPTURE(stop);
      const Json json = run_json({"-p", kPrompt, "--stop", stop});
      const std::string word = std::string(stop).starts_with('[') ? " book" : stop;
      CHECK(json.at("finish") == Json({"stop"}));
      CHECK(text_of(json) == text.substr(0, text.find(word) + word.size()));
    }
    // A stop string in the prompt ends nothing.
    CHECK(text_of(run_json({"-p", kPrompt, "--stop", "Ben went"})) == text);
    const Json five = run_json({"-p", kPrompt, "--max-new-tokens", "5"});
    CHECK(five.at("finish") == Json({"length"}));
    CHECK(five.at("output_ids").at(0).size() == 5);
    CHECK(run_json({"-p", kPrompt, "--max-time", "0"}).at("output_ids").at(0).size() == 1);
    CHECK(run_json({"-p", kPrompt, "--generation-config", R"({"max_new_tokens": null, "max_length": 12})"}).at("output_ids").at(0).size() == 2);
    CHECK(run_json({"-p", kPrompt, "--context", "13"}).at("output_ids").at(0).size() == 3);
    CHECK(run_json({"-p", kPrompt, "--min-new-tokens", "70", "--max-new-tokens", "70"}).at("output_ids").at(0).size() == 70);
    const RunResult longer = run_binary({"run", "-p", kPrompt, "--context", "4"});
    CHECK(longer.exit_code == 7);
    CHECK(longer.err.find("--context 10 holds it") != std::string::npos);
    CHECK(run_binary({"run", "--ids", "1,2", "--stop", "x"}).exit_code == 2);
  }

  TEST_CASE("beams, draws and their counts come from the call") {
    const Json beams = run_json({"-p", kPrompt, "--num-beams", "3", "--num-return-sequences", "2", "--max-new-tokens", "12"});
    CHECK(beams.at("texts").size() == 2);
    CHECK(beams.at("scores").at(0).get<double>() > beams.at("scores").at(1).get<double>());
    CHECK(text_of(beams) != text_of(beams, 1));
    const std::vector<std::string> drawn = {"-p", "Lily saw", "--temperature", "1.5", "--num-return-sequences", "3", "--seed", "7"};
    const Json once = run_json(drawn);
    CHECK(once.at("texts").size() == 3);
    CHECK(run_json(drawn).at("texts") == once.at("texts"));
    std::vector<std::string> other = drawn;
    other.back() = "8";
    CHECK(run_json(other).at("texts") != once.at("texts"));
    // Temperature 0 and --greedy draw nothing.
    const std::string greedy = text_of(run_json({"-p", "Lily saw"}));
    CHECK(text_of(run_json({"-p", "Lily saw", "--temperature", "0"})) == greedy);
    CHECK(text_of(run_json({"-p", "Lily saw", "--greedy", "--generation-config", R"({"do_sample": true, "temperature": 3.0})"})) == greedy);
    CHECK(run_binary({"run", "-p", "Lily saw", "--num-return-sequences", "2"}).exit_code == 2);
    CHECK(run_binary({"run", "-p", "Lily saw", "--generation-config", R"({"top_p": 7})"}).exit_code == 2);
    const RunResult unknown = run_binary({"run", "-p", "Lily saw", "--generation-config", R"({"guidance_scale": 2.0})"});
    CHECK(unknown.exit_code == 0);
    CHECK(unknown.err.find("guidance_scale, which is not followed") != std::string::npos);
  }

  TEST_CASE("log probabilities are those of the tokens, and add up to the score of a beam") {
    const Json json = run_json({"-p", kPrompt, "--num-beams", "2", "--max-new-tokens", "6", "--logprobs", "--length-penalty", "0"});
    double sum = 0;
    for (const Json& l : json.at("logprobs").at(0)) sum += l.get<double>();
    CHECK(sum == doctest::Approx(json.at("scores").at(0).get<double>()).epsilon(1e-4));
    CHECK(json.at("logprobs").at(0).size() == json.at("output_ids").at(0).size());
  }

  TEST_CASE("every token is a line of its own under --format jsonl") {
    const RunResult r = run_binary({"run", "-p", kPrompt, "--format", "jsonl", "--logprobs"});
    CHECK(r.exit_code == 0);
    const std::vector<std::string> lines = lines_of(r.out);
    REQUIRE(lines.size() > 3);
    std::string text;
    Json ids = Json::array();
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
      CHECK(faults_of("run-event", lines[i]) == "");
      const Json event = Json::parse(lines[i]);
      CHECK(event.at("event") == (i == 0 ? "start" : "token"));
      if (i == 0) continue;
      text += event.at("text").get<std::string>();
      ids.push_back(event.at("id"));
      CHECK(event.at("logprob").get<double>() <= 0);
    }
    CHECK(faults_of("run", lines.back()) == "");
    const Json done = Json::parse(lines.back());
    CHECK(done.at("event") == "done");
    CHECK(done.at("texts").at(0) == text);
    CHECK(done.at("output_ids").at(0) == ids);
  }

  TEST_CASE("prompts of a file come out as each alone, whatever lies beside them") {
    const TempFolder folder;
    const std::string file = folder.write("prompts.txt", "One morning, Ben went to\n{\"prompt\": \"Lily\"}\n\n\"Tom and Mia saw a big\"\n").string();
    for (const char* size : {"1", "2", "8"}) {
      const Json json = run_json({"--batch", file, "--batch-size", size, "--max-new-tokens", "20"});
      REQUIRE(json.at("texts").size() == 3);
      std::size_t row = 0;
      for (const char* prompt : {"One morning, Ben went to", "Lily", "Tom and Mia saw a big"}) {
        CHECK(json.at("texts").at(row++) == run_json({"-p", prompt, "--max-new-tokens", "20"}).at("texts").at(0));
      }
    }
    const RunResult text = run_binary({"run", "--batch", "-", "--max-new-tokens", "4", "--quiet"}, {.input = "Lily\nBen\n"});
    CHECK(lines_of(text.out).size() == 2);
    CHECK(Json::parse(lines_of(text.out).front()).is_string());
    const std::string one = folder.write("one.txt", kPrompt + "\n").string();
    CHECK(run_json({"--prompt-file", one}).at("texts") == run_json({"-p", kPrompt}).at("texts"));
    CHECK(run_json({"-p", "-"}, {.input = kPrompt + "\n"}).at("texts") == run_json({"-p", kPrompt}).at("texts"));
    CHECK(run_binary({"run", "--batch", folder.write("bad.jsonl", "{\"messages\": 3}\n").string()}).exit_code == 3);   // the demo model has no template
    CHECK(run_binary({"run", "--batch", folder.write("empty.txt", "\n").string()}).exit_code == 2);
    CHECK(run_binary({"run", "--batch", file, "-p", "a"}).exit_code == 2);
  }

  TEST_CASE("a chat goes through the template, one message or a conversation") {
    const TempFolder folder;
    const std::string model = chat_model(folder);
    const Json json = run_json({model, "--chat", "-p", kPrompt});
    const Json plain = run_json({"-p", kPrompt});
    CHECK(json.at("prompt_ids") == plain.at("prompt_ids"));
    CHECK(json.at("texts") == plain.at("texts"));
    CHECK(run_json({model, "--chat", "--system", "One morning, ", "-p", "Ben went to"}).at("prompt_ids") == plain.at("prompt_ids"));
    // Two turns: the second prompt holds the first answer.
    const RunResult talk = run_binary({"run", model, "--chat", "--format", "jsonl", "--max-new-tokens", "6"}, {.input = kPrompt + "\n\n and then\n"});
    CHECK(talk.exit_code == 0);
    std::vector<Json> answers;
    for (const std::string& line : lines_of(talk.out)) {
      if (Json event = Json::parse(line); event.at("event") == "done") answers.push_back(std::move(event));
    }
    REQUIRE(answers.size() == 2);
    const std::string first = text_of(answers[0]);
    CHECK(answers[1].at("prompt_ids") == run_json({"-p", kPrompt + first + " and then", "--max-new-tokens", "0"}).at("prompt_ids"));
    const RunResult text = run_binary({"run", model, "--chat", "--max-new-tokens", "6"}, {.input = kPrompt + "\n"});
    CHECK(text.out == first + "\n");
    CHECK(run_binary({"run", model, "--chat", "--json"}, {.input = "a\n"}).exit_code == 2);
    CHECK(run_binary({"run", "--chat", "-p", "a"}).exit_code == 3);
    CHECK(run_binary({"run", model, "--chat", "--ids", "1"}).exit_code == 2);
  }
}

}  // namespace bigmodel::test
