// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/settings.h"

#include <doctest/doctest.h>

#include <map>

#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Variables = std::map<std::string, std::string>;

HubSettings settings(const Variables& variables, const Variables& files = {}) {
  return hub_settings(
      [&](const std::string& name) -> std::optional<std::string> {
        const auto it = variables.find(name);
        if (it == variables.end()) return std::nullopt;
        return it->second;
      },
      [&](const std::filesystem::path& path) -> std::optional<std::string> {
        const auto it = files.find(path.string());
        if (it == files.end()) return std::nullopt;
        return it->second;
      });
}

std::string cache(const Variables& variables) { return settings(variables).cache.string(); }

}  // namespace

TEST_SUITE("hub/settings") {
  TEST_CASE("the cache is the first of five places") {
    Variables v{{"HOME", "/h"}};
    CHECK(cache(v) == "/h/.cache/huggingface/hub");
    v["XDG_CACHE_HOME"] = "/x";
    CHECK(cache(v) == "/x/huggingface/hub");
    v["HF_HOME"] = "~/hf";
    CHECK(cache(v) == "/h/hf/hub");
    v["HUGGINGFACE_HUB_CACHE"] = "/old";
    CHECK(cache(v) == "/old");
    v["HF_HUB_CACHE"] = "$HF_HOME/${SUB}/$NONE";
    v["SUB"] = "deep";
    CHECK(cache(v) == "~/hf/deep/$NONE");
    v["HF_HUB_CACHE"] = "";
    CHECK(cache(v) == "/old");
  }

  TEST_CASE("the endpoint loses trailing slashes") {
    CHECK(settings({}).endpoint == "https://huggingface.co");
    CHECK(settings({{"HF_ENDPOINT", "http://127.0.0.1:8080//"}}).endpoint == "http://127.0.0.1:8080");
    CHECK(settings({{"HF_ENDPOINT", ""}}).endpoint == "https://huggingface.co");
  }

  TEST_CASE("only four words are true") {
    for (const char* word : {"1", "on", "YES", "True"}) {
      CAPTURE(word);
      CHECK(settings({{"HF_HUB_OFFLINE", word}}).offline);
    }
    for (const char* word : {"0", "y", "2", "t", "", "off"}) {
      CAPTURE(word);
      CHECK_FALSE(settings({{"HF_HUB_OFFLINE", word}}).offline);
    }
    CHECK(settings({{"TRANSFORMERS_OFFLINE", "1"}}).offline_source == "TRANSFORMERS_OFFLINE");
  }

  TEST_CASE("the token is the first of four places") {
    Variables v{{"HOME", "/h"}};
    const Variables files{{"/h/.cache/huggingface/token", " hf_file\r\n"}, {"/t", "hf_path"}};
    CHECK(settings(v).token.empty());
    CHECK(settings(v, files).token == "hf_file");
    CHECK(settings(v, files).token_source == "/h/.cache/huggingface/token");
    v["HF_TOKEN_PATH"] = "/t";
    CHECK(settings(v, files).token == "hf_path");
    v["HUGGING_FACE_HUB_TOKEN"] = "hf_old";
    CHECK(settings(v, files).token == "hf_old");
    v["HF_TOKEN"] = "  hf_new ";
    CHECK(settings(v, files).token == "hf_new");
    CHECK(settings(v, files).token_source == "HF_TOKEN");
    v["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1";
    CHECK(settings(v, files).token.empty());
    CHECK(settings(v, files).token_source.empty());
  }

  TEST_CASE("a token file is read from disk") {
    const TempFolder folder;
    const std::string file = folder.write("token", "hf_disk\n").string();
    const HubSettings found = hub_settings([&](const std::string& name) -> std::optional<std::string> {
      if (name == "HF_TOKEN_PATH") return file;
      return std::nullopt;
    });
    CHECK(found.token == "hf_disk");
  }

  TEST_CASE("the rest follows the reference") {
    const HubSettings s = settings({{"HF_HUB_ETAG_TIMEOUT", "30"},
                                    {"HF_HUB_DOWNLOAD_TIMEOUT", "-1"},
                                    {"SSL_CERT_FILE", "/a.pem"},
                                    {"REQUESTS_CA_BUNDLE", "/b.pem"},
                                    {"HF_HUB_DISABLE_PROGRESS_BARS", "no"},
                                    {"HF_OIDC_RESOURCE", "x"}});
    CHECK(s.metadata_timeout.count() == 30);
    CHECK(s.download_timeout.count() == 10);
    CHECK(s.ca_file == "/a.pem");
    CHECK(s.disable_progress_bars == false);
    CHECK_FALSE(settings({}).disable_progress_bars);
    CHECK(s.notes.size() == 1);
  }
}

}  // namespace bigmodel::test
