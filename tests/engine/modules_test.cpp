// SPDX-License-Identifier: Apache-2.0
// Models of one's own: made empty in no time, filled, moved, cast, run.
#include "bigmodel/engine/modules.h"

#include <doctest/doctest.h>
#include <malloc.h>

#include <chrono>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/big_modeling.h"

namespace bigmodel {
namespace {

void fill(ModuleTensor& tensor, const std::vector<float>& values) {
  tensor.set(stored_tensor(DType::float32, tensor.view.shape, std::as_bytes(std::span(values))));
}

Tensor row(const std::vector<float>& values) {
  Tensor out({1, static_cast<std::int64_t>(values.size())});
  std::ranges::copy(values, out.f32());
  return out;
}

std::vector<float> values(const Tensor& t) { return {t.f32(), t.f32() + t.count()}; }

}  // namespace

TEST_SUITE("engine/modules") {
  TEST_CASE("a hundred billion parameters are made empty within 100 ms and 50 MB") {
    const std::size_t before = mallinfo2().uordblks;
    const auto start = std::chrono::steady_clock::now();
    Sequential model;
    for (int i = 0; i < 1000; ++i) model.append(std::make_unique<Linear>(10000, 10000, init_empty_weights()));
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    CHECK(ms < 100);
    CHECK(mallinfo2().uordblks - before < 50'000'000);
    CHECK(graph_totals(graph_of(model)).parameters == 100'010'000'000);
    CHECK(model.children()[999]->find_tensor("weight")->full_name == "999.weight");
    CHECK_THROWS_WITH_AS(model.to(cpu_device()), doctest::Contains("load a checkpoint first"), UsageError);
  }

  TEST_CASE("layers compute") {
    Sequential model;
    Module& linear = model.append(std::make_unique<Linear>(2, 3));
    model.append(std::make_unique<RMSNorm>(3, 0.0F));
    fill(*linear.find_tensor("weight"), {1, 0, 0, 1, 1, 1});
    fill(*linear.find_tensor("bias"), {0, 0, 1});
    // 1, -1, 1
    CHECK(values(model(row({1, -1}))) == std::vector<float>{1, -1, 1});
    LayerNorm norm(2, 0.0F);
    CHECK(values(norm(row({3, 5}))) == std::vector<float>{-1, 1});
    Embedding table(2, 2);
    fill(*table.find_tensor("weight"), {1, 2, 3, 4});
    const std::vector<std::int64_t> ids{1, 0};
    CHECK(values(table(Tensor::of_ids({2}, ids))) == std::vector<float>{3, 4, 1, 2});
  }

  TEST_CASE("names follow a module to its place, and are checked") {
    auto inner = std::make_unique<Sequential>();
    inner->append(std::make_unique<Linear>(2, 2));
    Module outer("Outer");
    outer.add_module("body", std::move(inner));
    CHECK(find_tensor(outer, "body.0.bias")->full_name == "body.0.bias");
    CHECK_THROWS_AS(outer.add_module("body", std::make_unique<Linear>(1, 1)), UsageError);
    CHECK_THROWS_AS(outer.add_module("a.b", std::make_unique<Linear>(1, 1)), UsageError);
    CHECK_THROWS_AS(outer.register_parameter("body", {1}), UsageError);
    CHECK_THROWS_AS(outer.get_submodule("body.1"), NotFoundError);
    CHECK_THROWS_AS(Linear(0, 4), UsageError);
  }

  TEST_CASE("tied parameters are moved and cast as one") {
    Module model("Tied");
    Linear& first = model.add_module("first", std::make_unique<Linear>(2, 2));
    Linear& second = model.add_module("second", std::make_unique<Linear>(2, 2));
    tie(model, {"first.weight", "second.weight"});
    CHECK(find_tied_parameters(model) == TieGroups{{"first.weight", "second.weight"}});
    second.to(DType::bfloat16);
    CHECK(first.find_tensor("weight")->view.dtype == DType::bfloat16);
    CHECK(first.find_tensor("bias")->view.dtype == DType::float32);
    CHECK(first.find_tensor("weight")->view.data == second.find_tensor("weight")->view.data);
  }

  TEST_CASE("outputs with any hooks are the plain model's") {
    Sequential model;
    for (int i = 0; i < 3; ++i) {
      Module& linear = model.append(std::make_unique<Linear>(2, 2));
      fill(*linear.find_tensor("weight"), {0.5F, -1.25F, 3.0F, static_cast<float>(i)});
    }
    const std::vector<float> plain = values(model(row({0.1F, 0.7F})));
    RamDevice gpu("gpu:0");
    dispatch_model(model, {.device_map = {{"0", std::string("gpu:0")}, {"1", std::string("cpu")}, {"2", std::string("gpu:0")}}, .devices = DeviceTable({&gpu})});
    CHECK(find_tensor(model, "0.weight")->device == &gpu);
    CHECK(find_tensor(model, "1.weight")->is_meta());
    CHECK(values(model(row({0.1F, 0.7F}))) == plain);
    std::vector<std::string> messages;
    CHECK_THROWS_WITH_AS(model.to(cpu_device(), &messages), doctest::Contains("offloaded to cpu or disk"), UsageError);
    CHECK(messages.size() == 1);
    remove_hook_from_submodules(model);
    model.to(cpu_device());
    CHECK(values(model(row({0.1F, 0.7F}))) == plain);
  }
}

}  // namespace bigmodel
