// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/cache.h"

#include <doctest/doctest.h>

#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

const std::string kCommit(40, 'a');

}  // namespace

TEST_SUITE("hub/cache") {
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
      CHECK_FALSE(find_cached_snapshot(cache.path(), id));
    }
    for (const char* revision : {"..", "../../x", "/etc/passwd", "", "a/../../b", "a//b/.."}) {
      CAPTURE(revision);
      CHECK_FALSE(find_cached_snapshot(cache.path(), "a", revision));
    }
  }

  TEST_CASE("a file is found, known to be missing, or unknown") {
    const TempFolder cache;
    const std::string snapshot = "models--gpt2/snapshots/" + kCommit;
    cache.write("models--gpt2/refs/main", kCommit);
    cache.write("models--gpt2/blobs/abc", "{}");
    cache.write("models--gpt2/.no_exist/" + kCommit + "/adapter_config.json", "");
    std::filesystem::create_directories(cache / snapshot);
    std::filesystem::create_symlink("../../blobs/abc", cache / (snapshot + "/config.json"));
    std::filesystem::create_symlink("../../blobs/gone", cache / (snapshot + "/model.safetensors"));

    const CachedFile config = find_cached_file(cache.path(), "gpt2", "config.json");
    CHECK(config.state == CachedFile::State::found);
    CHECK(config.path == cache / (snapshot + "/config.json"));
    CHECK(config.commit == kCommit);
    CHECK(find_cached_file(cache.path(), "gpt2", "adapter_config.json").state == CachedFile::State::known_missing);
    CHECK(find_cached_file(cache.path(), "gpt2", "model.safetensors").state == CachedFile::State::unknown);
    CHECK(find_cached_file(cache.path(), "gpt2", "vocab.json").state == CachedFile::State::unknown);
    CHECK(find_cached_file(cache.path(), "gpt2", "../../blobs/abc").state == CachedFile::State::unknown);
    CHECK(find_cached_file(cache.path(), "GPT2", "config.json").state == CachedFile::State::unknown);
  }

  TEST_CASE("a snapshot lists its files with their blobs") {
    const TempFolder cache;
    const std::string snapshot = "models--a--b/snapshots/" + kCommit;
    cache.write("models--a--b/blobs/123", "12345");
    cache.write(snapshot + "/plain.txt", "x");
    std::filesystem::create_directories(cache / (snapshot + "/onnx"));
    std::filesystem::create_symlink("../../../blobs/123", cache / (snapshot + "/onnx/model.onnx"));
    std::filesystem::create_symlink("../../blobs/gone", cache / (snapshot + "/broken"));
    const std::vector<RepoFile> files = snapshot_files(cache / snapshot);
    REQUIRE(files.size() == 2);
    CHECK(files[0].path == "onnx/model.onnx");
    CHECK(files[0].size_bytes == 5);
    CHECK(files[0].etag == "123");
    CHECK(files[1].path == "plain.txt");
    CHECK(files[1].etag.empty());
    CHECK(snapshot_files(cache / "absent").empty());
  }

  TEST_CASE("a tree listing gives sizes of files that are not fetched") {
    const TempFolder cache;
    const std::string trees = "models--a--b/trees/";
    cache.write(trees + kCommit + ".json",
                R"({"format_version": 1, "files": {"m.safetensors": {"size": 1, "blob_id": "p", "lfs_sha256": "s", "lfs_size": 9},
                    "config.json": {"size": 3, "blob_id": "q"}}})");
    const auto tree = cached_tree(cache.path(), "a/b", kCommit);
    REQUIRE(tree);
    REQUIRE(tree->size() == 2);
    CHECK((*tree)[0].etag == "q");
    CHECK((*tree)[1].etag == "s");
    CHECK((*tree)[1].size_bytes == 9);
    const std::string other(40, 'b');
    for (const char* text : {R"({"format_version": 2, "files": {}})", "{", "[]", R"({"files": {}})",
                             R"({"format_version": 1, "files": {"../x": {"size": 1}}})"}) {
      CAPTURE(text);
      cache.write(trees + other + ".json", text);
      CHECK_FALSE(cached_tree(cache.path(), "a/b", other));
    }
  }
}

}  // namespace bigmodel::test
