// SPDX-License-Identifier: Apache-2.0
// What loading and running say of checkpoints and disks that are not as they should be.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <stop_token>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/engine/infer.h"
#include "bigmodel/io/json.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

namespace fs = std::filesystem;

/// Fails reads from the so-many-th on.
class FailingDisk : public Disk {
 public:
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    if (left.fetch_sub(1) <= 0) {
      errno = EIO;
      return -1;
    }
    return Disk::pread(fd, data, size, offset);
  }
  mutable std::atomic<std::int64_t> left = INT64_MAX;
};

/// Has room for so many writes.
class FullDisk : public Disk {
 public:
  ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) const override {
    if (left.fetch_sub(1) <= 0) {
      errno = ENOSPC;
      return -1;
    }
    return Disk::pwrite(fd, data, size, offset);
  }
  mutable std::atomic<std::int64_t> left = INT64_MAX;
};

/// A copy of a small llama that a test may spoil.
struct Llama {
  Llama() { fs::copy(test::golden_path("engine/llama-llama3"), folder.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing); }

  std::unique_ptr<LoadedModel> load(const char* device, const Disk* disk = nullptr, WorkContext work = {}) const {
    spec::SpecLibrary library(embedded::architectures_files());
    DispatchOptions options;
    options.device_map = {{"", std::string(device)}};
    options.disk = disk;
    options.work = std::move(work);
    return load_checkpoint_and_dispatch(build_meta_graph(library, read_config(folder / "config.json"), {.class_name = "auto"}), open_checkpoint(folder.path()), options);
  }
  fs::path weights() const { return folder / "model.safetensors"; }

  test::TempFolder folder;
};

void run(LoadedModel& model, const WorkContext& work = {}) {
  const std::vector<std::int64_t> ids = {3, 4, 5};
  infer(model, {{"input_ids", Tensor::of_ids({1, 3}, ids)}}, work);
}

}  // namespace

