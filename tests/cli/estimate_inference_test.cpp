// SPDX-License-Identifier: Apache-2.0
// `estimate-memory --context --device --solve ...` from outside.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

RunResult run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "estimate-memory");
  return run_binary(arguments);
}

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_SUITE("cli/estimate_inference") {
  TEST_CASE("the running part appears only where it is asked for") {
    CHECK(run({"gpt2"}).out.find("to run") == std::string::npos);
    CHECK(!Json::parse(run({"gpt2", "--json"}).out).contains("inference"));
    CHECK(run({"gpt2", "--context", "100"}).out.find("to run GPT2LMHeadModel: 100 tokens, batch 1, engine exact") != std::string::npos);
  }

  TEST_CASE("its JSON is as the schema says, and adds up") {
    const RunResult r = run({"gpt2", "--context", "1000", "--batch", "2", "--kv-dtype", "q8_0", "--engine", "hf", "--device", "2xT4",
                             "--solve", "context,batch,devices,dtype", "--dtypes", "float32", "float16", "--json"});
    REQUIRE(r.exit_code == 0);
    CHECK(faults_of("estimate-memory", r.out) == "");
    const Json inference = Json::parse(r.out)["inference"];
    CHECK(inference["device"]["count"] == 2);
    CHECK(inference["first_dtype_that_fits"] == "float32");
    REQUIRE(inference["dtypes"].size() == 2);
    const Json& row = inference["dtypes"][0];
    CHECK(row["weights_bytes"] == 497759232);
    // 24 vectors of 768 elements a token, in blocks of 32 that take 34 bytes.
    CHECK(row["kv_cache"]["bytes"] == 2 * 1000 * 24 * 768 / 32 * 34);
    CHECK(row["phases"]["load"]["expected"] == row["weights_bytes"].get<std::int64_t>() + row["overhead"]["expected"].get<std::int64_t>());
    CHECK(row["fit"]["verdict"] == "fits");
    CHECK(row["solve"]["context"] == 1024);
    CHECK(row["solve"]["devices"] == 1);
    std::int64_t weights = 0, devices = 0;
    for (const Json& share : row["fit"]["devices"]) {
      weights += share["weights_bytes"].get<std::int64_t>() * share["count"].get<std::int64_t>();
      devices += share["count"].get<std::int64_t>();
    }
    CHECK(weights == row["weights_bytes"]);
    CHECK(devices == 2);
  }

  TEST_CASE("several devices: what each holds, by layers or divided") {
    const RunResult layers = run({"gpt2", "--device", "3xT4"});
    CHECK(layers.out.find("│ device │ layers │") != std::string::npos);
    CHECK(layers.out.find("│ 1-6    │") != std::string::npos);
    const RunResult tensor = run({"gpt2", "--device", "4xT4", "--split", "tensor"});
    CHECK(tensor.out.find("part of 12") != std::string::npos);
    CHECK(run({"gpt2", "--device", "T4"}).out.find("│ device │") == std::string::npos);
    CHECK(run({"gpt2", "--device", "5xT4", "--split", "tensor"}).exit_code == 2);  // 12 heads
    CHECK(run({"gpt2", "--device", "T4", "--split", "tensor"}).exit_code == 2);
    CHECK(run({"gpt2", "--device", "200MiB", "--split", "tensor", "--solve", "devices"}).out.find("fewest devices: 2") != std::string::npos);
    CHECK(run({"gpt2", "--engine", "llama.cpp", "--kv-dtype", "q8_0", "--attention", "eager"}).exit_code == 2);
  }

  TEST_CASE("where activations do not fit, smaller passes are a remedy that holds") {
    const RunResult no = run({"gpt2", "--context", "1024", "--batch", "64", "--device", "3000MiB"});
    const std::string::size_type at = no.out.find("prefill in chunks: --prefill-chunk ");
    REQUIRE(at != std::string::npos);
    const std::string chunk = no.out.substr(at + 35, no.out.find(';', at) - at - 35);
    CHECK(run({"gpt2", "--context", "1024", "--batch", "64", "--device", "3000MiB", "--prefill-chunk", chunk, "--fits"}).exit_code == 0);
  }

  TEST_CASE("--fits answers with the exit code, and says what would help") {
    CHECK(run({"gpt2", "--device", "24GiB", "--fits"}).exit_code == 0);
    const RunResult no = run({"gpt2", "--device", "100MiB", "--fits"});
    CHECK(no.exit_code == 1);
    CHECK(no.out.find(" no: ") != std::string::npos);
    CHECK(no.out.find("what would make it fit: ") != std::string::npos);
    CHECK(run({"gpt2", "--dtypes", "float32", "int4", "--device", "500MiB", "--fits"}).exit_code == 1);
  }

  TEST_CASE("what makes no sense is refused") {
    CHECK(run({"gpt2", "--context", "0"}).exit_code == 2);
    CHECK(run({"gpt2", "--context", "-5"}).exit_code == 2);
    CHECK(run({"gpt2", "--context", "99999999999999999999"}).exit_code == 2);
    CHECK(run({"gpt2", "--kv-dtype", "q9_0"}).exit_code == 2);
    CHECK(run({"gpt2", "--fits"}).exit_code == 2);
    CHECK(run({"gpt2", "--solve", "context"}).exit_code == 2);
    CHECK(run({"gpt2", "--machine", "--device", "T4"}).exit_code == 2);
    const RunResult near = run({"gpt2", "--device", "RTX 4091"});
    CHECK(near.exit_code == 2);
    CHECK(near.err.find("did you mean 'RTX 4090'") != std::string::npos);
    CHECK(run({"gpt2", "--context", "4000000000000000000"}).exit_code == 6);
  }

  TEST_CASE("--report writes one page without network that holds the same figures") {
    const TempFolder folder;
    const std::string path = (folder / "r.html").string();
    const RunResult r = run({"gpt2", "--context", "512", "--batch", "3", "--device", "2xT4", "--dtypes", "float32", "int8", "--report", path, "--json"});
    REQUIRE(r.exit_code == 0);
    const std::string page = read_text(path);
    for (const char* outside : {"http://", "https://", "src=", "@import", "url(", "@DATA@", "@BODY@"}) {
      const std::size_t at = page.find(outside);
      // The one address is the name space of SVG and XHTML.
      CHECK((at == std::string::npos || page.compare(at, 18, "http://www.w3.org/") == 0));
    }
    // Every control has a name: a label of its own.
    for (const char* control : {"context", "batch", "dtype"}) CHECK(page.find(std::string("<label for=\"") + control + "\">") != std::string::npos);
    const std::string mark = "id=\"data\">";
    const std::size_t from = page.find(mark) + mark.size();
    const Json data = Json::parse(page.substr(from, page.find("</script>", from) - from));
    const auto index = [&](const char* list, std::int64_t value) {
      for (std::size_t i = 0; i < data[list].size(); ++i) {
        if (data[list][i] == value) return i;
      }
      FAIL(list);
      return std::size_t{0};
    };
    const Json inference = Json::parse(r.out)["inference"];
    for (std::size_t d = 0; d < 2; ++d) {
      const Json& row = inference["dtypes"][d];
      const Json& point = data["points"][(d * data["batches"].size() + index("batches", 3)) * data["contexts"].size() + index("contexts", 512)];
      CHECK(data["dtypes"][d] == row["dtype"]);
      CHECK(point[0] == row["weights_bytes"]);
      CHECK(point[1] == row["kv_cache"]["bytes"]);
      CHECK(point[4] == row["total"]["expected"]);
      CHECK(point[5] == row["total"]["low"]);
      CHECK(point[6] == row["total"]["high"]);
      CHECK(point[7] == row["fit"]["verdict"]);
      CHECK(point[0].get<std::int64_t>() + point[1].get<std::int64_t>() + point[2].get<std::int64_t>() + point[3].get<std::int64_t>() == point[4]);
      REQUIRE(point[8][2].size() == row["fit"]["devices"].size());
      for (std::size_t i = 0; i < point[8][2].size(); ++i) {
        CHECK(point[8][2][i][2] == row["fit"]["devices"][i]["weights_bytes"]);
        CHECK(point[8][2][i][3] == row["fit"]["devices"][i]["kv_cache_bytes"]);
      }
    }
    CHECK(run({"gpt2", "t5-small", "--report", path}).exit_code == 2);
    CHECK(run({"gpt2", "--report", "/no/such/folder/x.html"}).exit_code == 9);
  }

  TEST_CASE("the page computes its figures in a browser, where there is one") {
    if (!std::filesystem::exists("/usr/bin/chromium")) {
      MESSAGE("no chromium here: skipped");
      return;
    }
    const TempFolder folder;
    const std::string path = (folder / "r.html").string();
    const Json row = Json::parse(run({"gpt2", "--context", "512", "--device", "2xT4", "--dtypes", "float32", "--report", path, "--json"}).out)["inference"]["dtypes"][0];
    const RunResult r = run_binary({"--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--user-data-dir=" + (folder / "profile").string(), "--dump-dom", "file://" + path},
                                   {.binary = "/usr/bin/chromium", .input = {}, .environment = {{"HOME", folder.path().string()}}});
    REQUIRE_MESSAGE(r.exit_code == 0, r.err);
    const auto between = [&](const std::string& start, const std::string& end) {
      const std::size_t from = r.out.find(start);
      REQUIRE(from != std::string::npos);
      return r.out.substr(from, r.out.find(end, from) - from);
    };
    const auto count = [](const std::string& text, const std::string& what) {
      int found = 0;
      for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
      return found;
    };
    CHECK(count(between("id=\"figures\"", "</tbody>"), "<tr>") == 7);
    CHECK(count(between("id=\"devices\"", "</tbody>"), "<tr>") == 2);
    CHECK(between("id=\"verdict\"", "</p>").find("fits on 2 x T4") != std::string::npos);
    CHECK(count(between("id=\"chart\"", "</section>"), "<polygon") == 4);
    // What the bar says to a screen reader is what the program computed.
    std::string digits = std::to_string(row["weights_bytes"].get<std::int64_t>());
    for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
    CHECK(between("id=\"figures\"", "</tbody>").find(digits) != std::string::npos);
    CHECK(between("id=\"bar\"", ">").find("aria-label=\"weights ") != std::string::npos);
  }

  TEST_CASE("a context beyond the model's positions is a warning") {
    const RunResult r = run({"gpt2", "--context", "2000", "--json"});
    CHECK(r.exit_code == 0);
    CHECK(Json::parse(r.out)["warnings"][0].get<std::string>().find("1,024 positions") != std::string::npos);
  }
}

}  // namespace bigmodel::test
