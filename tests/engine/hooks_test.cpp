// SPDX-License-Identifier: Apache-2.0
// What hooks do where a pass fails, and what may not be done to them.
#include <doctest/doctest.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/big_modeling.h"

namespace bigmodel {
namespace {

/// Calls back from inside the forward.
class Calling : public Module {
 public:
  explicit Calling(std::function<void()> call) : Module("Calling"), call_(std::move(call)) { register_parameter("weight", {2}); }

 protected:
  Tensor forward(const Arguments& arguments, ForwardState&) override {
    call_();
    return arguments.front();
  }

 private:
  std::function<void()> call_;
};

Tensor row() { return Tensor::zeros({1, 2}); }

}  // namespace

TEST_SUITE("engine/hooks") {
  TEST_CASE("a forward that throws leaves offloaded weights asleep") {
    Calling module([] { throw UsageError("no"); });
    cpu_offload(module, {.execution_device = &cpu_device()});
    REQUIRE(module.find_tensor("weight")->is_meta());
    CHECK_THROWS_AS(module(row()), UsageError);
    CHECK(module.find_tensor("weight")->is_meta());
    remove_hook_from_submodules(module);
    CHECK(!module.find_tensor("weight")->is_meta());
  }

  TEST_CASE("a hook that throws leaves offloaded weights asleep") {
    class Throwing : public ModelHook {
      void pre_forward(Module&, Arguments&, ForwardState&) override { throw UsageError("no"); }
    };
    Calling module([] {});
    cpu_offload(module, {.execution_device = &cpu_device()});
    add_hook_to_module(module, std::make_shared<Throwing>(), true);
    CHECK_THROWS_WITH_AS(module(row()), "no", UsageError);
    CHECK(module.find_tensor("weight")->is_meta());
  }

  TEST_CASE("hooks are neither added nor removed while the module runs") {
    Calling* self = nullptr;
    Calling module([&] { self->remove_hook(); });
    self = &module;
    add_hook_to_module(module, std::make_shared<ModelHook>());
    CHECK_THROWS_WITH_AS(module(row()), doctest::Contains("a hook is removed while its forward runs"), UsageError);
    CHECK(module.hook() != nullptr);
  }

  TEST_CASE("an attachment that fails leaves no hook") {
    Calling module([] {});
    RamDevice gpu("gpu");
    CHECK_THROWS_AS(dispatch_model(module, {.device_map = {{"", std::string("gpu")}}}), DeviceError);
    CHECK(module.hook() == nullptr);
    CHECK_THROWS_WITH_AS(dispatch_model(module, {.device_map = {{"", std::string("disk")}}}), doctest::Contains("We need an `offload_dir`"), UsageError);
    CHECK(module.hook() == nullptr);
    CHECK_THROWS_WITH_AS(dispatch_model(module, {.device_map = {{"other", std::string("cpu")}}}), doctest::Contains("does not give any device"), UsageError);
  }

  TEST_CASE("a tensor on meta cannot be moved, and the message says what to do") {
    Module empty("Empty");
    empty.register_parameter("weight", {3}, init_empty_weights());
    ModuleTensor& table = empty.register_buffer("table", {3}, init_empty_weights());
    CHECK(!table.is_meta());
    CHECK_THROWS_WITH_AS(empty.to(cpu_device()), doctest::Contains("'weight' is on meta"), UsageError);
  }
}

}  // namespace bigmodel
