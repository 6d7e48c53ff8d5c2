// SPDX-License-Identifier: Apache-2.0
// Models over several accelerators, RAM and disk: the same bits wherever weights sleep, and clear words where something cannot be.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <cerrno>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/big_modeling.h"
#include "bigmodel/engine/from_pretrained.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/modules.h"
#include "engine/expected.h"
#include "support/emulated_card.h"
#include "support/golden_folders.h"
#include "support/plain_accelerator.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;
using test::PlainAccelerator;

namespace {

namespace fs = std::filesystem;

std::unique_ptr<LoadedModel> llama(const DeviceMap& map, const DeviceTable* devices, const Device* main_device = nullptr, const Disk* disk = nullptr) {
  spec::SpecLibrary library(embedded::architectures_files());
  return from_pretrained(library, test::golden_path("engine/llama-llama3"), {.device_map = map, .devices = devices, .main_device = main_device, .disk = disk});
}

std::vector<float> logits(LoadedModel& model) {
  ForwardState state;
  state.length = 5;
  place_tokens(state);
  const Tensor out = model.forward(Tensor::of_ids({1, 5}, std::vector<std::int64_t>{3, 7, 1, 9, 4}), state);
  return {out.f32(), out.f32() + out.count()};
}

std::vector<std::vector<std::int64_t>> generated(LoadedModel& model, int beams = 1) {
  GenerateOptions options;
  options.max_new_tokens = 6;
  options.beams = beams;
  return generate(model, pad_left({{3, 7, 1}, {5, 6, 7}}, 0), options).ids;
}

/// Fails reads while it is told to.
class FailingDisk : public Disk {
 public:
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    if (fails) {
      errno = EIO;
      return -1;
    }
    return Disk::pread(fd, data, size, offset);
  }
  std::atomic<bool> fails = false;
};

std::unique_ptr<Sequential> net(const TensorHome& home = {}) {
  auto out = std::make_unique<Sequential>();
  out->add_module("0", std::make_unique<Linear>(4, 6, Linear::Options{.home = home}));
  out->add_module("1", std::make_unique<LayerNorm>(6, 1e-5F, home));
  out->add_module("2", std::make_unique<Linear>(6, 3, Linear::Options{.home = home}));
  float next = 0.1F;
  out->for_each([&](Module& m) {
    for (ModuleTensor& t : m.tensors()) {
      std::vector<float> values(static_cast<std::size_t>(element_count(t.view.shape)));
      for (float& v : values) v = next = next * 1.7F > 1 ? next * 1.7F - 1.3F : next * 1.7F;
      t.set(stored_tensor(DType::float32, t.view.shape, std::as_bytes(std::span(values))));
    }
  });
  return out;
}

std::vector<float> answer(Module& model, const Device& input = cpu_device()) {
  Tensor x({2, 4});
  for (int i = 0; i < 8; ++i) x.f32()[i] = static_cast<float>(i) * 0.3F - 1;
  const Tensor out = model(x.to(input)).to(cpu_device());
  return {out.f32(), out.f32() + out.count()};
}

}  // namespace

