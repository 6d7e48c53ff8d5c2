// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/shared_layer.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

class SharedLayer : public BoundBlock {
 public:
  explicit SharedLayer(Roles& roles)
      : norm1_(&roles.need_child("norm1")), mixer_(&roles.need_child("mixer")), norm2_(&roles.need_child("norm2")), ffn_(&roles.need_child("ffn")) {}

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.at(0);
    const Tensor& embeddings = arguments.at(1);
    Shape shape = x.shape();
    shape.back() += embeddings.width();
    const Tensor both = beside(x, std::move(shape));
    const auto put = [&](const Tensor& part, std::int64_t column) {
      ops::CopyShape rows{.inner = part.rows(), .width = part.width()};
      rows.from_inner = part.width();
      rows.to_inner = both.width();
      OperationsOn(x, state)->copy(part.data(), both.data() + column, rows);
    };
    put(x, 0);
    put(embeddings.to(x.device()), x.width());
    return (*ffn_)((*norm2_)((*mixer_)((*norm1_)(both, state), state), state), state);
  }

 private:
  Module* norm1_;
  Module* mixer_;
  Module* norm2_;
  Module* ffn_;
};

class SharedBeforeMamba : public BoundBlock {
 public:
  explicit SharedBeforeMamba(Roles& roles) {
    roles.binder().shared_use = roles.integer("use");
    shared_ = &roles.need_child("shared");
    link_ = &roles.need_linear("link");
    layer_ = &roles.need_child("layer");
  }

  bool runs_on_accelerators() const override { return true; }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const Tensor joins = (*link_)((*shared_)(Arguments{x, state.embeddings}, state), state);
    return (*layer_)(Arguments{x, joins}, state);
  }

 private:
  Module* shared_ = nullptr;
  Module* link_ = nullptr;
  Module* layer_ = nullptr;
};

}  // namespace

Adapter::Adapter(Roles& roles, std::string_view name) {
  Module* list = roles.plain_module(name);
  if (list == nullptr) return;
  const std::int64_t use = roles.binder().shared_use;
  if (use < 0 || use >= static_cast<std::int64_t>(list->children().size())) roles.refuse(name, fmt::format("has no adapter for use {}", use));
  Module& adapter = *list->children()[static_cast<std::size_t>(use)];
  if (adapter.children().empty()) return;
  if (adapter.children().size() != 2) roles.refuse(name, "expected two matrices");
  down_ = adapter.children()[0].get();
  up_ = adapter.children()[1].get();
  roles.binder().bind_linear(*down_, false);
  roles.binder().bind_linear(*up_, false);
}

void Adapter::add_to(const Tensor& y, const Tensor& x, ForwardState& state) const {
  if (down_ != nullptr) bigmodel::add_to(y, (*up_)((*down_)(x, state), state));
}

std::unique_ptr<BoundBlock> make_shared_layer(Roles& roles) { return std::make_unique<SharedLayer>(roles); }
std::unique_ptr<BoundBlock> make_shared_before_mamba(Roles& roles) { return std::make_unique<SharedBeforeMamba>(roles); }

}  // namespace bigmodel
