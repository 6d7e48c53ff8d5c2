// SPDX-License-Identifier: Apache-2.0
// What training a model takes on each device: weights, gradients, optimizer states, what the backward pass needs, and what sharding adds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/fit.h"
#include "bigmodel/planning/inference_memory.h"
#include "bigmodel/planning/loaded_bytes.h"
#include "bigmodel/planning/training_widths.h"

namespace bigmodel {

enum class TrainMode {
  full,
  lora,   ///< frozen weights and adapters
  qlora,  ///< frozen weights in nf4, and adapters
};

enum class Recompute {
  none,
  selective,  ///< attention scores only
  full,       ///< each layer keeps its input
};

/// What an optimizer keeps beside weights and gradients.
struct OptimizerKind {
  std::string_view name;
  int moments = 0;             ///< as wide as the weights, or as the float32 masters
  int moments_8bit = 0;        ///< a byte each, and a float32 per 256; of embeddings and tensors under 4096 elements in float32
  bool factored = false;       ///< float32 of rows and columns of each matrix
  bool paged = false;          ///< in host memory
  bool adam_outside = false;   ///< one more moment of what is no hidden matrix: embeddings, the output layer, vectors
};

/// adamw, adamw-8bit, paged-adamw-8bit, adafactor, lion, lion-8bit, muon, rmsprop, sgd-momentum, sgd.
const std::vector<OptimizerKind>& optimizer_kinds();

/// How states spread over devices: `zero` stage (FSDP is 3), tensor and pipeline parallel. The devices that neither takes are data
/// parallel.
struct Sharding {
  int zero = 0;
  std::int64_t tensor = 1, pipeline = 1;
  std::int64_t data = 1;       ///< data-parallel replicas
  std::string text = "none";
  std::int64_t devices() const { return tensor * pipeline * data; }
};

/// "none", "zero1", "zero2", "zero3", "fsdp", also "zero3=8"; "tp=2", "tp=2,pp=4". `devices`: how many there are, where it is known.
/// Throws UsageError where that makes no sense or does not divide.
Sharding parse_sharding(std::string_view text, std::optional<std::int64_t> devices);

/// What waits in host memory while it is not needed.
enum class StateOffload {
  none,
  optimizer,  ///< states and masters; gradients leave as they are made, the step runs on the host (ZeRO-Offload)
  all,        ///< weights too, gathered layer by layer: sharded ones only (ZeRO-3's offload_param, FSDP's CPUOffload)
};

struct TrainingRequest {
  TrainMode mode = TrainMode::full;
  DType dtype = DType::bfloat16;     ///< of weights, gradients, activations
  bool master_weights = false;       ///< float32 masters and moments beside 16-bit weights: mixed precision
  bool double_quant = true;          ///< qlora
  bool adapters_float32 = true;      ///< else in `dtype`
  bool offload_activations = false;  ///< what is kept for the way back waits in host memory
  StateOffload offload = StateOffload::none;
  bool optimizer_in_backward = false;  ///< each gradient is used and freed at once: the largest one is there
  OptimizerKind optimizer;
  Sharding sharding;
  Recompute recompute = Recompute::none;
  bool eager_attention = false;
  bool compiled = false;             ///< norms and activations are fused (torch.compile): they are made again from their inputs
  bool chunked_loss = false;         ///< logits an eighth at a time
  std::int64_t rank = 16;            ///< of adapters
  std::int64_t sequence = 2048;
  std::int64_t micro_batch = 1;
};

/// What one or several neighbouring devices hold, each. Stages of a pipeline come one after the other, the tensor- and data-parallel
/// devices of a stage side by side.
struct TrainingShare {
  std::int64_t first_device = 0, devices = 1;
  std::int64_t first_layer = 0, layers = 0;  ///< of the stage
  std::int64_t weights_bytes = 0;          ///< adapters included
  std::int64_t gradients_bytes = 0;
  std::int64_t optimizer_bytes = 0;        ///< float32 masters included
  std::int64_t gathered_bytes = 0;         ///< zero3: two layers in full, and the gradients of one
  std::int64_t bucket_bytes = 0;           ///< zero2, and gradients that leave for the host: those on their way
  std::int64_t kept_bytes = 0;             ///< activations kept for the way back
  std::int64_t live_layer_bytes = 0;       ///< full recomputation: one layer's
  std::int64_t logits_bytes = 0;
  ByteRange overhead;                      ///< of the runtime
  ByteRange total;                         ///< overhead included

  /// States and the larger of what lives at the start of the way back (activations, logits) and at its end (gradients).
  std::int64_t tensors_bytes() const { return total.expected - overhead.expected; }
  std::int64_t activations_bytes() const { return kept_bytes + live_layer_bytes; }
  std::int64_t sharding_bytes() const { return gathered_bytes + bucket_bytes; }
};

/// Of the fullest device, and what all hold.
struct TrainingMemory : TrainingShare {
  std::int64_t trainable_parameters = 0;   ///< of the whole model
  std::vector<TrainingShare> shares;       ///< in order; neighbours that hold the same are one
  ByteRange host;                          ///< of host memory, all devices together; high: half as much again for what is pinned (DeepSpeed)
  std::vector<std::string> assumptions;
  std::vector<std::string> unknown;
};

/// What requests about one model share. Immutable.
class TrainingPlan {
 public:
  /// `targets`: adapter_shape; only for adapters. The graph should be built with its disk rules.
  TrainingPlan(const MetaGraph& graph, const std::vector<std::string>& targets);

  /// Throws UsageError for counts that make no sense, more stages than layers, devices that do not divide the heads, and weights that leave
  /// for the host unsharded; FormatError where a size does not fit 64 bits.
  TrainingMemory memory(const TrainingRequest& request) const;

  const TrainingShape& shape() const { return shape_; }
  const std::optional<AdapterShape>& adapters() const { return adapters_; }

 private:
  std::int64_t weights_bytes(const TrainingRequest& request) const;

  TrainingShape shape_;
  std::optional<AdapterShape> adapters_;
  std::string no_adapters_;          ///< why there are none
  LoadedSizes loaded_;
  MetaGraph graph_;                  ///< templates are shared
};

/// Up to 80 % of the device fits (454 published runs under that never ran out: arXiv 2411.06465), up to all of it is tight.
FitVerdict fit_training(const TrainingMemory& memory, std::int64_t usable_bytes);

}  // namespace bigmodel
