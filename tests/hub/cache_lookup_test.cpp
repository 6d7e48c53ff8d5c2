// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/cache_lookup.h"

#include <doctest/doctest.h>

#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

const std::string kCommit(40, 'a');

}  // namespace

TEST_SUITE("hub/cache_lookup") {
  TEST_CASE("finds a branch, a nested ref and a commit") {
    const TempFolder cache;
    cache.write("models--google-bert--bert/refs/main", kCommit);
    cache.write("models--google-bert--bert/refs/refs/pr/1", kCommit + "\n");
    cache.write("models--google-bert--bert/snapshots/" + kCommit + "/config.json", "{}");
    for (const std::string& revision : {std::string("main"), std::string("refs/pr/1"), kCommit}) {
      CAPTURE(revision);
      const auto found = find_cached_snapshot(cache.path(), "google-bert/bert", revision);
      REQUIRE(found);
      CHECK(found->commit == kCommit);
      CHECK(found->folder == cache / ("models--google-bert--bert/snapshots/" + kCommit));
    }
    CHECK(cached_repo_ids(cache.path()) == std::vector<std::string>{"google-bert/bert"});
  }

  TEST_CASE("does not find what is not there, or only half") {
    const TempFolder cache;
    cache.write("models--gone/refs/main", kCommit);
    cache.write("models--odd/refs/main", "not a commit");
    CHECK_FALSE(find_cached_snapshot(cache.path(), "never"));
    CHECK_FALSE(find_cached_snapshot(cache.path(), "gone"));
    CHECK_FALSE(find_cached_snapshot(cache.path(), "odd"));
    CHECK_FALSE(find_cached_snapshot(cache.path(), "gone", "v1"));
    CHECK(cached_repo_ids(cache / "absent").empty());
  }

  TEST_CASE("forms no path from ids and revisions that climb") {
    const TempFolder cache;
    cache.write("models--a/refs/main", kCommit);
    for (const char* id : {"..", "a/../b", "../a", "/a", "a/", "", "a--b", "a/b/c", "a b", "-a", "a.git", "a\n"}) {
      CAPTURE(id);
      CHECK(repo_id_fault(id));
      CHECK_FALSE(find_cached_snapshot(cache.path(), id));
    }
    for (const char* revision : {"..", "../../x", "/etc/passwd", "", "a/../../b", "a//b/.."}) {
      CAPTURE(revision);
      CHECK_FALSE(find_cached_snapshot(cache.path(), "a", revision));
    }
    CHECK_FALSE(repo_id_fault("meta-llama/Llama-3.1-8B"));
    CHECK_FALSE(repo_id_fault("bert-base-cased"));
  }
}

}  // namespace bigmodel::test