TEST_SUITE("engine/load_faults") {
  TEST_CASE("a model with a parameter that no block reads is refused by the parameter's name") {
    spec::SpecLibrary library(embedded::architectures_files());
    const auto check = [&](const char* type) { check_runnable(build_meta_graph(library, parse_config(fmt::format(R"({{"model_type": "{}"}})", type), "config.json"), {.disk_rules = false})); };
    CHECK_THROWS_WITH_AS(check("llava_next"), doctest::Contains("image_newline"), UnsupportedError);
    check("llava");
    check("dinov2");   // its mask_token is said to be unread
  }

  TEST_CASE("a file that is cut short is refused before anything runs") {
    const Llama llama;
    fs::resize_file(llama.weights(), fs::file_size(llama.weights()) - 100);
    CHECK_THROWS_AS(llama.load("cpu"), FormatError);
  }

  TEST_CASE("a tensor of another shape is named with both shapes") {
    const Llama llama;
    auto config = read_json_file(llama.folder / "config.json");
    config["intermediate_size"] = config["intermediate_size"].get<int>() + 2;
    llama.folder.write("config.json", config.dump());
    CHECK_THROWS_WITH_AS(llama.load("cpu"), doctest::Contains("expected ["), FormatError);
  }

  TEST_CASE("tensors that are missing are listed") {
    const Llama llama;
    auto config = read_json_file(llama.folder / "config.json");
    config["num_hidden_layers"] = config["num_hidden_layers"].get<int>() + 1;
    llama.folder.write("config.json", config.dump());
    CHECK_THROWS_WITH_AS(llama.load("disk"), doctest::Contains("self_attn.q_proj.weight"), FormatError);
  }

  TEST_CASE("a shard that is missing is named") {
    const Llama llama;
    fs::rename(llama.weights(), llama.folder / "model-00001-of-00002.safetensors");
    llama.folder.write("model.safetensors.index.json", R"({"weight_map": {"model.embed_tokens.weight": "model-00002-of-00002.safetensors"}})");
    CHECK_THROWS_WITH_AS(llama.load("cpu"), doctest::Contains("model-00002-of-00002.safetensors"), Error);
  }

  TEST_CASE("a read that fails while weights are loaded or streamed names the file and the place, and the next pass works") {
    const Llama llama;
    FailingDisk disk;
    disk.left = 0;
    CHECK_THROWS_WITH_AS(llama.load("cpu", &disk), doctest::Contains("at byte"), IoError);
    disk.left = INT64_MAX;
    const auto model = llama.load("disk", &disk);
    int thrown = 0;
    for (const std::int64_t good : {0, 1, 2, 3, 5, 8, 13}) {
      disk.left = good;
      try {
        run(*model);
      } catch (const IoError& e) {
        ++thrown;
        CHECK(std::string(e.what()).find("model.safetensors") != std::string::npos);
      }
      disk.left = INT64_MAX;
      // What was read ahead while the disk failed is told once more.
      for (int attempt = 0; attempt < 3; ++attempt) {
        try {
          run(*model);
          break;
        } catch (const IoError&) {
          CHECK(attempt < 2);
        }
      }
    }
    CHECK(thrown >= 3);
  }

  TEST_CASE("a file that was replaced since is not read on") {
    const Llama llama;
    FailingDisk disk;
    spec::SpecLibrary library(embedded::architectures_files());
    Checkpoint checkpoint = open_checkpoint(llama.folder.path());
    fs::copy_file(llama.weights(), llama.folder / "other");
    fs::rename(llama.folder / "other", llama.weights());
    DispatchOptions options;
    MetaGraph graph = build_meta_graph(library, read_config(llama.folder / "config.json"), {.class_name = "auto"});
    CHECK_THROWS_WITH_AS(load_checkpoint_and_dispatch(std::move(graph), std::move(checkpoint), options), doctest::Contains("changed"), IoError);
  }

  TEST_CASE("a file that shrinks while its weights are streamed is told by its name, and no pass gives tensors") {
    const Llama llama;
    const auto model = llama.load("disk");
    run(*model);
    fs::resize_file(llama.weights(), fs::file_size(llama.weights()) / 2);
    int thrown = 0;
    for (int pass = 0; pass < 3; ++pass) {
      try {
        run(*model);
      } catch (const FormatError& e) {
        ++thrown;
        CHECK(std::string(e.what()).find("model.safetensors") != std::string::npos);
      }
    }
    // The first one may still have what was read ahead.
    CHECK(thrown >= 2);
  }

  TEST_CASE("a disk that is full while weights are offloaded is told by the file's name, which is gone then") {
    const Llama llama;
    FullDisk disk;
    for (const std::int64_t room : {0, 1, 3}) {
      disk.left = room;
      const fs::path to = llama.folder / "offloaded";
      spec::SpecLibrary library(embedded::architectures_files());
      const auto model = build_module_tree(build_meta_graph(library, read_config(llama.folder / "config.json"), {.class_name = "auto"}));
      LoadCheckpointOptions options;
      options.device_map = {{"", std::string("disk")}};
      options.offload_folder = to;
      options.disk = &disk;
      try {
        load_checkpoint_in_model(*model, llama.folder.path(), options);
        FAIL("nothing was thrown");
      } catch (const IoError& e) {
        CHECK(std::string(e.what()).find((to / "").string()) != std::string::npos);
        CHECK(std::string(e.what()).find("No space left") != std::string::npos);
      }
      // Whole files and no index: nobody takes the folder for a finished one.
      CHECK_FALSE(fs::exists(to / "index.json"));
      std::int64_t files = 0;
      for (const auto& entry : fs::directory_iterator(to)) files += entry.is_regular_file() ? 1 : 0;
      CHECK(files == room);
      fs::remove_all(to);
    }
  }

  TEST_CASE("a stop is heeded while loading and in every pass") {
    const Llama llama;
    std::stop_source stopped;
    stopped.request_stop();
    CHECK_THROWS_AS(llama.load("cpu", nullptr, {.progress = {}, .stop = stopped.get_token()}), CancelledError);
    for (const char* device : {"cpu", "disk"}) {
      const auto model = llama.load(device);
      CHECK_THROWS_AS(run(*model, {.progress = {}, .stop = stopped.get_token()}), CancelledError);
      run(*model);
    }
  }
}
