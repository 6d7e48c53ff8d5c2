// SPDX-License-Identifier: Apache-2.0
// What is wrong with maps, devices, checkpoints, folders and hooks: the error says it, and the model is whole afterwards and its memory returned.
#include <doctest/doctest.h>

#include <cerrno>
#include <fcntl.h>

#include <algorithm>
#include <fstream>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/engine/modules.h"
#include "bigmodel/engine/save_model.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

/// Knows how much of it is in use.
class CountingDevice : public Device {
 public:
  explicit CountingDevice(std::uint64_t limit = ~std::uint64_t{0}) : limit_(limit) {}
  const std::string& name() const noexcept override { return name_; }
  std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes) const override {
    if (*used_ + size_bytes > limit_) throw CapacityError("gpu: is full");
    *used_ += size_bytes;
    return {new std::byte[size_bytes], [used = used_, size_bytes](std::byte* memory) {
              *used -= size_bytes;
              delete[] memory;
            }};
  }
  void copy_in(std::byte* to, std::span<const std::byte> from) const override { std::copy(from.begin(), from.end(), to); }
  void copy_out(const std::byte* from, std::span<std::byte> to) const override { std::copy_n(from, to.size(), to.begin()); }
  std::uint64_t used() const { return *used_; }

 private:
  std::string name_ = "gpu";
  std::uint64_t limit_;
  std::shared_ptr<std::uint64_t> used_ = std::make_shared<std::uint64_t>(0);
};

/// Throws in one of its events.
class ThrowingHook : public ModelHook {
 public:
  explicit ThrowingHook(HookEvent event) : event_(event) {}
  void init_hook(Module&) override { at(HookEvent::init); }
  void pre_forward(Module&, Arguments&, ForwardState&) override { at(HookEvent::pre_forward); }
  void post_forward(Module&, Tensor&, ForwardState&) override { at(HookEvent::post_forward); }
  void detach_hook(Module&) override { at(HookEvent::detach); }
  bool armed = true;

 private:
  void at(HookEvent event) const {
    if (armed && event == event_) throw UsageError("the hook has had enough");
  }
  HookEvent event_;
};

/// Calls back before it computes.
class CallingLinear : public Linear {
 public:
  CallingLinear() : Linear(8, 8) {}
  std::function<void()> call;

 protected:
  Tensor forward(const Arguments& arguments, ForwardState& state) override {
    if (call) call();
    return Linear::forward(arguments, state);
  }
};

/// A disk on which nothing can be written.
class ReadOnlyDisk : public Disk {
 public:
  int open(const fs::path& path, int flags, unsigned mode) const override {
    if ((flags & (O_WRONLY | O_RDWR)) == 0) return Disk::open(path, flags, mode);
    errno = EROFS;
    return -1;
  }
};

std::unique_ptr<Sequential> make_net(const TensorHome& home = {}) {
  auto out = std::make_unique<Sequential>();
  for (int i = 0; i < 3; ++i) out->append(std::make_unique<Linear>(8, 8, home));
  float next = 0;
  for (const NamedTensor& t : named_module_tensors(*out, {.recurse = true})) {
    if (t.tensor->is_meta()) continue;
    std::vector<float> values(static_cast<std::size_t>(element_count(t.tensor->view.shape)));
    for (float& v : values) v = (next += 0.01F);
    t.tensor->set(stored_tensor(DType::float32, t.tensor->view.shape, std::as_bytes(std::span(values))));
  }
  return out;
}

Tensor row() {
  Tensor x = Tensor::zeros({1, 8});
  for (int i = 0; i < 8; ++i) x.f32()[i] = static_cast<float>(i) / 4;
  return x;
}

std::vector<float> output(Module& model) {
  const Tensor y = model(row()).to(cpu_device());
  return {y.f32(), y.f32() + y.count()};
}

bool has_hooks(const Module& model) {
  bool out = false;
  model.for_each([&](const Module& m) { out = out || m.hook() != nullptr; });
  return out;
}

bool is_empty_model(const Module& model) {
  bool out = true;
  model.for_each([&](const Module& m) {
    for (const ModuleTensor& t : m.tensors()) out = out && t.is_meta();
  });
  return out;
}

DeviceMap all_on(const char* device) { return {{"", std::string(device)}}; }

}  // namespace

