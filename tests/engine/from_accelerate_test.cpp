// SPDX-License-Identifier: Apache-2.0
// Every C++ call of docs/from-accelerate.md, as it stands there: compiled, run, and found in this file by the test at its end.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/engine/from_pretrained.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/engine/model_surgery.h"
#include "bigmodel/engine/modules.h"
#include "bigmodel/engine/save_model.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/planning/balanced_memory.h"
#include "bigmodel/planning/check_device_map.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

/// Three layers and a norm, filled so that its output is not all zeros.
std::unique_ptr<Sequential> make_net(const TensorHome& home = {}) {
  auto out = std::make_unique<Sequential>();
  for (int i = 0; i < 3; ++i) out->append(std::make_unique<Linear>(8, 8, home));
  out->add_module("norm", std::make_unique<LayerNorm>(8, 1e-5F, home));
  for (const NamedTensor& t : named_module_tensors(*out, {.recurse = true})) {
    if (t.tensor->is_meta()) continue;
    std::vector<float> values(static_cast<std::size_t>(element_count(t.tensor->view.shape)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 5) / 8 - 0.2F;
    t.tensor->set(stored_tensor(DType::float32, t.tensor->view.shape, std::as_bytes(std::span(values)), *t.tensor->device));
  }
  return out;
}

std::vector<float> output(Module& model) {
  Tensor x = Tensor::zeros({1, 8});
  for (int i = 0; i < 8; ++i) x.f32()[i] = static_cast<float>(i);
  const Tensor y = model(x).to(cpu_device());
  return {y.f32(), y.f32() + y.count()};
}

/// C++ between backticks in the second column.
std::set<std::string> documented_calls() {
  std::istringstream in(read_file(source_root() / "docs/from-accelerate.md", 1'000'000));
  std::set<std::string> out;
  for (std::string line; std::getline(in, line);) {
    const std::size_t column = line.find(" | ");
    if (!line.starts_with("| ") || column == std::string::npos) continue;
    for (std::size_t at = line.find('`', column); at != std::string::npos; at = line.find('`', at)) {
      const std::size_t end = line.find('`', at + 1);
      if (const std::string call = line.substr(at + 1, end - at - 1); !call.starts_with("bigmodel ")) out.insert(call);
      at = end + 1;
    }
  }
  return out;
}

}  // namespace