TEST_SUITE("engine/accelerator") {
  TEST_CASE("a model answers with the same bits wherever its layers lie") {
    const PlainAccelerator first("cuda:0"), second("cuda:1");
    const DeviceTable devices({&first, &second});
    const auto whole = llama({{"", "cuda:0"}}, &devices);
    CHECK(whole->only_accelerator() == &first);
    CHECK(whole->placement().device_bytes.at("cuda:0") > 0);
    CHECK(whole->placement().ram_bytes == 0);
    const std::vector<float> want = logits(*whole);
    const auto ids = generated(*whole);
    const auto beams = generated(*whole, 2);
    const std::vector<DeviceMap> maps = {
        {{"model.embed_tokens", std::int64_t{0}}, {"model.layers.0", std::int64_t{0}}, {"", std::int64_t{1}}},
        {{"model.layers.0", "cuda:1"}, {"model.layers.1", "cuda:0"}, {"", "cuda:1"}},
        {{"model.embed_tokens", std::int64_t{0}}, {"model.layers.0", "disk"}, {"", "cpu"}},
        {{"model.norm", std::int64_t{1}}, {"", "disk"}},
        {{"model.layers.0.self_attn", "cuda:0"}, {"model.layers.0.mlp", "cuda:1"}, {"model.layers.1.mlp", "cpu"}, {"", "cuda:0"}},
    };
    for (const DeviceMap& map : maps) {
      const auto model = llama(map, &devices);
      CAPTURE(to_string(map.front().second));
      CHECK(model->only_accelerator() == nullptr);
      CHECK(logits(*model) == want);
      CHECK(generated(*model) == ids);
      CHECK(generated(*model, 2) == beams);
    }
    const auto streamed = llama({{"", "disk"}}, &devices, &second);
    CHECK(streamed->placement().disk_bytes > 0);
    CHECK(streamed->placement().device_bytes.at("cuda:1") > 0);
    CHECK(logits(*streamed) == want);
    // What the processor alone says is near, and the same tokens.
    const auto processor = llama({{"", "cpu"}}, nullptr);
    CHECK(generated(*processor) == ids);
    CHECK(generated(*processor, 2) == beams);
  }

  TEST_CASE("a read that fails is told, and the next pass is right") {
    const PlainAccelerator device;
    const DeviceTable devices({&device});
    const FailingDisk disk;
    const auto model = llama({{"model.embed_tokens", "cuda:0"}, {"", "disk"}}, &devices, nullptr, &disk);
    const std::vector<float> want = logits(*model);
    const_cast<FailingDisk&>(disk).fails = true;
    bool told = false;
    for (int pass = 0; pass < 4 && !told; ++pass) {
      try {
        logits(*model);
      } catch (const IoError& e) {
        told = std::string(e.what()).find("model.safetensors") != std::string::npos;
      }
    }
    CHECK(told);
    const_cast<FailingDisk&>(disk).fails = false;
    // What the reader tried ahead while the disk still failed is told at most once for each stage.
    bool right = false;
    for (int pass = 0; pass < 4 && !right; ++pass) {
      try {
        right = logits(*model) == want;
        CHECK(right);
      } catch (const IoError&) {
        CHECK(pass < 3);
      }
    }
    CHECK(right);
  }

  TEST_CASE("ids that the model does not have are refused wherever its embeddings lie") {
    const auto card = test::emulated_card();
    const DeviceTable devices({card.get()});
    for (const DeviceMap& map : {DeviceMap{{"", "cuda:0"}}, DeviceMap{{"model.embed_tokens", "cpu"}, {"", "cuda:0"}}, DeviceMap{{"model.norm", "cuda:0"}, {"", "disk"}}}) {
      const auto model = llama(map, &devices);
      for (const std::int64_t id : {INT64_C(1'000'000), INT64_C(-1), INT64_MAX}) {
        ForwardState state;
        state.length = 2;
        place_tokens(state);
        CHECK_THROWS_WITH_AS(model->forward(Tensor::of_ids({1, 2}, std::vector<std::int64_t>{1, id}), state), doctest::Contains(fmt::format("id {}", id).c_str()), UsageError);
      }
      CHECK(logits(*model).size() > 0);
    }
  }

  TEST_CASE("devices that are not there, or that nothing runs on, are refused by name") {
    const PlainAccelerator device;
    const DeviceTable devices({&device});
    CHECK_THROWS_WITH_AS(llama({{"", "cuda:3"}}, &devices), doctest::Contains("'cuda:3'"), DeviceError);
    CHECK_THROWS_WITH_AS(llama({{"", "cuda:0"}}, nullptr), doctest::Contains("cuda:0"), DeviceError);
    CHECK_THROWS_WITH_AS(llama({{"", "mps"}}, &devices), doctest::Contains("planned for but not run on"), DeviceError);
    CHECK_THROWS_WITH_AS(llama({{"", "meta"}}, &devices), doctest::Contains("meta"), DeviceError);
    CHECK_THROWS_AS(llama({{"model.layers", "cuda:0"}}, &devices), UsageError);
  }

  TEST_CASE("what has no kernels is left to the processor, and named") {
    const PlainAccelerator device;
    const DeviceTable devices({&device});
    const test::TempFolder folder;
    test::unpack_archive(test::golden_path("engine") / "cases.tar.xz", folder.path());
    spec::SpecLibrary library(embedded::architectures_files());
    const auto model = from_pretrained(library, folder.path() / "resnet", {.device_map = "cuda:0", .devices = &devices});
    CHECK(!model->left_to_processor().empty());
    CHECK(model->only_accelerator() == nullptr);
    CHECK(model->placement().ram_bytes > 0);
  }

  TEST_CASE("accelerate's functions compute on an accelerator") {
    const PlainAccelerator device;
    const test::TempFolder temp;
    const std::vector<float> plain = answer(*net());
    {
      auto model = net();
      cpu_offload(*model, {.execution_device = &device});
      CHECK(answer(*model) == plain);
      CHECK(find_tensor(*model, "0.weight")->is_meta());
    }
    {
      auto model = net();
      disk_offload(*model, {.offload_dir = temp / "disk", .execution_device = &device});
      CHECK(answer(*model) == plain);
    }
    {
      auto model = net();
      const auto hook = cpu_offload_with_hook(*model, device);
      CHECK(answer(*model) == plain);
      CHECK(find_tensor(*model, "0.weight")->device == &device);
      hook->offload();
      CHECK(find_tensor(*model, "0.weight")->device == &cpu_device());
    }
    {
      auto model = net();
      const DeviceMap map{{"0", std::int64_t{0}}, {"1", "cpu"}, {"2", "disk"}};
      dispatch_model(*model, {.device_map = map, .offload_dir = temp / "dispatch", .devices = DeviceTable({&device})});
      CHECK(answer(*model) == plain);
      CHECK(find_tensor(*model, "0.weight")->device == &device);
    }
    {
      auto model = net();
      model->to(device);
      CHECK(answer(*model, device) == plain);
    }
  }

  TEST_CASE("weights stream to an emulated card beside its work, whatever order the lanes take") {
    for (const bool deferred : {false, true}) {
      const auto card = test::emulated_card({.deferred = deferred, .before_copy = [](std::uint64_t) {}});
      const DeviceTable devices({card.get()});
      const std::vector<float> want = logits(*llama({{"", "cuda:0"}}, &devices));
      const auto streamed = llama({{"model.layers.0", "cpu"}, {"", "disk"}}, &devices, card.get());
      for (int pass = 0; pass < 3; ++pass) CHECK(logits(*streamed) == want);
    }
  }
}
