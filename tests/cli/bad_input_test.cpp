// SPDX-License-Identifier: Apache-2.0
// Configs that are broken, hostile or not there: one clear line, the right exit code, no crash, no big allocation, no hang.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

struct Refusal {
  int exit_code;
  std::string err;
};

/// Runs estimate-memory over a config with little address space, so that a big allocation is seen.
Refusal refuse(const std::string& config) {
  const TempFolder folder;
  const std::string path = folder.write("config.json", config).string();
  const std::string script = "ulimit -v 1000000; exec \"$0\" estimate-memory \"$1\"";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const RunResult r = run_binary({"estimate-memory", path});
#else
  const RunResult r = run_binary({"-c", script, bigmodel_binary(), path}, {.binary = "/bin/sh"});
#endif
  CHECK(r.out == "");
  CHECK(r.err.starts_with("error: "));
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  return {r.exit_code, r.err};
}

std::string repeated(const std::string& text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

}  // namespace

TEST_SUITE("cli/bad_input") {
  TEST_CASE("not JSON") {
    CHECK(refuse("hello").exit_code == 6);
    CHECK(refuse("").exit_code == 6);
    CHECK(refuse(std::string(1000, '\0')).exit_code == 6);
  }
  TEST_CASE("JSON of another kind") {
    CHECK(refuse("[]").exit_code == 6);
    CHECK(refuse("3").exit_code == 6);
    CHECK(refuse("null").exit_code == 6);
  }
  TEST_CASE("nesting 10,000 deep") {
    CHECK(refuse("{\"model_type\": \"bert\", \"x\": " + repeated("[", 10000) + repeated("]", 10000) + "}").exit_code == 6);
    CHECK(refuse(repeated("{\"a\":", 10000) + "1" + repeated("}", 10000)).exit_code == 6);
  }
  TEST_CASE("duplicate keys") { CHECK(refuse(R"({"model_type": "bert", "model_type": "gpt2"})").exit_code == 6); }
  TEST_CASE("wrong kinds") {
    CHECK(refuse(R"({"model_type": 3})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "vocab_size": "many"})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "num_hidden_layers": [12]})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "hidden_size": 1.5})").exit_code == 6);
  }
  TEST_CASE("negative and huge counts") {
    CHECK(refuse(R"({"model_type": "llama", "num_hidden_layers": -1})").err.find("must not be negative") != std::string::npos);
    CHECK(refuse(R"({"model_type": "bert", "num_hidden_layers": -1})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "num_hidden_layers": 9223372036854775808})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "num_hidden_layers": 9223372036854775807})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "vocab_size": 9223372036854775807})").exit_code == 6);
    CHECK(refuse(R"({"model_type": "bert", "vocab_size": -5})").exit_code == 6);
  }
  TEST_CASE("missing keys") {
    CHECK(refuse("{}").exit_code == 6);
    CHECK(refuse(R"({"hidden_size": 768})").err.find("model_type") != std::string::npos);
  }
  TEST_CASE("a pickle named config.json") {
    CHECK(refuse(std::string("\x80\x02}q\x00(X\x0a\x00\x00\x00model_typeq\x01", 24)).exit_code == 6);
  }
  TEST_CASE("an unknown type is refused by name, with the nearest") {
    const Refusal r = refuse(R"({"model_type": "brt"})");
    CHECK(r.exit_code == 6);
    CHECK(r.err.find("brt") != std::string::npos);
    CHECK(r.err.find("bert") != std::string::npos);
  }
  TEST_CASE("control characters in a config do not reach the terminal") {
    CHECK(refuse("{\"model_type\": \"\\u001b[31mred\"}").err.find('\x1b') == std::string::npos);
  }
  TEST_CASE("a gigabyte of JSON") {
    const TempFolder folder;
    const std::string path = folder.write("config.json", "{\"model_type\": \"bert\", \"x\": \"").string();
    REQUIRE(::truncate(path.c_str(), off_t{1} << 30) == 0);
    const RunResult r = run_binary({"estimate-memory", path});
    CHECK(r.exit_code == 6);
  }
  TEST_CASE("an endless file") { CHECK(run_binary({"estimate-memory", "/dev/zero"}).exit_code == 6); }

  TEST_CASE("a folder without a config") {
    const TempFolder folder;
    const RunResult r = run_binary({"estimate-memory", folder.path().string()});
    CHECK(r.exit_code == 3);
    CHECK(r.err.find("has no config.json") != std::string::npos);
  }
  TEST_CASE("a file that is not there, and a model that nobody knows") {
    CHECK(run_binary({"estimate-memory", "/nonexistent/config.json"}).exit_code == 3);
    CHECK(run_binary({"estimate-memory", "nobody/nothing"}).exit_code == 5);  // offline: the Hub may have it
    CHECK(run_binary({"estimate-memory", "no/such/folder"}).exit_code == 3);
    CHECK(run_binary({"estimate-memory", "../../etc"}).exit_code == 3);
  }
  TEST_CASE("a file that may not be read") {
    if (::geteuid() == 0) {
      MESSAGE("skipped: root may read everything");
      return;
    }
    const TempFolder folder;
    const std::string path = folder.write("config.json", "{}").string();
    REQUIRE(::chmod(path.c_str(), 0) == 0);
    CHECK(run_binary({"estimate-memory", path}).exit_code == 9);
  }
  TEST_CASE("a config.json that is a folder") {
    const TempFolder folder;
    folder.write("config.json/x", "");
    CHECK(run_binary({"estimate-memory", folder.path().string()}).exit_code == 9);
  }
  TEST_CASE("a full disk and a reader that left, for each big output") {
    const TempFolder folder;
    const std::string path = folder.write("config.json", R"({"model_type": "bert", "num_hidden_layers": 400})").string();
    for (const char* format : {"table", "json", "jsonl", "csv", "markdown"}) {
      CAPTURE(format);
      const std::vector<std::string> args{"inspect", path, "--tensors", "--format", format};
      CHECK(run_binary(args, {.stdout_path = "/dev/full"}).exit_code == 9);
      const RunResult r = run_binary(args, {.close_stdout = true});
      CHECK(r.exit_code == 0);
      CHECK(r.err == "");
    }
  }
}

}  // namespace bigmodel::test
