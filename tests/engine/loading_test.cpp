// SPDX-License-Identifier: Apache-2.0
// Loading against accelerate 1.15: tensors, ties, offload folders to the byte, errors and messages of its calls.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/engine/modules.h"
#include "bigmodel/engine/save_model.h"
#include "engine/loading_record.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// The folders of a set, unpacked.
class Unpacked {
 public:
  explicit Unpacked(const fs::path& set) {
    const std::string command = "tar -C '" + temp_.path().string() + "' -xJf '" + (set / "folders.tar.xz").string() + "'";
    REQUIRE(std::system(command.c_str()) == 0);
  }
  fs::path operator/(const char* name) const { return temp_ / name; }

 private:
  TempFolder temp_;
};

int replay(const fs::path& set, const Unpacked& folders) {
  int count = 0, shown = 0;
  for_each_record(set / "loading.jsonl.xz", [&](const Json& record) {
    ++count;
    const std::string why = loading_difference(record, folders / "checkpoints");
    if (why.empty() || ++shown > 20) return;
    FAIL_CHECK(record.at("id").get<std::string>() << " " << record.value("checkpoint", "") << ": " << why.substr(0, 1500));
  });
  CHECK(shown == 0);
  for_each_record(set / "state_dicts.jsonl.xz", [&](const Json& record) {
    const std::string id = record.at("id");
    CHECK_MESSAGE(state_dict_difference(record, (folders / "state_dicts") / id).empty(), id);
  });
  return count;
}

Tensor row() {
  Tensor x = Tensor::zeros({1, 8});
  for (int i = 0; i < 8; ++i) x.f32()[i] = static_cast<float>(i) - 3.5F;
  return x;
}

std::vector<float> output(Module& model) {
  const Tensor y = model(row());
  return {y.f32(), y.f32() + y.count()};
}

std::unique_ptr<Sequential> make_model(const TensorHome& home) {
  auto model = std::make_unique<Sequential>();
  for (int i = 0; i < 3; ++i) model->append(std::make_unique<Linear>(8, 8, home));
  return model;
}

/// Saved to `folder`, in shards; its output.
std::vector<float> save_filled(const fs::path& folder) {
  const auto model = make_model({});
  float next = 0;
  for (const NamedTensor& t : named_module_tensors(*model, {.recurse = true})) {
    std::vector<float> values(static_cast<std::size_t>(t.tensor->size_bytes()) / sizeof(float));
    for (float& v : values) v = std::sin(next += 1);
    t.tensor->set(stored_tensor(DType::float32, t.tensor->view.shape, std::as_bytes(std::span(values))));
  }
  CHECK(save_model(*model, folder, {.max_shard_size_bytes = 300}).files.size() == 3);
  return output(*model);
}

}  // namespace

TEST_SUITE("engine/loading") {
  TEST_CASE("a model that sleeps on disk, in its own files or in a folder, computes and is saved as if it were awake") {
    const TempFolder temp;
    const std::vector<float> plain = save_filled(temp / "saved");
    const DeviceMap map{{"0", std::string("disk")}, {"1", std::string("cpu")}, {"2", std::string("disk")}};
    for (const bool in_place : {true, false}) {
      CAPTURE(in_place);
      const auto model = make_model(init_empty_weights());
      LoadAndDispatchOptions options{.device_map = map, .offload_in_place = in_place};
      if (!in_place) options.offload_folder = temp / "off";
      const DispatchReport report = load_checkpoint_and_dispatch(*model, temp / "saved", options);
      CHECK(report.missing_keys.empty());
      CHECK(report.hf_device_map == map);
      CHECK(find_tensor(*model, "0.weight")->is_meta());
      CHECK(output(*model) == plain);
      CHECK(find_tensor(*model, "2.bias")->is_meta());
      save_model(*model, temp / (in_place ? "again" : "again2"));
      const auto whole = make_model({});
      load_checkpoint_in_model(*whole, temp / (in_place ? "again" : "again2"));
      CHECK(output(*whole) == plain);
    }
  }

  TEST_CASE("maps by name are planned, and other names refused") {
    const TempFolder temp;
    const std::vector<float> plain = save_filled(temp / "saved");
    const auto model = make_model(init_empty_weights());
    RamDevice gpu("0");
    load_checkpoint_and_dispatch(*model, temp / "saved",
                                 {.device_map = std::string("auto"),
                                  .max_memory = Budgets{{DeviceKey(std::int64_t{0}), 700}, {DeviceKey(std::string("cpu")), 10000}},
                                  .devices = DeviceTable({&gpu})});
    CHECK(find_tensor(*model, "0.weight")->device == &gpu);
    CHECK(find_tensor(*model, "2.weight")->is_meta());
    CHECK(output(*model) == plain);
    CHECK_THROWS_WITH_AS(load_checkpoint_and_dispatch(*make_model({}), temp / "saved", {.device_map = std::string("best")}),
                         doctest::Contains("please choose 'auto', 'balanced', 'balanced_low_0' or 'sequential'"), UsageError);
    CHECK_THROWS_AS(load_checkpoint_and_dispatch(*make_model({}), temp / "saved", {.device_map = DeviceMap{{"", std::string("cuda:7")}}}), DeviceError);
  }

  TEST_CASE("shards are loaded whole, and strict says what is too many and too few") {
    const TempFolder temp;
    const std::vector<float> plain = save_filled(temp / "saved");
    const auto model = make_model({});
    load_sharded_checkpoint(*model, temp / "saved");
    CHECK(output(*model) == plain);
    Sequential other;
    other.append(std::make_unique<Linear>(8, 8));
    other.append(std::make_unique<LayerNorm>(8));
    other.add_module("extra", std::make_unique<Linear>(1, 1));
    CHECK_THROWS_WITH_AS(load_sharded_checkpoint(other, temp / "saved"),
                         doctest::Contains(R"(Missing key(s): "extra.weight","extra.bias": Unexpected key(s): "2.bias","2.weight")"), FormatError);
    CHECK_THROWS_AS(load_sharded_checkpoint(other, temp.path()), NotFoundError);
    CHECK_THROWS_AS(load_checkpoint_in_model(other, temp / "saved", {.broadcast_from_rank0 = true}), UnsupportedError);
    CHECK_THROWS_WITH_AS(load_checkpoint_in_model(other, temp / "saved"), doctest::Contains("size mismatch for 1.weight"), FormatError);
  }

  TEST_CASE("checkpoints are loaded and dispatched as accelerate does it") {
    const fs::path folder = golden_path("offload");
    CHECK(replay(folder, Unpacked(folder)) == 153);
  }

  TEST_CASE("checkpoints are loaded and dispatched as accelerate does it, all calls") {
    const auto folder = shared_path("goldens/offload");
    if (!folder) return;
    CHECK(replay(*folder, Unpacked(*folder)) == 1524);
  }
}

}  // namespace bigmodel::test