TEST_SUITE("engine/bad_input") {
  TEST_CASE("maps that leave modules out, name unknown ones or devices that there are not, leave an empty model empty") {
    const TempFolder temp;
    save_model(*make_net(), temp / "saved");
    const auto fails = [&](LoadAndDispatchOptions options, const char* words) {
      const auto model = make_net(init_empty_weights());
      CHECK_THROWS_WITH_AS(load_checkpoint_and_dispatch(*model, temp / "saved", options), doctest::Contains(words), Error);
      CHECK(is_empty_model(*model));
      CHECK(!has_hooks(*model));
      CHECK(!fs::exists(temp / "off/index.json"));
    };
    fails({.device_map = DeviceMap{{"0", std::string("cpu")}, {"1", std::string("disk")}}, .offload_folder = temp / "off"}, "2.bias doesn't have any device set");
    fails({.device_map = all_on("gpu")}, "gpu");
    fails({.device_map = DeviceMap{{"", std::int64_t{0}}}}, "0");
    fails({.device_map = all_on("disk")}, "disk");
    fails({.device_map = "fastest"}, "please choose 'auto'");
    fails({.device_map = all_on("disk"), .offload_folder = temp / "saved/model.safetensors"}, "model.safetensors");
    const ReadOnlyDisk disk;
    fails({.device_map = all_on("disk"), .offload_folder = temp / "off", .disk = &disk}, "0.");

    // A module that there is not is only worth a message.
    const auto model = make_net(init_empty_weights());
    const DispatchReport report = load_checkpoint_and_dispatch(*model, temp / "saved", {.device_map = DeviceMap{{"", std::string("cpu")}, {"attic", std::string("cpu")}}});
    CHECK(std::ranges::any_of(report.messages, [](const DeviceMapMessage& m) { return m.text.find("attic") != std::string::npos; }));
    CHECK(output(*model) == output(*make_net()));
  }

  TEST_CASE("checkpoints with other names or shapes say so, and leave the model as it was") {
    const TempFolder temp;
    save_model(*make_net(), temp / "saved");
    const auto model = make_net();
    model->append(std::make_unique<Linear>(8, 8));
    const std::vector<float> before = output(*model);
    const LoadReport report = load_checkpoint_in_model(*model, temp / "saved");
    CHECK(report.missing_keys == std::vector<std::string>{"3.weight", "3.bias"});
    CHECK(output(*model) == before);
    Sequential few;
    few.append(std::make_unique<Linear>(8, 8));
    CHECK(load_checkpoint_in_model(few, temp / "saved").unexpected_keys.size() == 4);
    CHECK_THROWS_WITH_AS(load_checkpoint_in_model(few, temp / "saved", {.strict = true}), doctest::Contains("Unexpected key(s) in state_dict"), FormatError);
    for (const char* device : {"", "cpu", "disk"}) {
      Sequential other;
      other.append(std::make_unique<Linear>(8, 8, init_empty_weights()));
      other.append(std::make_unique<Linear>(8, 9, init_empty_weights()));
      LoadAndDispatchOptions options{.offload_folder = temp / "off"};
      if (*device != '\0') options.device_map = all_on(device);
      CHECK_THROWS_WITH_AS(load_checkpoint_and_dispatch(other, temp / "saved", options), doctest::Contains("8, 8"), FormatError);
      CHECK_THROWS_WITH_AS(load_checkpoint_and_dispatch(other, temp / "saved", options), doctest::Contains("9"), FormatError);
      CHECK(is_empty_model(other));
      CHECK(!has_hooks(other));
    }
    CHECK_THROWS_AS(load_checkpoint_in_model(few, temp / "nothing"), Error);
    std::ofstream(temp / "broken.safetensors") << "no header";
    CHECK_THROWS_AS(load_checkpoint_in_model(few, temp / "broken.safetensors"), FormatError);
  }

  TEST_CASE("an offload folder that cannot be written leaves no hook, and the model computes as before") {
    const TempFolder temp;
    const auto model = make_net();
    const std::vector<float> plain = output(*model);
    const ReadOnlyDisk read_only;
    CHECK_THROWS_AS(disk_offload(*model, {.offload_dir = temp / "off", .execution_device = &cpu_device(), .disk = &read_only}), IoError);
    std::ofstream(temp / "file") << "x";
    CHECK_THROWS_AS(disk_offload(*model, {.offload_dir = temp / "file", .execution_device = &cpu_device()}), Error);
    CHECK_THROWS_AS(dispatch_model(*model, {.device_map = all_on("disk"), .offload_dir = temp / "file/below"}), Error);
    CHECK(!has_hooks(*model));
    CHECK(output(*model) == plain);
  }

  TEST_CASE("a device that is full ends a pass with its error, and nothing stays on it") {
    const CountingDevice small(300);   // one weight fits, a bias beside it does not
    const auto model = make_net();
    const std::vector<float> plain = output(*model);
    cpu_offload(*model, {.execution_device = &small});
    CHECK_THROWS_WITH_AS(output(*model), "gpu: is full", CapacityError);
    CHECK(small.used() == 0);
    CHECK(is_empty_model(*model));
    remove_hook_from_submodules(*model);
    CHECK(output(*model) == plain);
  }

  TEST_CASE("whatever a user's hook throws, wherever it sits, weights sleep again, the device is empty and the next pass is right") {
    for (const HookEvent event : {HookEvent::pre_forward, HookEvent::post_forward}) {
      for (const char* place : {"", "1"}) {
        const CountingDevice gpu;
        const auto model = make_net();
        const std::vector<float> plain = output(*model);
        cpu_offload(*model, {.execution_device = &gpu});
        const auto hook = std::make_shared<ThrowingHook>(event);
        add_hook_to_module(model->get_submodule(place), hook, true);
        CHECK_THROWS_WITH_AS(output(*model), "the hook has had enough", UsageError);
        CHECK(gpu.used() == 0);
        CHECK(is_empty_model(*model));
        hook->armed = false;
        CHECK(output(*model) == plain);
        remove_hook_from_submodules(*model);
        CHECK(output(*model) == plain);
      }
    }
  }

  TEST_CASE("a hook that throws when it is attached is not there, and the one before it still is") {
    const CountingDevice gpu;
    const auto model = make_net();
    const std::vector<float> plain = output(*model);
    cpu_offload(*model, {.execution_device = &gpu});
    Module& layer = model->get_submodule("1");
    const ModelHook* before = layer.hook();
    CHECK_THROWS_WITH_AS(add_hook_to_module(layer, std::make_shared<ThrowingHook>(HookEvent::init), true), "the hook has had enough", UsageError);
    CHECK(layer.hook() == before);
    CHECK(has_offloaded_params(layer));
    CHECK(output(*model) == plain);
    CHECK(gpu.used() == 0);
    // One that cannot be detached stays.
    const auto stubborn = std::make_shared<ThrowingHook>(HookEvent::detach);
    const auto other = make_net();
    add_hook_to_module(*other, stubborn);
    CHECK_THROWS_AS(remove_hook_from_module(*other), UsageError);
    CHECK(other->hook() == stubborn.get());
    stubborn->armed = false;
    remove_hook_from_module(*other);
    CHECK(!has_hooks(*other));
  }

  TEST_CASE("hooks are not removed from what runs, nor any of a tree in which something runs") {
    Sequential model;
    model.append(std::make_unique<Linear>(8, 8));
    auto& inner = static_cast<CallingLinear&>(model.append(std::make_unique<CallingLinear>()));
    cpu_offload(model, {.execution_device = &cpu_device()});
    int refused = 0;
    inner.call = [&] {
      for (Module* m : {static_cast<Module*>(&model), static_cast<Module*>(&inner)}) {
        CHECK_THROWS_WITH_AS(remove_hook_from_submodules(*m), doctest::Contains("a hook is removed while its forward runs"), UsageError);
        CHECK_THROWS_WITH_AS(inner.add_hook(std::make_shared<ModelHook>()), doctest::Contains("a hook is added while its forward runs"), UsageError);
        ++refused;
      }
      CHECK(has_offloaded_params(inner));
    };
    model(row());
    inner(row());   // the layer alone: nothing above it runs
    CHECK(refused == 4);
    CHECK(has_offloaded_params(model.get_submodule("0")));
    CHECK(has_offloaded_params(inner));
    CHECK(is_empty_model(model));
    // What does not run may lose its hook at any time.
    inner.call = [&] { remove_hook_from_module(model.get_submodule("0")); };
    model(row());
    CHECK(!find_tensor(model, "0.weight")->is_meta());
    inner.call = nullptr;
    model(row());
  }

  TEST_CASE("a module is not moved, nor reshaped, while it sleeps or runs") {
    const CountingDevice gpu;
    const auto model = make_net();
    cpu_offload(*model, {.execution_device = &gpu});
    CHECK_THROWS_WITH_AS(model->to(gpu), doctest::Contains("is on meta"), UsageError);
    const auto empty = make_net(init_empty_weights());
    CHECK_THROWS_WITH_AS(empty->to(gpu), doctest::Contains("load a checkpoint first"), UsageError);
    CHECK(gpu.used() == 0);
  }
}

}  // namespace bigmodel::test
