// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/steps.h"

#include <fmt/format.h>

#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {

Steps::Steps(Roles& roles, std::string_view name) {
  const spec::Value* steps = roles.find(name);
  if (steps == nullptr) return;
  if (steps->if_list() == nullptr) roles.refuse(name, "expected a list");
  for (const spec::Value& step : *steps->if_list()) {
    Step out;
    if (const std::string* text = step.if_string()) {
      const std::optional<ops::Activation> act = ops::find_activation(*text);
      if (!act) roles.refuse(name, fmt::format("unknown function '{}'", *text));
      out.act = *act;
    } else if (const spec::MemberRef* member = step.if_member()) {
      out.module = roles.module().find(member->path);
      if (out.module == nullptr) roles.refuse(name, fmt::format("there is no module '{}'", member->path));
      if (out.module->meta().block) {
        roles.binder().bind(*out.module);
      } else {
        roles.binder().bind_linear(*out.module, false);
      }
    } else {
      roles.refuse(name, fmt::format("expected members and names, got {}", step.describe()));
    }
    steps_.push_back(out);
  }
}

Tensor Steps::operator()(Tensor x, ForwardState& state) const {
  for (const Step& step : steps_) {
    if (step.module != nullptr) {
      x = (*step.module)(x, state);
    } else {
      x = x.clone();
      OperationsOn(x, state)->activate(step.act, x.data(), x.count());
    }
  }
  return x;
}

}  // namespace bigmodel
