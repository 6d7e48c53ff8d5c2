// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/infer.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

const Tensor* find(const std::map<std::string, Tensor>& inputs, const std::string& name, DType dtype, const Shape* shape) {
  const auto it = inputs.find(name);
  if (it == inputs.end()) return nullptr;
  const Tensor& t = it->second;
  if (t.dtype() != dtype) throw UsageError(fmt::format("input '{}': {}, expected {}", name, bigmodel::name(t.dtype()), bigmodel::name(dtype)));
  if (shape != nullptr && t.shape() != *shape) throw UsageError(fmt::format("input '{}': shape {}, expected {}", name, to_string(t.shape()), to_string(*shape)));
  return &t;
}

}  // namespace

NamedTensors infer(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work) {
  const Tensor* ids = find(inputs, "input_ids", DType::int64, nullptr);
  if (ids == nullptr) throw UsageError("input 'input_ids': is missing");
  if (ids->shape().size() != 2 || ids->count() == 0) throw UsageError(fmt::format("input 'input_ids': shape {}, expected [batch, length]", to_string(ids->shape())));
  for (const auto& [name, tensor] : inputs) {
    if (name != "input_ids" && name != "attention_mask" && name != "token_type_ids") throw UsageError(fmt::format("input '{}': the model takes none of that name", name));
  }
  ForwardState state;
  state.work = work;
  state.batch = ids->shape()[0];
  state.length = ids->shape()[1];
  if (const Tensor* mask = find(inputs, "attention_mask", DType::int64, &ids->shape())) {
    for (std::int64_t i = 0; i < mask->count(); ++i) state.valid.push_back(mask->i64()[i] != 0 ? 1 : 0);
  }
  if (const Tensor* types = find(inputs, "token_type_ids", DType::int64, &ids->shape())) state.token_types = *types;
  place_tokens(state);
  const Tensor out = model.forward(*ids, state);
  if (state.outputs.empty()) state.outputs.emplace_back(generates(model.graph()) ? "logits" : "last_hidden_state", out);
  return state.outputs;
}

bool generates(const MetaGraph& graph) { return graph.root->block && graph.root->block->kind == "causal_lm"; }

}  // namespace bigmodel