TEST_SUITE("engine/from_accelerate") {
  TEST_CASE("models without memory") {
    const RamDevice device("gpu");
    {
      auto model = make_net(init_empty_weights());
      CHECK(find_tensor(*model, "0.weight")->is_meta());
    }
    {
      auto model = make_net(init_empty_weights(true));
      CHECK(find_tensor(*model, "0.weight")->is_meta());
    }
    {
      auto model = make_net(init_on_device(device));
      CHECK(find_tensor(*model, "0.weight")->device == &device);
    }
  }

  TEST_CASE("models of a folder") {
    spec::SpecLibrary library(embedded::architectures_files());
    const fs::path folder = source_root() / "apps/bigmodel/demo_model";
    const TempFolder temp;
    const fs::path output = temp / "output";
    {
      auto model = from_config(library, read_config(folder / "config.json"));
      CHECK(model->dtype() == DType::float32);
    }
    {
      auto model = from_pretrained(library, folder, {.device_map = DeviceMap{{"model.embed_tokens", "cpu"}, {"", "disk"}}});
      CHECK(model->placement().disk_bytes > 0);
    }
    auto model = from_pretrained(library, folder, {.device_map = "auto", .dtype = "auto"});
    CHECK(!model->hf_device_map().empty());
    CHECK(num_parameters(model->graph()) > 0);
    CHECK(get_memory_footprint(model->graph(), model->dtype()) > 0);
    CHECK(get_input_embeddings(model->root()).layer_kind() == "Embedding");
    CHECK(get_output_embeddings(model->root()) != nullptr);
    resize_token_embeddings(*model, library, {.new_num_tokens = 1001, .pad_to_multiple_of = 64});
    tie_weights(*model);
    prune_heads(*model, library, {{0, {0, 1}}});
    save_pretrained(*model, output, {.max_shard_size_bytes = 200'000'000});
    CHECK(from_pretrained(library, output)->graph().root->module_count == model->graph().root->module_count);
    CHECK(get_input_embeddings(from_pretrained(library, output)->root()).find_tensor("weight")->view.shape.front() == 1024);
  }

  TEST_CASE("checkpoints into modules") {
    const TempFolder temp;
    const fs::path shards = temp / "shards", output = shards;
    const DeviceMap device_map{{"0", std::string("cpu")}, {"1", std::string("disk")}, {"2", std::string("cpu")}, {"norm", std::string("cpu")}};
    std::vector<float> plain;
    {
      auto model = make_net();
      plain = test::output(*model);
      save_model(*model, output, {.max_shard_size_bytes = 300});
    }
    {
      auto model = make_net();
      load_sharded_checkpoint(*model, shards);
      CHECK(test::output(*model) == plain);
    }
    {
      const fs::path offload = temp / "first";
      auto model = make_net(init_empty_weights());
      load_checkpoint_in_model(*model, shards, {.device_map = device_map, .offload_folder = offload});
      dispatch_model(*model, {.device_map = device_map, .offload_dir = offload});
      CHECK(test::output(*model) == plain);
    }
    {
      auto model = make_net();
      load_checkpoint_in_model(*model, shards, {.dtype = DType::float16, .keep_in_fp32_modules = {"0"}, .strict = true});
      CHECK(find_tensor(*model, "0.weight")->view.dtype == DType::float32);
    }
    {
      auto model = make_net(init_empty_weights());
      load_checkpoint_and_dispatch(*model, shards, {.device_map = "auto", .no_split_module_classes = {"Block"}});
      CHECK(test::output(*model) == plain);
    }
    {
      const fs::path offload = temp / "second";
      auto model = make_net(init_empty_weights());
      load_checkpoint_and_dispatch(*model, shards, {.device_map = device_map, .offload_folder = offload});
      CHECK(test::output(*model) == plain);
    }
    {
      auto model = make_net(init_empty_weights());
      load_checkpoint_and_dispatch(*model, shards, {.device_map = device_map, .offload_in_place = true});
      CHECK(find_tensor(*model, "1.weight")->is_meta());
      CHECK(test::output(*model) == plain);
    }
  }

  TEST_CASE("plans") {
    auto model = make_net();
    const InferredDeviceMap map = infer_auto_device_map(graph_of(*model), {.max_memory = {{"cpu", 900}, {"disk", 1'000'000'000}}, .no_split = {"Block"}});
    const DeviceMap& device_map = map.device_map;
    CHECK(check_device_map(graph_of(*model), device_map).error().empty());
    CHECK(get_balanced_memory(graph_of(*model), {.max_memory = {{0, 2000}, {1, 2000}}}).max_memory.size() >= 2);
    CHECK(!compute_module_sizes(graph_of(*model), {}).empty());
    const TieGroups tied = find_tied_parameters(*model);
    CHECK(tied.empty());
    retie_parameters(*model, tied);
  }

  TEST_CASE("whole models offloaded") {
    const RamDevice device("gpu");
    const TempFolder temp;
    const std::vector<float> plain = output(*make_net());
    const DeviceMap device_map{{"0", std::string("cpu")}, {"1", std::string("disk")}, {"2", std::string("cpu")}, {"norm", std::string("cpu")}};
    {
      auto model = make_net();
      cpu_offload(*model, {.execution_device = &device});
      CHECK(output(*model) == plain);
    }
    {
      auto model = make_net(), next = make_net();
      auto hook = cpu_offload_with_hook(*model, device);
      auto next_hook = cpu_offload_with_hook(*next, device, hook);
      CHECK(output(*model) == plain);
      CHECK(output(*next) == plain);
      CHECK(find_tensor(*model, "0.weight")->device == &cpu_device());
      CHECK(find_tensor(*next, "0.weight")->device == &device);
      hook->offload();
      hook->remove();
      CHECK(model->hook() == nullptr);
    }
    {
      const fs::path offload = temp / "first";
      auto model = make_net();
      disk_offload(*model, {.offload_dir = offload, .execution_device = &device});
      CHECK(output(*model) == plain);
    }
    {
      const fs::path offload = temp / "second";
      auto model = make_net();
      dispatch_model(*model, {.device_map = device_map, .main_device = &device, .offload_dir = offload, .offload_buffers = true, .force_hooks = true});
      CHECK(output(*model) == plain);
    }
  }

  TEST_CASE("hooks") {
    class Hook : public ModelHook {
     public:
      int calls = 0;

     private:
      void pre_forward(Module& module, Arguments& arguments, ForwardState& state) override {
        CHECK(module.class_name() == "Linear");
        CHECK(arguments.size() == 1);
        CHECK(state.cache == nullptr);
        ++calls;
      }
    };
    const RamDevice device("gpu");
    auto model = make_net();
    const std::vector<float> plain = output(*model);
    Module& module = model->get_submodule("1");
    const auto hook = std::make_shared<Hook>(), first = std::make_shared<Hook>(), second = std::make_shared<Hook>();
    add_hook_to_module(module, hook);
    add_hook_to_module(module, hook, true);
    CHECK(output(*model) == plain);
    CHECK(hook->calls == 2);
    remove_hook_from_module(module);
    module.add_hook(std::make_shared<SequentialHook>(std::vector<std::shared_ptr<ModelHook>>{first, second}));
    output(*model);
    CHECK(first->calls + second->calls == 2);
    remove_hook_from_module(module, true);
    module.add_hook(std::make_shared<AlignDevicesHook>(AlignDevices{.execution_device = &device, .offload = true, .io_same_device = true}));
    CHECK(has_offloaded_params(module));
    CHECK(output(*model) == plain);
    {
      const AlignedModule aligned(module, &device);
      CHECK(module.find_tensor("weight")->device == &device);
    }
    remove_hook_from_submodules(module);
    attach_execution_device_hook(*model, &device);
    CHECK(output(*model) == plain);
    remove_hook_from_submodules(*model);
    attach_align_device_hook(*model, &device, true, {.offload_buffers = true});
    CHECK(output(*model) == plain);
    remove_hook_from_submodules(*model);
    attach_align_device_hook_on_blocks(*model, {.execution_device = {{"0", &device}, {"1", &device}}, .offload = {{"0", true}, {"1", false}}});
    CHECK(output(*model) == plain);
    remove_hook_from_submodules(*model);
    attach_layerwise_casting_hooks(*model, {.storage_dtype = DType::float8_e4m3fn, .compute_dtype = DType::float32, .skip_modules_pattern = {"norm"}});
    CHECK(output(*model) != plain);
    CHECK(find_tensor(*model, "0.weight")->view.dtype == DType::float8_e4m3fn);
    CHECK(find_tensor(*model, "norm.weight")->view.dtype == DType::float32);
  }

  TEST_CASE("tensors and offload folders") {
    const Disk disk;
    const RamDevice device("gpu");
    const TempFolder temp;
    const fs::path offload = temp / "off";
    auto model = make_net();
    Module& module = model->get_submodule("0");
    CHECK(named_module_tensors(module, {.recurse = true}).size() == 2);
    offload_state_dict(offload, state_dict(*model), disk);
    OffloadedWeightsLoader weights(state_dict(module), open_offload_folder(offload, disk));
    CHECK(weights.find("weight"));
    CHECK(weights.find("2.bias"));
    const StoredTensor value = *weights.find("2.weight");
    set_module_tensor_to_device(module, "weight", &device, {.value = value});
    CHECK(module.find_tensor("weight")->device == &device);
  }

  TEST_CASE("the page says nothing that is not here") {
    const std::string here = read_file(source_root() / "tests/engine/from_accelerate_test.cpp", 1'000'000);
    const std::set<std::string> calls = documented_calls();
    CHECK(calls.size() > 50);
    for (const std::string& call : calls) CHECK_MESSAGE(here.find(call) != std::string::npos, call);
  }
}

}  // namespace bigmodel::test
