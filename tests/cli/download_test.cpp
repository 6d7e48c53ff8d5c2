// SPDX-License-Identifier: Apache-2.0
// `bigmodel download` from outside, against a Hub on loopback.
#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "bigmodel/io/read_file.h"
#include "bigmodel/io/sha256.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const std::string kCommit(40, 'c');

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

struct Home {
  TempFolder folder;
  LoopbackHub hub;
  std::map<std::string, std::string> environment{{"HF_HOME", folder.path().string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}};

  RunResult run(std::vector<std::string> args) const {
    args.insert(args.begin(), "download");
    return run_binary(args, {.environment = environment});
  }
  fs::path snapshot(const std::string& commit = kCommit) const { return folder / "hub/models--good--model/snapshots" / commit; }
};

}  // namespace

TEST_SUITE("cli/download") {
  TEST_CASE("prints the folder, which then serves offline") {
    Home home;
    const RunResult r = home.run({"good/model"});
    CHECK(r.exit_code == 0);
    CHECK(r.out == home.snapshot().string() + "\n");
    CHECK(contains(r.err, "good/model@ccccccc: 6 files, 300.10 KB fetched\n"));
    CHECK(fs::file_size(home.snapshot() / "model.safetensors") == 300'000);
    CHECK(fs::file_size(home.snapshot() / "onnx/config.json") > 0);
    CHECK(fs::file_size(home.snapshot() / "empty.txt") == 0);
    CHECK(read_file(home.folder / "hub/models--good--model/refs/main", 100) == kCommit);
    const std::size_t asked = home.hub.requests().size();
    const RunResult offline = home.run({"good/model", "--offline", "--quiet"});
    CHECK(offline.exit_code == 0);
    CHECK(offline.out == r.out);
    CHECK(offline.err.empty());
    CHECK(home.hub.requests().size() == asked);
  }

  TEST_CASE("patterns, revisions and addresses choose files") {
    Home home;
    const RunResult dry = home.run({"good/model", "--include", "*.json,README.md", "--exclude", "onnx/", "--dry-run", "--json"});
    CHECK(faults_of("download", dry.out) == "");
    Json json = Json::parse(dry.out);
    REQUIRE(json["files"].size() == 2);
    CHECK(json["files"][0]["path"] == "README.md");
    CHECK(json["files"][1]["path"] == "config.json");
    CHECK_FALSE(fs::exists(home.snapshot()));
    const RunResult r = home.run({"hf://good/model@refs/pr/1/onnx", "--json"});
    CHECK(faults_of("download", r.out) == "");
    json = Json::parse(r.out);
    CHECK(json["commit"] == std::string(40, 'd'));
    CHECK(json["files"].size() == 1);
    CHECK(json["downloaded_files"] == 1);
    CHECK(fs::exists(home.snapshot(std::string(40, 'd')) / "onnx/config.json"));
    const RunResult text = home.run({"good/model@refs/pr/1", "-n"});
    CHECK(text.out.starts_with("would fetch 5 of 6 files of good/model@ddddddd, 300.10 KB of 300.18 KB\n"));
    CHECK(contains(text.out, "cached"));
    CHECK(home.run({"good/model", "--revision", "v1", "--include", "empty.txt"}).exit_code == 0);
    CHECK(read_file(home.folder / "hub/models--good--model/refs/v1", 100) == kCommit);
  }

  TEST_CASE("--subfolder takes what lies in a folder, and nothing else") {
    Home home;
    const RunResult r = home.run({"good/model", "--subfolder", "onnx", "--json"});
    CAPTURE(r.err);
    REQUIRE(r.exit_code == 0);
    const Json json = Json::parse(r.out);
    REQUIRE(json["files"].size() == 1);
    CHECK(json["files"][0]["path"] == "onnx/config.json");
    CHECK(fs::exists(home.snapshot() / "onnx/config.json"));
    CHECK_FALSE(fs::exists(home.snapshot() / "config.json"));
    CHECK(home.run({"hf://good/model@main/onnx", "--subfolder", "onnx", "--offline", "--quiet"}).exit_code == 0);
    const auto error = [&](const std::vector<std::string>& args, int code, std::string_view part) {
      const RunResult refused = home.run(args);
      CAPTURE(refused.err);
      CHECK(refused.exit_code == code);
      CHECK(contains(refused.err, part));
    };
    error({"good/model", "--subfolder", "none"}, 3, "good/model: no file of the repository matches; check --subfolder and --exclude");
    error({"good/model", "--subfolder", "onnx", "--include", "x"}, 2, "--subfolder: names a file or folder, and --include others");
    error({"hf://good/model/onnx", "--subfolder", "other"}, 2, "names a place in the repository, and --subfolder another");
    error({"good/model", "--subfolder", "../x"}, 2, "--subfolder: '../x'");
  }

  TEST_CASE("a disk that is full, or becomes it, ends the call with exit code 9 and leaves a cache that goes on") {
    // The cache is a small file system of the program's own; where the machine lets no process mount one, there is nothing to see.
    Home home;
    const fs::path cache = home.folder / "hub";
    fs::create_directories(cache);
    const std::string mount = "mount -t tmpfs -o size=$SIZE none \"$HF_HOME/hub\" || exit 111; ";
    const auto in_namespace = [&](const std::string& size, const std::string& script) {
      std::map<std::string, std::string> environment = home.environment;
      environment["SIZE"] = size;
      return run_binary({"-rm", "sh", "-c", mount + script, bigmodel_binary()}, {.binary = "/usr/bin/unshare", .environment = environment});
    };
    if (in_namespace("1m", "true").exit_code != 0) {
      MESSAGE("no small file system can be mounted here");
      return;
    }
    // Nothing is asked for what cannot fit; with room made the same call ends well.
    const RunResult small = in_namespace("200k", R"sh("$0" download good/model; echo "first $?"; find "$HF_HOME/hub" -name model.safetensors;
        mount -o remount,size=2m "$HF_HOME/hub"; "$0" download good/model --quiet; echo "second $?"; "$0" download good/model --offline --quiet)sh");
    CAPTURE(small.err);
    CAPTURE(small.out);
    CHECK(small.out.starts_with("first 9\n" + home.snapshot().string() + "\nsecond 0\n"));
    CHECK(small.exit_code == 0);
    CHECK(contains(small.err, "the disk is too full, expected 300.00 KB free, got "));
    CHECK(contains(small.err, "free some space, or set HF_HUB_CACHE to another disk"));
    // Another program fills the disk in the midst of the file: half of it is there, and the rest finds no room.
    const RunResult filled = in_namespace("600k", R"sh("$0" download fault/stall-once --include model.safetensors & call=$!
        until [ -n "$(find "$HF_HOME/hub" -name '*.incomplete' -size +140k)" ]; do sleep 0.05; done
        cat /dev/zero > "$HF_HOME/hub/other" 2>&-; wait $call; echo "first $?"; find "$HF_HOME/hub" -name model.safetensors; rm "$HF_HOME/hub/other"
        "$0" download fault/stall-once --include model.safetensors --quiet; echo "second $?"; find "$HF_HOME/hub" -name '*.incomplete')sh");
    CAPTURE(filled.err);
    CAPTURE(filled.out);
    CHECK(filled.out == "first 9\n" + (home.folder / "hub/models--fault--stall-once/snapshots" / kCommit).string() + "\nsecond 0\n");
    CHECK(contains(filled.err, "No space left on device; free some space on the disk"));
  }

  TEST_CASE("a broken line is taken up again, a stopped call later") {
    Home home;
    const RunResult r = home.run({"fault/truncate-once", "--json"});
    CHECK(r.exit_code == 0);
    const Json json = Json::parse(r.out);
    CHECK(json["received_bytes"].get<std::uint64_t>() + json["resumed_bytes"].get<std::uint64_t>() >= json["total_bytes"].get<std::uint64_t>() - 82);
  }

  TEST_CASE("Ctrl-C ends it by its signal, leaves nothing half done, and the next call goes on") {
    Home home;
    home.environment["HF_DEBUG"] = "1";
    const RunResult stopped = run_binary({"download", "fault/slow"}, {.environment = home.environment, .signal_number = SIGINT});
    CHECK(stopped.exit_code == 128 + SIGINT);
    CHECK(contains(stopped.err, "stopping"));
    CHECK(stopped.out.empty());
    CHECK_FALSE(fs::exists(home.folder / "hub/models--fault--slow/snapshots"));
    CHECK(home.run({"good/model"}).exit_code == 0);
  }

  TEST_CASE("stopped or killed in the midst of a file's bytes, the next call asks for the rest alone and the file is whole") {
    for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
      CAPTURE(signal);
      Home home;   // its Hub sends half of the file, then nothing
      const fs::path blobs = home.folder / "hub/models--fault--stall-long-once/blobs";
      const auto part = [&]() -> std::uintmax_t {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(blobs, error)) {
          if (entry.path().extension() == ".incomplete") return entry.file_size();
        }
        return 0;
      };
      const RunResult stopped = run_binary({"download", "fault/stall-long-once", "--include", "model.safetensors"},
                                           {.environment = home.environment, .signal_number = signal, .signal_when = [&] { return part() >= 150'000; }});
      CHECK(stopped.exit_code == 128 + signal);
      CHECK(stopped.out.empty());
      CHECK(part() == 150'000);
      const fs::path file = home.folder / "hub/models--fault--stall-long-once/snapshots" / kCommit / "model.safetensors";
      CHECK_FALSE(fs::exists(file));
      const RunResult next = home.run({"fault/stall-long-once", "--include", "model.safetensors", "--json"});
      CAPTURE(next.err);
      REQUIRE(next.exit_code == 0);
      CHECK(contains(next.err, "model.safetensors: resumed at 150.00 KB of 300.00 KB"));
      const Json json = Json::parse(next.out);
      CHECK(json["resumed_bytes"] == 150'000);
      CHECK(json["received_bytes"] == 150'000);
      CHECK(home.hub.requests().back().headers["range"] == "bytes=150000-299999");
      // The blob's name is the digest of the file's bytes.
      const std::string bytes = read_file(file, 1'000'000);
      CHECK(bytes.size() == 300'000);
      CHECK(sha256_hex(std::as_bytes(std::span(bytes))) == fs::read_symlink(file).filename());
      CHECK(part() == 0);
    }
  }

  TEST_CASE("the proxy of the environment is asked, unless no_proxy names the host") {
    Home home;
    home.environment["HF_ENDPOINT"] = "http://hub.invalid";
    home.environment["http_proxy"] = home.hub.endpoint();
    const RunResult r = home.run({"good/model", "--include", "config.json"});
    CAPTURE(r.err);
    CHECK(r.exit_code == 0);
    CHECK(home.hub.count("HEAD", "http://hub.invalid/good/model") + home.hub.count("GET", "http://hub.invalid/good/model") > 0);
    home.environment["no_proxy"] = "hub.invalid";
    const RunResult direct = home.run({"good/model@v1"});
    CHECK(direct.exit_code == 5);
    CHECK(contains(direct.err, "hub.invalid"));
    home.environment.erase("no_proxy");
    home.environment["http_proxy"] = "http://127.0.0.1:1";
    CHECK(home.run({"good/model@v1"}).exit_code == 5);
    home.environment["http_proxy"] = "http://proxy.invalid:3128";
    CHECK(contains(home.run({"good/model@v1"}).err, "check http_proxy, HTTPS_PROXY and ALL_PROXY"));
  }

  TEST_CASE("says what is wrong") {
    Home home;
    const auto error = [&](const std::vector<std::string>& args, int code, std::string_view part) {
      const RunResult r = home.run(args);
      CAPTURE(r.err);
      CHECK(r.exit_code == code);
      CHECK(r.out.empty());
      CHECK(contains(r.err, part));
    };
    error({"good/model", "--include", "*.gguf"}, 3, "error: good/model: no file of the repository matches; check --include and --exclude");
    error({"hf://good/model/onnx", "--include", "x"}, 2, "names a file or folder, and --include others");
    error({"good/model@v1", "--revision", "main"}, 2, "names the revision 'v1', but --revision says 'main'");
    error({"good/model", "--connections", "0"}, 2, "--connections: expected 1 to 64, got 0");
    error({"../x"}, 2, "../x");
    error({"gated/model"}, 4, "gated");
    error({"no/such"}, 3, "no/such");
    error({"good/model", "--offline"}, 5, "network is off");
    error({"fault/wrong-bytes"}, 5, "fault/wrong-bytes");
    home.environment["HF_HUB_CACHE"] = "/proc/nowhere";
    error({"good/model"}, 9, "/proc/nowhere/models--good--model/blobs: cannot make the folder: ");
  }
}

}  // namespace bigmodel::test
