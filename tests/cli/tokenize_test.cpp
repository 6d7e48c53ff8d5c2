// SPDX-License-Identifier: Apache-2.0
// `bigmodel tokenize` from outside.
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

std::string model() { return (source_root() / "apps/bigmodel/demo_model").string(); }

RunResult run(std::vector<std::string> args, const std::string& input = "") {
  args.insert(args.begin(), {"tokenize", model()});
  return run_binary(args, {.input = input});
}

}  // namespace

TEST_SUITE("cli/tokenize") {
  TEST_CASE("text becomes ids, and ids become the text again") {
    const RunResult ids = run({"--ids", "Once upon a time"});
    CHECK(ids.exit_code == 0);
    CHECK(ids.out == "1,49,80,69,71,223,87,82,81,80,265,260,75,306\n");
    CHECK(run({"--decode"}, ids.out).out == "Once upon a time\n");
    CHECK(run({"--decode", "1 49,80"}).out == "On\n");
    CHECK(run({"--decode", "--keep-special-tokens", "1,49,80"}).out == "<|bos|>On\n");
    CHECK(run({"--ids", "--no-special-tokens"}, "On\nOn\n").out == "49,80\n49,80\n");
    CHECK(run({"On"}).out == "      1  \"<|bos|>\"  0-0\n     49  \"O\"  0-1\n     80  \"n\"  1-2\n");
  }

  TEST_CASE("JSON follows the schema") {
    for (const RunResult& r : {run({"--json", "\xC3\xA9t\xC3\xA9"}), run({"--json", "--decode", "1,49,999999"})}) {
      CHECK(r.exit_code == 0);
      CHECK(faults_of("tokenize", r.out) == "");
    }
    const Json json = Json::parse(run({"--json", "\xC3\xA9"}).out);
    CHECK(json["offsets"] == Json::parse("[[0,0],[0,1],[0,1]]"));
    CHECK(json["text"] == "\xC3\xA9");
  }

  TEST_CASE("every line of --jsonl has its answer, an error too") {
    const RunResult r = run({"--jsonl"},
                            "\"On\"\n{\"text\":\"O\",\"pair\":\"n\",\"add_special_tokens\":false}\n\n{\"ids\":[1,49],\"skip_special_tokens\":false}\n{\"x\":1}\n"
                            "nope\n{\"ids\":[-1]}\n{\"text\":1}\n{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n");
    CHECK(r.exit_code == 0);
    std::vector<Json> lines;
    std::istringstream in(r.out);
    for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
    REQUIRE(lines.size() == 8);
    CHECK(lines[0]["ids"] == Json::parse("[1,49,80]"));
    CHECK(lines[1]["type_ids"].size() == 2);
    CHECK(lines[2]["text"] == "<|bos|>O");
    for (std::size_t i = 3; i < 7; ++i) CHECK(lines[i]["error"]["code"] == 6);
    CHECK(lines[7]["error"]["code"] == 3);
  }

  TEST_CASE("a chat becomes the prompt of the model's template") {
    const TempFolder folder;
    folder.write("chat_template.jinja", "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}");
    folder.write("tokenizer_config.json", R"({"bos_token": "<s>"})");
    folder.write("chat.json", R"({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true})");
    const RunResult r = run_binary({"tokenize", folder.path().string(), "--chat", (folder / "chat.json").string()});
    CHECK(r.err == "");
    CHECK(r.out == "<s>[user] hi\n>\n");
    CHECK(run_binary({"tokenize", folder.path().string(), "x"}).exit_code == 3);
  }

  TEST_CASE("a template with more ids than texts is shown with the vocabulary's texts") {
    const TempFolder folder;
    folder.write("t.json", R"({"version": "1.0", "model": {"type": "WordLevel", "unk_token": "b", "vocab": {"a": 0, "b": 1}}, "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "s", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"s": {"id": "s", "ids": [1, 0, 7], "tokens": ["b"]}}}})");
    const std::string path = (folder / "t.json").string();
    const RunResult r = run_binary({"tokenize", path, "a"});
    CHECK(r.exit_code == 0);
    CHECK(r.out == "      1  \"b\"  0-0\n      0  \"a\"  0-0\n      7  \"\"  0-0\n      0  \"a\"  0-1\n");
    CHECK(Json::parse(run_binary({"tokenize", path, "a", "--json"}).out)["ids"] == Json::parse("[1,0,7,0]"));
  }

  TEST_CASE("files that stand in for others say so") {
    const TempFolder folder;
    const auto error = [&](const char* name, const char* content) {
      folder.write(name, content);
      const RunResult r = run_binary({"tokenize", folder.path().string(), "x"});
      CHECK(r.exit_code == 6);
      std::filesystem::remove(folder / name);
      return r.err;
    };
    constexpr const char* kPointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    CHECK(error("tokenizer.json", kPointer).find("tokenizer.json: a Git LFS pointer, not the file itself; ") != std::string::npos);
    CHECK(error("tokenizer.model", kPointer).find("tokenizer.model: a Git LFS pointer, not the file itself; ") != std::string::npos);
    CHECK(error("tokenizer.json", "\n<!DOCTYPE html><html>").find("tokenizer.json: a web page, not the file itself; ") != std::string::npos);
    CHECK(error("tokenizer.json", "\xEF\xBB\xBF{}").find("begins with a byte order mark") != std::string::npos);
  }

  TEST_CASE("wrong calls end with their exit codes") {
    CHECK(run({"--ids", "--decode"}).exit_code == 2);
    CHECK(run({"--decode", "1,x"}).exit_code == 2);
    CHECK(run({"--jsonl", "text"}).exit_code == 2);
    CHECK(run({"\xFF"}).exit_code == 6);
    CHECK(run_binary({"tokenize", "/nowhere", "x"}).exit_code == 3);
    CHECK(run_binary({"tokenize", "no/such-model", "x"}).exit_code == 5);
  }
}

}  // namespace bigmodel::test
