// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/repo_id.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/core/error.h"

namespace bigmodel::test {
namespace {

std::string parts(std::string_view text, std::string_view endpoint = "https://huggingface.co") {
  const RepoReference r = parse_repo_reference(text, endpoint);
  return r.id + " | " + r.revision + " | " + r.path;
}

std::string refusal(std::string_view text) {
  try {
    return "accepted: " + parts(text);
  } catch (const UsageError& e) {
    return e.message();
  }
}

}  // namespace

TEST_SUITE("hub/repo_id") {
  TEST_CASE("ids follow the Hub's rules") {
    for (const char* id : {"gpt2", "meta-llama/Llama-3.1-8B", "Foo-BAR_foo.bar123", "123", "a/_b"}) {
      CAPTURE(id);
      CHECK_FALSE(repo_id_fault(id));
    }
    for (const char* id : {"..", "a/../b", "../a", "/a", "a/", "", "a--b", "a/b/c", "a b", "-a", ".repo_id", "a-", "a.git", "a\n", "caf\xc3\xa9"}) {
      CAPTURE(id);
      CHECK(repo_id_fault(id));
    }
    CHECK_FALSE(repo_id_fault(std::string(96, 'x')));
    CHECK(repo_id_fault(std::string(97, 'x')) == "has a part longer than 96 characters");
  }

  TEST_CASE("reads an id with or without a revision") {
    CHECK(parts("gpt2") == "gpt2 |  | ");
    CHECK(parts("google/gemma-2-9b@v1.0") == "google/gemma-2-9b | v1.0 | ");
    CHECK(parts("a/b@refs/pr/12") == "a/b | refs/pr/12 | ");
    CHECK(parts("a/b@feature%2Fx") == "a/b | feature/x | ");
    CHECK(parse_repo_reference("gpt2").revision_or_main() == "main");
  }

  TEST_CASE("reads hf:// names") {
    CHECK(parts("hf://gpt2") == "gpt2 |  | ");
    CHECK(parts("hf://a/b") == "a/b |  | ");
    CHECK(parts("hf://models/a/b@main/onnx/model.onnx") == "a/b | main | onnx/model.onnx");
    CHECK(parts("hf://a/b@refs/pr/3/config.json") == "a/b | refs/pr/3 | config.json");
    CHECK(parts("hf://a/b@x%2Fy/config.json") == "a/b | x/y | config.json");
    CHECK(parts("hf://a/b/sub/config.json") == "a/b |  | sub/config.json");
    CHECK(parts("hf://gpt2@v1/config.json") == "gpt2 | v1 | config.json");
  }

  TEST_CASE("reads pasted web addresses") {
    CHECK(parts("https://huggingface.co/gpt2") == "gpt2 |  | ");
    CHECK(parts("https://huggingface.co/google-bert/bert-base-cased/") == "google-bert/bert-base-cased |  | ");
    CHECK(parts("hf.co/a/b") == "a/b |  | ");
    CHECK(parts("https://hf.co/a/b/tree/main") == "a/b | main | ");
    CHECK(parts("https://huggingface.co/a/b/blob/main/onnx/config.json?x=1#L3") == "a/b | main | onnx/config.json");
    CHECK(parts("https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/my%20file.json?download=true") ==
          "a/b | refs/pr/1 | my file.json");
    CHECK(parts("https://huggingface.co/a/b/raw/refs/convert/parquet/x") == "a/b | refs/convert/parquet | x");
    CHECK(parts("https://huggingface.co/gpt2/blob/main/config.json") == "gpt2 | main | config.json");
    CHECK(parts("http://127.0.0.1:80/a/b/tree/v1", "http://127.0.0.1:80") == "a/b | v1 | ");
  }

  TEST_CASE("refuses what is no model repository and names the rule") {
    CHECK(refusal("a/b/c").find("has more than one '/'") != std::string::npos);
    CHECK(refusal("a--b").find("has '--' or '..'") != std::string::npos);
    CHECK(refusal("https://huggingface.co/datasets/squad").find("it is one of datasets") != std::string::npos);
    CHECK(refusal("hf://spaces/a/b").find("it is one of spaces") != std::string::npos);
    CHECK(refusal("https://example.org/a/b").find("its host is no Hub") != std::string::npos);
    CHECK(refusal("https://huggingface.co.example.org/a/b").find("its host is no Hub") != std::string::npos);
    CHECK(refusal("https://huggingface.co/a/b/discussions/1").find("no blob, resolve or tree") != std::string::npos);
    CHECK(refusal("a/b@../../etc").find("has a part '.' or '..'") != std::string::npos);
    CHECK(refusal("a/b@%2e%2e").find("has a part '.' or '..'") != std::string::npos);
    CHECK(refusal("a/b@").find("is empty") != std::string::npos);
    CHECK(refusal("a/b@%zz").find("bad % escape") != std::string::npos);
    CHECK(refusal("a/b@%00").find("bad % escape") != std::string::npos);
    CHECK(refusal("hf://a/b@main/../x").find("has a part '.' or '..'") != std::string::npos);
    CHECK(refusal("hf://").find("has an empty part") != std::string::npos);
    CHECK(refusal("https://huggingface.co/").find("has an empty part") != std::string::npos);
    CHECK(refusal("a\x1b[0m").find("control character") != std::string::npos);
    CHECK(refusal(std::string(5000, 'a')).find("longer than any name") != std::string::npos);
  }

  TEST_CASE("old names without a namespace know their repository, both ways") {
    CHECK(other_repo_ids("bert-base-cased") == std::vector<std::string>{"google-bert/bert-base-cased"});
    CHECK(other_repo_ids("openai-community/gpt2") == std::vector<std::string>{"gpt2"});
    CHECK(other_repo_ids("t5-small") == std::vector<std::string>{"google-t5/t5-small"});
    CHECK(other_repo_ids("roberta-base") == std::vector<std::string>{"FacebookAI/roberta-base"});
    CHECK(other_repo_ids("Bert-Base-Cased").empty());
    CHECK(other_repo_ids("meta-llama/Llama-3.1-8B").empty());
  }

  TEST_CASE("percent encoding round-trips") {
    CHECK(percent_encoded("refs/pr/1", false) == "refs%2Fpr%2F1");
    CHECK(percent_encoded("a b/\xc3\xa9+", true) == "a%20b/%C3%A9%2B");
    for (const std::string& text : {std::string("a/b c%"), std::string("\x01\xff")}) {
      CHECK(percent_decoded(percent_encoded(text, false)) == text);
    }
    CHECK_FALSE(percent_decoded("%"));
    CHECK_FALSE(percent_decoded("%4"));
  }
}

}  // namespace bigmodel::test
