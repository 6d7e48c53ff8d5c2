// SPDX-License-Identifier: Apache-2.0
// A model of one's own, made empty, loaded from a checkpoint over RAM and disk, and run: docs/big-modeling.md walks through it.
#include <bigmodel/core/error.h>
#include <bigmodel/engine/loading.h>
#include <bigmodel/engine/modules.h>
#include <bigmodel/engine/save_model.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>


using namespace bigmodel;

namespace {

/// x + down(up(x)).
class Block : public Module {
 public:
  explicit Block(const TensorHome& home) : Module("Block") {
    up_ = &add_module("up", std::make_unique<Linear>(64, 256, home));
    down_ = &add_module("down", std::make_unique<Linear>(256, 64, home));
  }

 protected:
  Tensor forward(const Arguments& arguments, ForwardState& state) override {
    const Tensor out = (*down_)((*up_)(arguments.front(), state), state);
    add_to(out, arguments.front());
    return out;
  }

 private:
  Linear* up_ = nullptr;
  Linear* down_ = nullptr;
};

std::unique_ptr<Sequential> make_model(const TensorHome& home) {
  auto model = std::make_unique<Sequential>();
  for (int i = 0; i < 4; ++i) model->append(std::make_unique<Block>(home));
  return model;
}

float sum_of(const Tensor& t) {
  float sum = 0;
  for (std::int64_t i = 0; i < t.count(); ++i) sum += t.f32()[i];
  return sum;
}

}  // namespace

int main() {
  try {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / "bigmodel-example";
    std::filesystem::remove_all(folder);
    // A checkpoint to load: random numbers would do; here it is 0, 1, ... 6 in thousandths, cut into shards.
    const auto source = make_model({});
    for (const NamedTensor& t : named_module_tensors(*source, {.recurse = true})) {
      std::vector<float> values(static_cast<std::size_t>(t.tensor->size_bytes()) / sizeof(float));
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) / 1000;
      set_module_tensor_to_device(*source, t.name, &cpu_device(),
                                  {.value = stored_tensor(DType::float32, t.tensor->view.shape, std::as_bytes(std::span(values)))});
    }
    const ShardReport saved = save_model(*source, folder, {.max_shard_size_bytes = 200'000});
    std::printf("saved in %zu files\n", saved.files.size());

    // The same model without memory, then with its weights: two blocks in RAM, two read from the checkpoint when they are wanted.
    const auto model = make_model(init_empty_weights());
    const DispatchReport report = load_checkpoint_and_dispatch(
        *model, folder,
        {.device_map = DeviceMap{{"0", std::string("cpu")}, {"1", std::string("cpu")}, {"2", std::string("disk")}, {"3", std::string("disk")}},
         .no_split_module_classes = {"Block"},
         .offload_in_place = true});
    for (const DeviceMapMessage& m : report.messages) std::printf("%s\n", m.text.c_str());

    Tensor x = Tensor::zeros({1, 64});
    x.f32()[0] = 1;
    std::printf("difference of the outputs: %g\n", static_cast<double>(sum_of((*model)(x)) - sum_of((*source)(x))));
    std::printf("3.up.weight is %s\n", find_tensor(*model, "3.up.weight")->is_meta() ? "asleep" : "in memory");
    std::filesystem::remove_all(folder);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
