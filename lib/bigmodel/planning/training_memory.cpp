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

KeptBytes kept_bytes(const KeptWidths& w, int element, bool frozen, bool eager, bool compiled, std::int64_t sequence) {
  KeptBytes out;
  const auto times = [&](std::int64_t width, std::int64_t factor) { return mul(width, factor); };
  // An RMS norm keeps its input in float32, the normalised state and its result; a fused norm its input and its result.
  const int fused = frozen ? element : 2 * element;
  out.replicated = add(times(w.composed_norms, compiled ? fused : frozen ? 4 : 4 + 2 * element), times(w.fused_norms, fused));
  out.split = add(times(w.attention, element), times(w.heads, 4));
  // gate, its activation (not where it is fused), up and their product; of an ungated layer the input and the result of the activation.
  out.split = add(out.split, add(times(w.gated, ((frozen ? 3 : 4) - (compiled ? 1 : 0)) * element), times(w.plain, (frozen ? 1 : 2) * element)));
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

namespace {

void check(const TrainingRequest& request, const TrainingShape& shape) {
  if (request.sequence < 1 || request.micro_batch < 1 || request.rank < 1) {
    throw UsageError(fmt::format("training: sequences of {}, a micro-batch of {} and rank {} make no sense, expected positive numbers",
                                 request.sequence, request.micro_batch, request.rank));
  }
  if (!is_floating_point(request.dtype) || bit_size(request.dtype) < 16) {
    throw UsageError(fmt::format("training: {} cannot be trained in", name(request.dtype)), "use float32, bfloat16 or float16");
  }
  const Sharding& sharding = request.sharding;
  if (sharding.pipeline > std::max<std::int64_t>(shape.layers, 1)) {
    throw UsageError(fmt::format("training: a pipeline of {} stages, expected at most as many as the {} layers", sharding.pipeline, shape.layers));
  }
  const std::int64_t heads = shape.widest_layer.heads;
  if (heads > 0 && heads % sharding.tensor != 0) {
    throw UsageError(fmt::format("training: tensor parallelism over {} devices, expected a divisor of {} heads", sharding.tensor, heads));
  }
  if (request.offload == StateOffload::all && sharding.zero < 3) {
    throw UsageError(fmt::format("training: weights leave for the host only where they are sharded, got sharding {}", sharding.text), "use --sharding zero3=1 or more, or --offload optimizer");
  }
}

/// What is trained, and what an optimizer keeps of it.
struct Trained {
  std::int64_t parameters = 0;
  int element = 2;          ///< bytes of one
  std::int64_t states = 0;  ///< bytes, masters included
  std::int64_t held = 0;    ///< parameters whose gradients are there at once
  bool masters = false;
};

Trained trained_of(const TrainingRequest& request, const TrainingShape& shape, const std::optional<AdapterShape>& adapters) {
  Trained out{.parameters = shape.elements.all(), .element = bit_size(request.dtype) / 8};
  std::int64_t unpacked = shape.elements.unpacked, blocks = shape.elements.blocks, factors = shape.elements.rows_and_columns;
  std::int64_t vectors = shape.elements.vectors, outside = out.parameters - shape.elements.hidden_matrices;
  if (adapters) {
    const std::int64_t sides = add(adapters->inputs, adapters->outputs);
    out.parameters = mul(request.rank, sides);
    factors = add(sides, mul(2 * request.rank, adapters->modules));
    unpacked = blocks = vectors = outside = 0;
    for (const auto& [side, tensors] : adapters->sides) {
      const std::int64_t each = mul(request.rank, side);
      std::int64_t& kind = each < kSmallTensor ? unpacked : blocks;
      kind = add(kind, mul(tensors, each < kSmallTensor ? each : ceil_div(each, kStateBlock)));
    }
    if (request.adapters_float32) out.element = 4;
  }
  out.masters = request.master_weights && out.element < 4;
  const OptimizerKind& optimizer = request.optimizer;
  const int moment_element = out.masters ? 4 : out.element;
  out.states = mul(out.parameters, optimizer.moments * moment_element);
  if (optimizer.adam_outside) out.states = add(out.states, mul(outside, moment_element));
  if (optimizer.moments_8bit > 0) out.states = mul(optimizer.moments_8bit, add(out.parameters - unpacked, mul(4, add(blocks, unpacked))));
  if (optimizer.factored) out.states = mul(4, add(factors, vectors));
  if (out.masters) out.states = add(out.states, mul(out.parameters, 4));
  out.held = request.optimizer_in_backward ? std::min(shape.elements.largest_tensor, out.parameters) : out.parameters;
  return out;
}

/// bytes * part / whole, without overflow of what fits.
std::int64_t portion(std::int64_t bytes, std::int64_t part, std::int64_t whole) {
  return whole <= 0 ? 0 : static_cast<std::int64_t>(static_cast<__int128>(bytes) * part / whole);
}

void join_equal(std::vector<TrainingShare>& shares, const TrainingShare& next) {
  if (!shares.empty()) {
    TrainingShare& last = shares.back();
    if (last.total.expected == next.total.expected && last.weights_bytes == next.weights_bytes && last.kept_bytes == next.kept_bytes && last.logits_bytes == next.logits_bytes) {
      last.devices += next.devices;
      last.layers += next.layers;
      return;
    }
  }
  shares.push_back(next);
}

std::vector<std::string> assumptions_of(const TrainingRequest& request) {
  std::vector<std::string> out;
  out.emplace_back("gradients are freed after each step; high: they are kept (accumulation), and the optimizer works on a copy");
  out.emplace_back("no dropout masks; activations of attention without materialised scores unless --attention eager");
  out.emplace_back("overhead a device: CUDA context and PyTorch 300 to 650 MiB, communication 342 to 512 MiB (published calculators)");
  if (request.compiled) out.emplace_back("compiled: norms and activations keep their inputs alone, and are made again on the way back");
  if (request.mode == TrainMode::qlora) {
    out.push_back(fmt::format("weights: linear layers in nf4{}, the rest in {}", request.double_quant ? " with double quantisation" : "", name(request.dtype)));
  }
  if (request.optimizer.moments_8bit > 0 && !request.optimizer.paged && request.mode == TrainMode::full) {
    out.emplace_back("optimizer states of embeddings are float32, as transformers' Trainer has bitsandbytes keep them");
  }
  if (request.optimizer.paged) out.emplace_back("optimizer states lie in host memory");
  if (request.offload != StateOffload::none) out.emplace_back("host memory: high is 1.5 times what lies there, as DeepSpeed's estimators count it");
  if (request.sharding.pipeline > 1) out.emplace_back("one forward, one backward: the stage that is k from the end keeps the activations of k micro-batches");
  return out;
}

}  // namespace

TrainingMemory TrainingPlan::memory(const TrainingRequest& request) const {
  check(request, shape_);
  const bool adapts = request.mode != TrainMode::full;
  if (adapts && !adapters_) throw NotFoundError(no_adapters_, "name layers with --lora-targets");

  const int element = bit_size(request.dtype) / 8;
  const Sharding& sharding = request.sharding;
  const std::int64_t data = sharding.data, stages = sharding.pipeline, model = mul(sharding.tensor, stages);
  const std::int64_t base = weights_bytes(request);
  const Trained trained = trained_of(request, shape_, adapts ? adapters_ : std::nullopt);
  const std::int64_t gradients = mul(trained.held, trained.element);
  const std::int64_t all_elements = std::max<std::int64_t>(shape_.elements.all(), 1);
  const bool offloads = request.offload != StateOffload::none;
  const bool gathers = request.offload == StateOffload::all || (sharding.zero == 3 && data > 1);

  // Packed weights keep the inputs of their layers as trained ones do.
  const bool frozen = request.mode == TrainMode::lora;
  const bool eager = request.eager_attention && request.recompute == Recompute::none;
  const std::int64_t tokens = mul(request.sequence, request.micro_batch);
  const auto per_device = [&](const KeptWidths& widths, bool with_scores) {
    const KeptBytes kept = kept_bytes(widths, element, frozen, with_scores, request.compiled, request.sequence);
    return mul(tokens, add(ceil_div(kept.split, sharding.tensor), kept.replicated));
  };
  std::int64_t kept = request.recompute == Recompute::full ? mul(tokens, mul(shape_.layer_inputs, element)) : per_device(shape_.all, eager);
  // Each adapter's own copy of its input: cast, or dropped out.
  if (adapts && request.recompute != Recompute::full) kept = add(kept, mul(tokens, mul(adapters_->inputs, trained.element)));
  const int logits_element = element < 4 ? element + 8 : 8;  // 16-bit logits, their float32 copy, and its gradient
  const std::int64_t logits = mul(mul(request.chunked_loss ? ceil_div(tokens, kLogitsChunks) : tokens, ceil_div(shape_.vocabulary, sharding.tensor)), logits_element);

  TrainingMemory out;
  out.trainable_parameters = trained.parameters;
  const std::int64_t masters = trained.masters ? mul(trained.parameters, 4) : 0;
  std::int64_t host = offloads ? trained.states : request.optimizer.paged ? trained.states - masters : 0;
  if (offloads) host = add(host, mul(trained.parameters, trained.masters ? 4 : trained.element));
  if (request.offload == StateOffload::all) host = add(host, add(base, adapts ? mul(trained.parameters, trained.element) : 0));

  for (std::int64_t stage = 0; stage < stages; ++stage) {
    TrainingShare share;
    share.devices = mul(sharding.tensor, data);
    share.first_device = mul(stage, share.devices);
    share.first_layer = portion(shape_.layers, stage, stages);
    share.layers = portion(shape_.layers, stage + 1, stages) - share.first_layer;
    // The first stage has the embeddings beside its layers, the last the output layer; adapters sit in layers.
    const std::int64_t of = std::max<std::int64_t>(shape_.layers, 1), part = shape_.layers == 0 ? 1 : share.layers;
    std::int64_t elements = portion(shape_.body_elements(), part, of);
    if (stage == 0) elements = add(elements, shape_.lookup_elements);
    if (stage == stages - 1 && !(stages == 1 && shape_.output_is_tied)) elements = add(elements, shape_.output_elements);
    const auto of_model = [&](std::int64_t bytes) { return stages == 1 ? ceil_div(bytes, sharding.tensor) : ceil_div(portion(bytes, elements, all_elements), sharding.tensor); };
    const auto of_trained = [&](std::int64_t bytes) { return adapts ? ceil_div(portion(bytes, part, of), sharding.tensor) : of_model(bytes); };
    share.weights_bytes = of_model(base);
    if (adapts) share.weights_bytes = add(share.weights_bytes, of_trained(mul(trained.parameters, trained.element)));
    share.gradients_bytes = of_trained(gradients);
    share.optimizer_bytes = of_trained(request.optimizer.paged ? masters : trained.states);
    if (sharding.zero >= 1) share.optimizer_bytes = ceil_div(share.optimizer_bytes, data);
    if (sharding.zero >= 2) share.gradients_bytes = ceil_div(share.gradients_bytes, data);
    if (sharding.zero >= 3) share.weights_bytes = ceil_div(share.weights_bytes, data);
    if ((sharding.zero == 2 && data > 1) || (offloads && sharding.zero < 3)) {
      share.bucket_bytes = mul(std::min(kBucketElements, ceil_div(trained.parameters, model)), trained.element);
    }
    if (gathers) {
      // What is trained also has the gradients of the layer at work in full, before they are scattered.
      const std::int64_t layer_gradients = adapts ? 0 : mul(shape_.largest_layer_elements, trained.element);
      share.gathered_bytes = ceil_div(add(mul(2, portion(base, shape_.largest_layer_elements, all_elements)), layer_gradients), sharding.tensor);
    }
    if (offloads) share.optimizer_bytes = share.gradients_bytes = 0;
    if (request.offload == StateOffload::all) share.weights_bytes = 0;

    share.kept_bytes = mul(portion(kept, part, of), stages - stage);
    if (request.offload_activations) {
      host = add(host, mul(share.kept_bytes, share.devices));
      share.kept_bytes = 0;
    }
    if (request.recompute == Recompute::full) share.live_layer_bytes = per_device(shape_.widest_layer, request.eager_attention);
    if (stage == stages - 1) share.logits_bytes = logits;

    share.overhead = {300 * kMiB, 500 * kMiB, 650 * kMiB};
    if (sharding.devices() > 1) share.overhead = share.overhead + ByteRange{342 * kMiB, 392 * kMiB, 512 * kMiB};
    const std::int64_t fixed = add(add(share.weights_bytes, share.optimizer_bytes), share.sharding_bytes());
    const std::int64_t start = add(share.kept_bytes, add(share.logits_bytes, share.live_layer_bytes));
    const std::int64_t end = add(share.gradients_bytes, share.live_layer_bytes);
    const bool copies = request.optimizer.moments > 0 && !offloads;
    const std::int64_t step = copies ? ceil_div(mul(trained.parameters, trained.element), mul(model, sharding.zero > 0 ? data : 1)) : 0;
    share.total.low = add(fixed, std::max(start * 3 / 4, end));
    share.total.expected = add(fixed, std::max(start, end));
    share.total.high = add(fixed, add(add(start, share.gradients_bytes), step));
    share.total = share.total + share.overhead;
    if (stage == 0 || share.total.expected > out.total.expected) static_cast<TrainingShare&>(out) = share;
    join_equal(out.shares, share);
  }
  out.host = {host, host, add(host, host / 2)};
  if (shape_.all.attention + shape_.all.gated + shape_.all.plain + shape_.all.mixers == 0) {
    out.unknown.emplace_back("activations: the description states no roles to tell them from");
  }
  out.assumptions = assumptions_of(request);
  return out;
}

FitVerdict fit_training(const TrainingMemory& memory, std::int64_t usable_bytes) {
  if (memory.total.expected <= usable_bytes / 5 * 4) return FitVerdict::fits;
  return memory.total.expected <= usable_bytes ? FitVerdict::tight : FitVerdict::no;
}

}  // namespace bigmodel
