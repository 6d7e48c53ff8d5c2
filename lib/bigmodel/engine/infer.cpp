// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/infer.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

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

std::vector<std::uint8_t> marks(const Tensor& mask) {
  std::vector<std::uint8_t> out;
  for (std::int64_t i = 0; i < mask.count(); ++i) out.push_back(mask.i64()[i] != 0 ? 1 : 0);
  return out;
}

void refuse_others(const std::map<std::string, Tensor>& inputs, std::initializer_list<std::string_view> known) {
  for (const auto& [name, tensor] : inputs) {
    if (std::ranges::find(known, name) == known.end()) throw UsageError(fmt::format("input '{}': the model takes none of that name", name));
  }
}

NamedTensors infer_pair(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work) {
  refuse_others(inputs, {"input_ids", "input_features", "attention_mask", "decoder_input_ids"});
  const Tensor* ids = find(inputs, "input_ids", DType::int64, nullptr);
  const Tensor* features = find(inputs, "input_features", DType::float32, nullptr);
  const Tensor* decoder = find(inputs, "decoder_input_ids", DType::int64, nullptr);
  if ((ids == nullptr) == (features == nullptr)) throw UsageError("inputs: expected either input_ids or input_features");
  if (decoder == nullptr) throw UsageError("input 'decoder_input_ids': is missing");
  const Tensor& source = ids != nullptr ? *ids : *features;
  if (decoder->shape().size() != 2 || decoder->count() == 0 || source.count() == 0 || source.shape().front() != decoder->shape().front()) {
    throw UsageError(fmt::format("input 'decoder_input_ids': shape {} beside an encoder's input of {}, expected [batch, length] and as many rows",
                                 to_string(decoder->shape()), to_string(source.shape())));
  }
  ForwardState state;
  state.work = work;
  state.batch = decoder->shape()[0];
  state.length = decoder->shape()[1];
  if (const Tensor* mask = ids == nullptr ? nullptr : find(inputs, "attention_mask", DType::int64, &ids->shape())) {
    state.memory_valid = marks(*mask);
  }
  place_tokens(state);
  model.forward({*decoder, source}, state);
  return state.outputs;
}

NamedTensors infer_samples(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work) {
  refuse_others(inputs, {"input_values", "attention_mask"});
  const Tensor& samples = *find(inputs, "input_values", DType::float32, nullptr);
  if (samples.shape().size() != 2 || samples.count() == 0) throw UsageError(fmt::format("input 'input_values': shape {}, expected [batch, samples]", to_string(samples.shape())));
  ForwardState state;
  state.work = work;
  state.batch = samples.shape().front();
  if (const Tensor* mask = find(inputs, "attention_mask", DType::int64, &samples.shape())) state.valid = marks(*mask);
  model.forward(samples, state);
  return state.outputs;
}

/// Images alone, or texts and images for two towers.
NamedTensors infer_image(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work) {
  const Tensor& pixels = *find(inputs, "pixel_values", DType::float32, nullptr);
  if (pixels.count() == 0) throw UsageError("input 'pixel_values': is empty");
  ForwardState state;
  state.work = work;
  const bool towers = model.graph().root->block && model.graph().root->block->kind == "two_tower";
  if (!towers) {
    refuse_others(inputs, {"pixel_values"});
    state.batch = pixels.shape().front();
    const Tensor out = model.forward(pixels, state);
    if (state.outputs.empty()) state.outputs.emplace_back("last_hidden_state", out);
    return state.outputs;
  }
  refuse_others(inputs, {"pixel_values", "input_ids", "attention_mask"});
  const Tensor* ids = find(inputs, "input_ids", DType::int64, nullptr);
  if (ids == nullptr || ids->shape().size() != 2 || ids->count() == 0) throw UsageError("input 'input_ids': is missing, or not [batch, length]");
  state.batch = ids->shape()[0];
  state.length = ids->shape()[1];
  if (const Tensor* mask = find(inputs, "attention_mask", DType::int64, &ids->shape())) {
    state.valid = marks(*mask);
  }
  place_tokens(state);
  model.forward({*ids, pixels}, state);
  return state.outputs;
}

/// Patches of images for a tower by itself, under the names of the reference's arguments.
NamedTensors infer_patches(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work) {
  refuse_others(inputs, {"hidden_states", "grid_thw"});
  const Tensor* patches = find(inputs, "hidden_states", DType::float32, nullptr);
  const Tensor* grid = find(inputs, "grid_thw", DType::int64, nullptr);
  if (patches == nullptr || patches->count() == 0) throw UsageError("input 'hidden_states': is missing or empty, expected patches float32 [patches, values]");
  if (grid == nullptr) throw UsageError("input 'grid_thw': is missing, expected frames, rows and columns of patches int64 [images, 3]");
  ForwardState state;
  state.work = work;
  state.image_grid = *grid;
  model.forward(*patches, state);
  return state.outputs;
}

}  // namespace

NamedTensors infer(LoadedModel& model, const std::map<std::string, Tensor>& inputs, const WorkContext& work) {
  if (is_encoder_decoder(model.graph())) return infer_pair(model, inputs, work);
  if (model.graph().root->block && model.graph().root->block->kind == "patch_tower") return infer_patches(model, inputs, work);
  if (inputs.contains("input_values")) return infer_samples(model, inputs, work);
  if (inputs.contains("pixel_values") && !generates(model.graph())) return infer_image(model, inputs, work);
  const Tensor* ids = find(inputs, "input_ids", DType::int64, nullptr);
  if (ids == nullptr) throw UsageError("input 'input_ids': is missing");
  if (ids->shape().size() != 2 || ids->count() == 0) throw UsageError(fmt::format("input 'input_ids': shape {}, expected [batch, length]", to_string(ids->shape())));
  if (generates(model.graph())) {
    // Which tokens stand for images is known by their ids.
    refuse_others(inputs, {"input_ids", "attention_mask", "pixel_values", "image_grid_thw", "mm_token_type_ids"});
  } else {
    refuse_others(inputs, {"input_ids", "attention_mask", "token_type_ids"});
  }
  ForwardState state;
  state.work = work;
  state.batch = ids->shape()[0];
  state.length = ids->shape()[1];
  if (const Tensor* mask = find(inputs, "attention_mask", DType::int64, &ids->shape())) {
    state.valid = marks(*mask);
  }
  if (const Tensor* pixels = find(inputs, "pixel_values", DType::float32, nullptr)) state.pixels = *pixels;
  if (const Tensor* grid = find(inputs, "image_grid_thw", DType::int64, nullptr)) state.image_grid = *grid;
  if (const Tensor* types = find(inputs, "token_type_ids", DType::int64, &ids->shape())) state.token_types = *types;
  place_tokens(state);
  const Tensor out = model.forward(*ids, state);
  if (state.outputs.empty()) state.outputs.emplace_back(generates(model.graph()) ? "logits" : "last_hidden_state", out);
  return state.outputs;
}

bool generates(const MetaGraph& graph) {
  return graph.root->block && (graph.root->block->kind == "causal_lm" || graph.root->block->kind == "seq2seq_lm");
}

bool is_encoder_decoder(const MetaGraph& graph) {
  return graph.root->block && (graph.root->block->kind == "encoder_decoder" || graph.root->block->kind == "seq2seq_lm");
}

}  // namespace bigmodel
