// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/training_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/model/quantization_config.h"
#include "bigmodel/planning/stored_weights.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "training memory";
constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kMostDevices = 1 << 20;
constexpr std::int64_t kLogitsChunks = 8;
constexpr std::int64_t kBucketElements = 500'000'000;  // DeepSpeed's reduce_bucket_size

std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }
std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }

std::int64_t number_of(std::string_view text, std::string_view whole) {
  const std::optional<std::int64_t> value = parse_number<std::int64_t>(text);
  if (!value || *value < 1 || *value > kMostDevices) {
    throw UsageError(fmt::format("--sharding {}: expected a number of devices from 1, got '{}'", whole, text));
  }
  return *value;
}

/// Bytes a layer's parts keep per token; `frozen`: weights that are not trained do not need their inputs, unless they are packed.
struct KeptBytes {
  std::int64_t split = 0;       ///< divided by tensor parallelism
  std::int64_t replicated = 0;  ///< norms and their results
};

KeptBytes kept_bytes(const KeptWidths& w, int element, bool frozen, bool eager, std::int64_t sequence) {
  KeptBytes out;
  const auto times = [&](std::int64_t width, std::int64_t factor) { return mul(width, factor); };
  // An RMS norm keeps its input in float32, the normalised state and its result; a fused norm its input and its result.
  out.replicated = add(times(w.composed_norms, frozen ? 4 : 4 + 2 * element), times(w.fused_norms, frozen ? element : 2 * element));
  out.split = add(times(w.attention, element), times(w.heads, 4));
  // gate, its activation, up and their product; of an ungated layer the input and the result of the activation.
  out.split = add(out.split, add(times(w.gated, (frozen ? 3 : 4) * element), times(w.plain, (frozen ? 1 : 2) * element)));
  out.split = add(out.split, add(times(w.mixers, 2 * element), add(times(w.dispatched, element), times(w.router, 4))));
  if (eager) out.split = add(out.split, mul(mul(w.heads, sequence), 2 * element + 1));  // softmax, dropout and its mask
  return out;
}

}  // namespace

const std::vector<OptimizerKind>& optimizer_kinds() {
  static const std::vector<OptimizerKind> kKinds = {
      {.name = "adamw", .moments = 2},
      {.name = "adamw-8bit", .moments_8bit = 2},
      {.name = "paged-adamw-8bit", .moments_8bit = 2, .paged = true},
      {.name = "adafactor", .factored = true},
      {.name = "lion", .moments = 1},
      {.name = "lion-8bit", .moments_8bit = 1},
      {.name = "muon", .moments = 1, .adam_outside = true},
      {.name = "rmsprop", .moments = 1},
      {.name = "sgd-momentum", .moments = 1},
      {.name = "sgd"},
  };
  return kKinds;
}

Sharding parse_sharding(std::string_view text, std::optional<std::int64_t> devices) {
  Sharding out;
  out.text = text;
  std::optional<std::int64_t> stated;
  std::string_view rest = text;
  bool parallel = false;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    const std::int64_t value = equals == std::string_view::npos ? 0 : number_of(part.substr(equals + 1), text);  // 0: none
    if ((key == "tp" || key == "pp") && value > 0) {
      (key == "tp" ? out.tensor : out.pipeline) = value;
      parallel = true;
    } else if (key == "zero1" || key == "zero2" || key == "zero3" || key == "fsdp") {
      out.zero = key == "fsdp" ? 3 : key.back() - '0';
      if (value > 0) stated = value;
    } else if (key != "none" || value > 0) {
      throw UsageError(fmt::format("--sharding: expected none, zero1, zero2, zero3, fsdp, tp=N or pp=N, got '{}'", part));
    }
  }
  const std::int64_t model = mul(out.tensor, out.pipeline);
  const std::int64_t all = stated ? mul(*stated, model) : devices.value_or(model);
  if (stated && devices && *devices != all) {
    throw UsageError(fmt::format("--sharding {}: takes {} devices, and there are {}", text, all, *devices), "make them agree");
  }
  if (all % model != 0) throw UsageError(fmt::format("--sharding {}: {} devices do not divide by {}", text, all, model));
  out.data = all / model;
  if (out.zero > 0 && !stated && !devices && !parallel) {
    throw UsageError(fmt::format("--sharding {}: over how many devices?", text), fmt::format("write {}=8, or --device 8xH100", text));
  }
  return out;
}

