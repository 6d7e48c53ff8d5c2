// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/fetch.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "bigmodel/hub/blob_download.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/io/unique_fd.h"
#include "support/loopback_hub.h"
#include "hub/test_client.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'c');
constexpr std::uint64_t kLimit = 10'000'000;

struct Heard {
  std::vector<std::string> notes, warnings;
  FetchNotes to() {
    return {[this](const std::string& text) { notes.push_back(text); }, [this](const std::string& text) { warnings.push_back(text); }};
  }
};

template <typename Call>
std::string failure(const Call& call) {
  try {
    call();
    return "no failure";
  } catch (const Error& e) {
    return std::string(to_string(e.kind())) + ": " + e.what();
  }
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// The bytes that the server has, by way of a plain read.
std::string served(TestClient& client, const std::string& repo) { return client->read_range(repo, "main", "model.safetensors", 0, kLimit); }

std::size_t leftovers(const TestClient& client) {
  std::size_t out = 0;
  for (const auto& entry : fs::recursive_directory_iterator(client.settings.cache)) {
    const std::string name = entry.path().filename().string();
    if (contains(name, "bigmodel") || name.ends_with(".link") || name.ends_with(".copy")) ++out;
  }
  return out;
}

}  // namespace

TEST_SUITE("hub/fetch") {
  TEST_CASE("a file lands in the cache as the specification lays it out") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    const FetchedFile config = fetch_file(*client, "good/model", "main", "onnx/config.json", heard.to());
    const fs::path repo = client.settings.cache / "models--good--model";
    CHECK(config.downloaded);
    CHECK(config.commit == kCommit);
    CHECK(config.path == repo / "snapshots" / kCommit / "onnx/config.json");
    CHECK(contains(read_file(config.path, kLimit), "BertForMaskedLM"));
    CHECK(read_file(repo / "refs/main", kLimit) == kCommit);
    const fs::path target = fs::read_symlink(config.path);
    CHECK(target.parent_path() == "../../../blobs");
    CHECK(target.filename().string().size() == 40);
    CHECK(fs::is_regular_file(client.settings.cache / ".locks/models--good--model" / (target.filename().string() + ".lock")));
    CHECK(fs::is_regular_file(client.settings.cache / "CACHEDIR.TAG"));
    CHECK(leftovers(client) == 0);
    fetch_file(*client, "good/model", kCommit, "onnx/config.json", heard.to());
    CHECK(hub.count("GET", "onnx") == 1);
    CHECK(hub.count("HEAD", "onnx") == 1);
  }

  TEST_CASE("a missing file is remembered, and known offline") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    CHECK_THROWS_AS(fetch_file(*client, "good/model", "main", "adapter_config.json", heard.to()), EntryNotFoundError);
    CHECK(fs::is_regular_file(client.settings.cache / "models--good--model/.no_exist" / kCommit / "adapter_config.json"));
    fetch_file(*client, "good/model", "main", "config.json", heard.to());
    client.settings.offline = true;
    client.settings.offline_source = "--offline";
    CHECK(fetch_file(*client, "good/model", "main", "config.json", heard.to()).commit == kCommit);
    CHECK(contains(failure([&] { fetch_file(*client, "good/model", "main", "adapter_config.json", heard.to()); }), "not_found: good/model: no file"));
    CHECK(contains(failure([&] { fetch_file(*client, "good/model", "main", "README.md", heard.to()); }),
                   "network: good/model: README.md is not in the cache, and the network is off (--offline)"));
  }

  TEST_CASE("the cache serves with a warning where the Hub does not answer") {
    TestClient client("http://127.0.0.1:1");
    Heard heard;
    client.cache.write("hub/models--a--b/refs/main", kCommit);
    client.cache.write("hub/models--a--b/snapshots/" + kCommit + "/config.json", "{}");
    const FetchedFile file = fetch_file(*client, "a/b", "main", "config.json", heard.to());
    CHECK(file.stale);
    REQUIRE(heard.warnings.size() == 1);
    CHECK(contains(heard.warnings[0], "using the cache, which may be stale"));
  }

  TEST_CASE("bytes survive what servers and lines do to them") {
    const LoopbackHub hub;
    for (const char* fault : {"truncate-once", "drip", "no-ranges", "cut-and-no-ranges", "expired-once", "stall-once"}) {
      CAPTURE(fault);
      const std::string repo = std::string("fault/") + fault;
      TestClient client(hub.endpoint(), [](HubSettings& s) { s.download_timeout = std::chrono::seconds(2); });
      Heard heard;
      const FetchedFile file = fetch_file(*client, repo, "main", "model.safetensors", heard.to());
      const std::string bytes = read_file(file.path, kLimit);
      if (repo == "fault/drip") {  // no answer ever has more than 500 bytes
        CHECK(bytes.size() == 3'000);
      } else {
        CHECK(bytes == served(client, repo));
      }
      CHECK(leftovers(client) == 0);
    }
  }

  TEST_CASE("bytes that are not the file's are refused and not kept") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    CHECK(contains(failure([&] { fetch_file(*client, "fault/wrong-bytes", "main", "model.safetensors", heard.to()); }),
                   "network: fault/wrong-bytes/model.safetensors: what arrived is not the file, expected digest"));
    CHECK(contains(failure([&] { fetch_file(*client, "fault/wrong-bytes", "main", "config.json", heard.to()); }), "what arrived is not the file"));
    CHECK(find_cached_file(client.settings.cache, "fault/wrong-bytes", "model.safetensors", kCommit).state == CachedFile::State::unknown);
    CHECK(fs::is_empty(client.settings.cache / "models--fault--wrong-bytes/blobs"));
  }

  TEST_CASE("a large file comes in parallel ranges") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    const CacheRepo repo(client.settings.cache, "good/big");
    repo.prepare();
    const FileMetadata file = client->file_metadata("good/big", "main", "model.safetensors");
    std::atomic<std::uint64_t> arrived{0};
    const BlobDownload got = download_blob(*client, repo, "good/big", "model.safetensors", file,
                                           {.connections = 4, .range_bytes = 700'000, .arrived = [&](std::uint64_t n) { arrived += n; }});
    CHECK(got.received_bytes == 5'000'000);
    CHECK(arrived == 5'000'000);
    CHECK(hub.count("GET", "Signature") == 8);
    CHECK(read_file(repo.blob_path(file.etag), kLimit) == served(client, "good/big"));
    CHECK(leftovers(client) == 0);
  }

  TEST_CASE("a file that changes between ranges, or ranges that are wrong, end the download") {
    const LoopbackHub hub;
    for (const char* fault : {"changed", "wrong-range"}) {
      CAPTURE(fault);
      const std::string name = std::string("fault/") + fault;
      TestClient client(hub.endpoint());
      const CacheRepo repo(client.settings.cache, name);
      repo.prepare();
      const FileMetadata file = client->file_metadata(name, "main", "model.safetensors");
      const std::string said = failure([&] {
        download_blob(*client, repo, name, "model.safetensors", file, {.connections = 1, .range_bytes = 100'000});
      });
      CHECK(contains(said, std::string(fault) == "changed" ? "has 300001 bytes now" : "answered with another range"));
      CHECK_FALSE(fs::exists(repo.blob_path(file.etag)));
    }
  }

  TEST_CASE("a part that an earlier call left is used, and one that does not fit is not") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    const CacheRepo repo(client.settings.cache, "good/big");
    repo.prepare();
    const FileMetadata file = client->file_metadata("good/big", "main", "model.safetensors");
    const std::string whole = served(client, "good/big");
    const std::string blobs = "hub/models--good--big/blobs/";
    const auto run = [&](std::string_view part, std::string_view noted) {
      fs::remove(repo.blob_path(file.etag));
      client.cache.write(blobs + file.etag + ".bigmodel.incomplete", part);
      if (!noted.empty()) client.cache.write(blobs + file.etag + ".bigmodel.progress", noted);
      const BlobDownload got = download_blob(*client, repo, "good/big", "model.safetensors", file, {.connections = 3, .range_bytes = 700'000});
      CHECK(read_file(repo.blob_path(file.etag), kLimit) == whole);
      CHECK(leftovers(client) == 0);
      return got;
    };
    CHECK(run(whole.substr(0, 3'000'000), "").received_bytes == 2'000'000);
    CHECK(run(whole.substr(0, 3'000'000), "").resumed_bytes == 3'000'000);
    // What was written out of order counts only as far as the note says.
    std::string holes = whole;
    std::fill(holes.begin() + 1'000'000, holes.begin() + 2'000'000, '\0');
    CHECK(run(holes, "700000").received_bytes == 4'300'000);
    CHECK(run(holes, "rubbish").received_bytes == 5'000'000);
    // Rubbish is found by its digest, and everything comes again.
    CHECK(run(std::string(3'000'000, 'x'), "").received_bytes == 7'000'000);
    CHECK(run(whole + "too long", "").received_bytes == 5'000'000);
  }

  TEST_CASE("a stop ends a download soon and keeps what is there") {
    const LoopbackHub hub;
    std::stop_source source;
    TestClient client(hub.endpoint(), {}, WorkContext{{}, source.get_token()});
    const CacheRepo repo(client.settings.cache, "good/big");
    repo.prepare();
    const FileMetadata file = client->file_metadata("good/big", "main", "model.safetensors");
    CHECK_THROWS_AS(download_blob(*client, repo, "good/big", "model.safetensors", file,
                                  {.connections = 1, .range_bytes = 500'000, .arrived = [&](std::uint64_t) { source.request_stop(); }}),
                    CancelledError);
    CHECK_FALSE(fs::exists(repo.blob_path(file.etag)));
  }

  TEST_CASE("a download in parallel ranges that was stopped at any moment goes on where its beginning ends") {
    const LoopbackHub hub;
    TestClient reader(hub.endpoint());
    const std::string whole = served(reader, "good/big");
    for (const std::uint64_t limit : {1'000, 800'000, 1'900'000, 3'100'000, 3'900'000}) {
      CAPTURE(limit);
      std::stop_source source;
      TestClient client(hub.endpoint(), {}, WorkContext{{}, source.get_token()});
      const CacheRepo repo(client.settings.cache, "good/big");
      repo.prepare();
      const FileMetadata file = client->file_metadata("good/big", "main", "model.safetensors");
      std::atomic<std::uint64_t> arrived{0};
      const auto stop_at = [&](std::uint64_t bytes) {
        if ((arrived += bytes) >= limit) source.request_stop();
      };
      CHECK_THROWS_AS(download_blob(*client, repo, "good/big", "model.safetensors", file, {.connections = 4, .range_bytes = 300'000, .arrived = stop_at}), CancelledError);
      TestClient next(hub.endpoint(), [&](HubSettings& settings) { settings.cache = client.settings.cache; });
      const BlobDownload got = download_blob(*next, repo, "good/big", "model.safetensors", file, {.connections = 4, .range_bytes = 300'000});
      CHECK(got.resumed_bytes + got.received_bytes == whole.size());
      CHECK(got.resumed_bytes <= arrived);
      CHECK(read_file(repo.blob_path(file.etag), kLimit) == whole);
      CHECK(leftovers(client) == 0);
    }
  }

  TEST_CASE("a download plans, brings what is missing, and links it") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    const std::vector<std::string> include{"*.json", "model*", "a file*"};
    const std::vector<std::string> exclude{"onnx/"};
    fetch_file(*client, "good/model", "main", "config.json", heard.to());
    const DownloadPlan plan = plan_download(*client, "good/model", "main", include, exclude);
    REQUIRE(plan.files.size() == 3);
    CHECK(plan.files[0].file.path == "a file+1.txt");
    CHECK(plan.files[1].cached);
    CHECK(plan.total_bytes() == 300'089);
    CHECK(plan.missing_bytes() == 300'007);
    const DownloadResult result = download(*client, plan, 4, heard.to());
    CHECK(result.downloaded_files == 2);
    CHECK(result.received_bytes == 300'007);
    CHECK(read_file(plan.folder / "a file+1.txt", kLimit) == "blanks\n");
    CHECK(read_file(plan.folder / "model.safetensors", kLimit) == served(client, "good/model"));
    CHECK(snapshot_files(plan.folder).size() == 3);
    CHECK(hub.count("HEAD", "model.safetensors") == 0);
    client.settings.offline = true;
    CHECK(plan_download(*client, "good/model", "main", {}, {}).files.size() == 3);
  }

  TEST_CASE("the empty file arrives too") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    CHECK(read_file(fetch_file(*client, "good/model", "main", "empty.txt", heard.to()).path, kLimit).empty());
  }

  TEST_CASE("without links the snapshot holds the bytes") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint(), [](HubSettings& s) { s.disable_symlinks = true; });
    Heard heard;
    const FetchedFile file = fetch_file(*client, "good/model", "main", "config.json", heard.to());
    CHECK_FALSE(fs::is_symlink(file.path));
    CHECK(contains(read_file(file.path, kLimit), "bert"));
  }

  TEST_CASE("two downloads of one file at once bring it once") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { fetch_file(*client, "good/big", "main", "model.safetensors", {}); });
    }
    threads.clear();
    CHECK(hub.count("GET", "Signature") == 1);
  }

  TEST_CASE("whoever holds huggingface_hub's lock of a file is waited for") {
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    const FileMetadata file = client->file_metadata("good/model", "main", "config.json");
    const fs::path lock = client.settings.cache / ".locks/models--good--model" / (file.etag + ".lock");
    fs::create_directories(lock.parent_path());
    const UniqueFd held = open_file(lock, O_RDWR | O_CREAT, 0664);
    REQUIRE(::flock(held.get(), LOCK_EX) == 0);   // as filelock does it, which huggingface_hub uses
    std::atomic<bool> done{false};
    std::jthread other([&] {
      fetch_file(*client, "good/model", "main", "config.json", {});
      done = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK_FALSE(done);
    CHECK(hub.count("GET", "config.json") == 0);
    ::flock(held.get(), LOCK_UN);
    other.join();
    CHECK(done);
  }

  TEST_CASE("a cache that cannot be written still serves") {
    if (::geteuid() == 0) {
      MESSAGE("skipped: root writes everywhere");
      return;
    }
    const LoopbackHub hub;
    TestClient client(hub.endpoint());
    Heard heard;
    fetch_file(*client, "good/model", "v1", "config.json", heard.to());
    ::chmod((client.settings.cache / "models--good--model/refs").c_str(), 0555);
    CHECK(fetch_file(*client, "good/model", "main", "config.json", heard.to()).commit == kCommit);
  }
}

}  // namespace bigmodel::test