TrainingPlan::TrainingPlan(const MetaGraph& graph, const std::vector<std::string>& targets)
    : shape_(training_shape(graph)), loaded_(graph), graph_(graph) {
  try {
    adapters_ = adapter_shape(graph, targets);
  } catch (const NotFoundError&) {
    if (!targets.empty()) throw;
    no_adapters_ = fmt::format("{}: no query and value projections to adapt", graph.class_name);
  }
}

std::int64_t TrainingPlan::weights_bytes(const TrainingRequest& request) const {
  if (request.mode != TrainMode::qlora) return loaded_.bytes(request.dtype).bytes;
  return price_stored_weights(graph_, nf4_quantization(request.double_quant), request.dtype).bytes;
}

TrainingMemory TrainingPlan::memory(const TrainingRequest& request) const {
  if (request.sequence < 1 || request.micro_batch < 1 || request.rank < 1) {
    throw UsageError(fmt::format("training: sequences of {}, a micro-batch of {} and rank {} make no sense, expected positive numbers",
                                 request.sequence, request.micro_batch, request.rank));
  }
  if (!is_floating_point(request.dtype) || bit_size(request.dtype) < 16) {
    throw UsageError(fmt::format("training: {} cannot be trained in", name(request.dtype)), "use float32, bfloat16 or float16");
  }
  const bool adapts = request.mode != TrainMode::full;
  if (adapts && !adapters_) throw NotFoundError(no_adapters_, "name layers with --lora-targets");

  TrainingMemory out;
  const int element = bit_size(request.dtype) / 8;
  const Sharding& sharding = request.sharding;
  const std::int64_t base = weights_bytes(request);
  std::int64_t trainable = shape_.elements.all(), unpacked = shape_.elements.unpacked, blocks = shape_.elements.blocks;
  std::int64_t factors = shape_.elements.rows_and_columns, vectors = shape_.elements.vectors, outside = trainable - shape_.elements.hidden_matrices;
  int trained_element = element;  // of a trainable parameter
  if (adapts) {
    const std::int64_t sides = add(adapters_->inputs, adapters_->outputs);
    trainable = mul(request.rank, sides);
    factors = add(sides, mul(2 * request.rank, adapters_->modules));
    unpacked = blocks = vectors = outside = 0;
    for (const auto& [side, tensors] : adapters_->sides) {
      const std::int64_t each = mul(request.rank, side);
      std::int64_t& kind = each < kSmallTensor ? unpacked : blocks;
      kind = add(kind, mul(tensors, each < kSmallTensor ? each : ceil_div(each, kStateBlock)));
    }
    if (request.adapters_float32) trained_element = 4;
  }
  out.trainable_parameters = trainable;
  const bool masters = request.master_weights && trained_element < 4;

  const OptimizerKind& optimizer = request.optimizer;
  const int moment_element = masters ? 4 : trained_element;
  std::int64_t states = mul(trainable, optimizer.moments * moment_element);
  if (optimizer.adam_outside) states = add(states, mul(outside, moment_element));
  if (optimizer.moments_8bit > 0 && !optimizer.paged) {
    states = mul(optimizer.moments_8bit, add(trainable - unpacked, mul(4, add(blocks, unpacked))));
  }
  if (optimizer.factored) states = mul(4, add(factors, vectors));
  if (masters) states = add(states, mul(trainable, 4));
  const std::int64_t held = request.optimizer_in_backward ? std::min(shape_.elements.largest_tensor, trainable) : trainable;
  const std::int64_t gradients = mul(held, trained_element);
  const std::int64_t weights = adapts ? add(base, mul(trainable, trained_element)) : base;

  // Model parallelism first: each stage has its layers, the first (or last) the embedding beside them.
  const std::int64_t model = mul(sharding.tensor, sharding.pipeline);
  const std::int64_t all_elements = std::max<std::int64_t>(shape_.elements.all(), 1);
  const auto of_stage = [&](std::int64_t bytes) {
    if (sharding.pipeline == 1) return ceil_div(bytes, sharding.tensor);
    const auto embedding = static_cast<std::int64_t>(static_cast<double>(bytes) * static_cast<double>(shape_.embedding_elements) / static_cast<double>(all_elements));
    return ceil_div(add(ceil_div(bytes - embedding, sharding.pipeline), embedding), sharding.tensor);
  };
  out.weights_bytes = of_stage(weights);
  out.gradients_bytes = of_stage(gradients);
  out.optimizer_bytes = of_stage(states);
  const std::int64_t data = sharding.data;
  if (sharding.zero >= 1) out.optimizer_bytes = ceil_div(out.optimizer_bytes, data);
  if (sharding.zero >= 2) out.gradients_bytes = ceil_div(out.gradients_bytes, data);
  if (sharding.zero >= 3) out.weights_bytes = ceil_div(out.weights_bytes, data);
  if (sharding.zero == 2 && data > 1) out.bucket_bytes = mul(std::min(kBucketElements, ceil_div(trainable, model)), trained_element);
  if (sharding.zero == 3 && data > 1) {
    const auto layer = static_cast<std::int64_t>(static_cast<double>(base) * static_cast<double>(shape_.largest_layer_elements) / static_cast<double>(all_elements));
    out.gathered_bytes = ceil_div(mul(2, layer), sharding.tensor);
  }

  // Packed weights keep the inputs of their layers as trained ones do.
  const bool frozen = request.mode == TrainMode::lora;
  const bool eager = request.eager_attention && request.recompute == Recompute::none;
  const std::int64_t tokens = mul(request.sequence, request.micro_batch);
  const auto per_device = [&](const KeptWidths& widths, bool with_scores) {
    const KeptBytes kept = kept_bytes(widths, element, frozen, with_scores, request.sequence);
    return mul(tokens, add(ceil_div(kept.split, sharding.tensor), kept.replicated));
  };
  std::int64_t kept = request.recompute == Recompute::full ? mul(tokens, mul(shape_.layer_inputs, element)) : per_device(shape_.all, eager);
  // Each adapter's own copy of its input: cast, or dropped out.
  if (adapts && request.recompute != Recompute::full) kept = add(kept, mul(tokens, mul(adapters_->inputs, trained_element)));
  if (request.offload_activations) kept = 0;
  // One of p stages has 1/p of the layers, and p micro-batches in flight.
  out.kept_bytes = kept;
  if (request.recompute == Recompute::full) out.live_layer_bytes = per_device(shape_.widest_layer, request.eager_attention);
  const int logits_element = element < 4 ? element + 8 : 8;  // 16-bit logits, their float32 copy, and its gradient
  out.logits_bytes = mul(mul(request.chunked_loss ? ceil_div(tokens, kLogitsChunks) : tokens, ceil_div(shape_.vocabulary, sharding.tensor)), logits_element);

  out.overhead = {300 * kMiB, 500 * kMiB, 650 * kMiB};
  if (sharding.devices() > 1) out.overhead = out.overhead + ByteRange{342 * kMiB, 392 * kMiB, 512 * kMiB};
  const std::int64_t fixed = add(add(out.weights_bytes, out.optimizer_bytes), add(out.gathered_bytes, out.bucket_bytes));
  const std::int64_t start = add(out.kept_bytes, add(out.logits_bytes, out.live_layer_bytes));
  const std::int64_t end = add(out.gradients_bytes, out.live_layer_bytes);
  const std::int64_t step = optimizer.moments > 0 ? ceil_div(mul(trainable, trained_element), mul(model, sharding.zero > 0 ? data : 1)) : 0;
  out.total.low = add(fixed, std::max(start * 3 / 4, end));
  out.total.expected = add(fixed, std::max(start, end));
  out.total.high = add(fixed, add(add(start, out.gradients_bytes), step));
  out.total = out.total + out.overhead;

  if (shape_.all.attention + shape_.all.gated + shape_.all.plain + shape_.all.mixers == 0) {
    out.unknown.push_back("activations: the description states no roles to tell them from");
  }
  out.assumptions.push_back("gradients are freed after each step; high: they are kept (accumulation), and the optimizer works on a copy");
  out.assumptions.push_back("no dropout masks; activations of attention without materialised scores unless --attention eager");
  out.assumptions.push_back("overhead a device: CUDA context and PyTorch 300 to 650 MiB, communication 342 to 512 MiB (published calculators)");
  if (request.mode == TrainMode::qlora) out.assumptions.push_back(fmt::format("weights: linear layers in nf4{}, the rest in {}", request.double_quant ? " with double quantisation" : "", name(request.dtype)));
  if (optimizer.moments_8bit > 0 && !optimizer.paged && !adapts) {
    out.assumptions.push_back("optimizer states of embeddings are float32, as transformers' Trainer has bitsandbytes keep them");
  }
  if (optimizer.paged) out.assumptions.push_back("optimizer states lie in host memory");
  return out;
}

FitVerdict fit_training(const TrainingMemory& memory, std::int64_t usable_bytes) {
  if (memory.total.expected <= usable_bytes / 5 * 4) return FitVerdict::fits;
  return memory.total.expected <= usable_bytes ? FitVerdict::tight : FitVerdict::no;
}

}  // namespace bigmodel
