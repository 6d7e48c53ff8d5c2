// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/inference_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/block_facts.h"
#include "bigmodel/planning/loaded_bytes.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "inference memory";
constexpr std::int64_t kMiB = std::int64_t{1} << 20;

std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }
std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }

ByteRange exactly(std::int64_t bytes) { return {bytes, bytes, bytes}; }

std::int64_t product(const Shape& shape) { return element_count(shape, kObject); }

/// Elements of all parameters below, and of those that one token meets: of a layer's experts only the chosen ones.
class ParameterCounter {
 public:
  struct Count {
    std::int64_t all = 0, active = 0;
  };

  Count below(const ModuleTemplate& module) {
    if (const auto it = counts_.find(&module); it != counts_.end()) return it->second;
    Count out;
    const ExpertShare experts = expert_share(module);
    for (const TensorTemplate& t : module.parameters) take(out, {product(t.shape), product(t.shape)}, 1, share_of(experts, t.name));
    for (const ModuleChild& child : module.children) take(out, below(*child.module), child.count, share_of(experts, child.name));
    return counts_.emplace(&module, out).first->second;
  }

 private:
  static void take(Count& out, Count more, std::int64_t times, ExpertShare share) {
    out.all = add(out.all, mul(more.all, times));
    out.active = add(out.active, mul(more.active, times) / share.of * share.chosen);
  }

  std::unordered_map<const ModuleTemplate*, Count> counts_;
};

/// What a runtime holds beside tensors, per device.
struct Runtime {
  ByteRange bytes;
  std::string_view source;
};

Runtime runtime_of(CacheEngine engine, std::int64_t devices) {
  const bool several = devices > 1;
  switch (engine) {
    case CacheEngine::exact:
    case CacheEngine::bigmodel: return {{}, ""};
    case CacheEngine::hf:
    case CacheEngine::hf_static:
      return {{300 * kMiB, 500 * kMiB, 650 * kMiB}, "CUDA context and PyTorch 300 to 650 MiB (range of published calculators)"};
    case CacheEngine::vllm:
      // Non-torch memory 0.13-0.15 GiB alone and 0.54-0.55 GiB with NCCL, graphs up to 1.03 GiB on an H100; the context beside it.
      if (several) {
        return {{870 * kMiB, 1270 * kMiB, 1940 * kMiB}, "vLLM on H100: context 320 MiB, non-torch with NCCL 0.55 GiB, CUDA graphs 0 to 1.03 GiB"};
      }
      return {{450 * kMiB, 870 * kMiB, 1530 * kMiB}, "vLLM on H100: context 320 MiB, non-torch 0.13 to 0.15 GiB, CUDA graphs 0 to 1.03 GiB"};
    case CacheEngine::llama_cpp:
      return {{250 * kMiB, 330 * kMiB, 330 * kMiB}, "llama.cpp: CUDA context 250 to 330 MiB"};
  }
  return {{}, ""};
}

std::int64_t default_chunk(CacheEngine engine, std::int64_t tokens) {
  if (engine == CacheEngine::vllm) return std::min(tokens, kVllmBatchedTokens);
  if (engine == CacheEngine::llama_cpp) return std::min(tokens, kLlamaCppBatch);
  return tokens;
}

/// Which quantised caches an engine has: llama.cpp GGML's blocks, of values only where attention is fused; vLLM bytes and NVFP4.
void check_kv_format(const KvFormat& format, const InferenceRequest& request) {
  if (request.engine == CacheEngine::bigmodel && (format.block_bytes < 2 || format.block_elements != 1)) {
    throw UsageError(fmt::format("KV cache: bigmodel keeps none in {}", format.name), "use float32, as it does by itself, or bfloat16 or float16");
  }
  const bool quantised = format.block_bytes < 2 * format.block_elements;
  if (!quantised) return;
  if (request.engine == CacheEngine::llama_cpp && !format.is_ggml) {
    throw UsageError(fmt::format("KV cache: llama.cpp keeps none in {}", format.name), "use q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, float16 or bfloat16");
  }
  if (request.engine == CacheEngine::llama_cpp && request.eager_attention) {
    throw UsageError(fmt::format("KV cache: llama.cpp quantises values only with flash attention, got {} with eager attention", format.name),
                     "use --attention flash, or --kv-dtype float16");
  }
  if (request.engine == CacheEngine::vllm && format.is_ggml) {
    throw UsageError(fmt::format("KV cache: vLLM keeps none in {}", format.name), "use fp8, nvfp4, float16 or bfloat16");
  }
}

/// Of one device where all share every layer. The hidden states are whole on each.
ActivationWidths divided(ActivationWidths widths, std::int64_t devices) {
  for (std::int64_t* width : {&widths.attention, &widths.windowed, &widths.heads, &widths.feed_forward, &widths.vocabulary}) *width = ceil_div(*width, devices);
  return widths;
}

/// From half of the formula (buffers of one layer reused by its parts) to twice (allocator's blocks, copies in flight).
ByteRange around(std::int64_t bytes) { return {bytes / 2, bytes, mul(bytes, 2)}; }

}  // namespace

ByteRange operator+(const ByteRange& a, const ByteRange& b) { return {add(a.low, b.low), add(a.expected, b.expected), add(a.high, b.high)}; }

ByteRange larger(const ByteRange& a, const ByteRange& b) {
  return {std::max(a.low, b.low), std::max(a.expected, b.expected), std::max(a.high, b.high)};
}

InferencePlan::InferencePlan(const MetaGraph& graph)
    : cache_(plan_cache(graph)), widths_(activation_widths(graph)), split_(graph, cache_), loaded_(graph) {
  const ParameterCounter::Count count = ParameterCounter().below(*graph.root);
  parameters_ = graph_totals(graph).parameters;
  // Tied tensors stand twice in the tree: the same number of elements leaves both counts.
  active_parameters_ = parameters_ - (count.all - count.active);
}

InferenceMemory InferencePlan::memory(const InferenceRequest& request) const {
  if (request.context < 1 || request.batch < 1 || request.beams < 1 || request.devices < 1 || request.prefill_chunk < 0) {
    throw UsageError(fmt::format("inference memory: context {}, batch {}, beams {}, {} devices and chunks of {} make no sense, expected "
                                 "positive counts",
                                 request.context, request.batch, request.beams, request.devices, request.prefill_chunk));
  }
  InferenceMemory out;
  const LoadedBytes weights = request.stored_weights_bytes ? LoadedBytes{*request.stored_weights_bytes, "weights: as the checkpoint stores them"}
                                                           : loaded_.bytes(request.dtype);
  out.weights_bytes = weights.bytes;
  if (!weights.assumption.empty()) out.assumptions.push_back(weights.assumption);
  const std::optional<KvFormat> same = kv_format(request.dtype);
  const bool own_engine = request.engine == CacheEngine::bigmodel;
  out.kv_format = request.kv_format ? *request.kv_format : own_engine ? *kv_format(DType::float32) : same && bit_size(request.dtype) >= 16 ? *same : KvFormat{};
  check_kv_format(out.kv_format, request);
  const ActivationWidths widths = request.split == SplitMode::tensor ? divided(widths_, request.devices) : widths_;
  const DType compute_dtype = own_engine ? DType::float32 : is_floating_point(request.dtype) && bit_size(request.dtype) >= 16 ? request.dtype : DType::float16;
  out.cache = cache_size(cache_, {.context = request.context,
                                  .batch = request.batch,
                                  .beams = request.beams,
                                  .encoder_tokens = request.encoder_tokens,
                                  .format = out.kv_format,
                                  .model_dtype = compute_dtype,
                                  .engine = request.engine});
  out.unknown = cache_.unknown;
  if (widths_.hidden == 0) out.unknown.push_back("activations: the description states no roles to tell them from");

  const std::int64_t sequences = mul(request.batch, request.beams);
  const std::int64_t prompt = mul(request.batch, request.context);
  out.prefill_tokens = request.prefill_chunk > 0 ? std::min(request.prefill_chunk, prompt) : default_chunk(request.engine, prompt);
  ActivationRequest pass{.tokens = out.prefill_tokens,
                         .sequences = request.batch,
                         .context = request.context,
                         .dtype = compute_dtype,
                         .eager_attention = request.eager_attention,
                         .scores_once = request.engine == CacheEngine::llama_cpp,
                         .drops_later = own_engine,
                         .all_logits = request.all_logits};
  out.prefill_activations = around(activation_size(widths, pass).peak_bytes);
  pass.tokens = pass.sequences = sequences;
  pass.all_logits = false;
  out.decode_activations = around(activation_size(widths, pass).peak_bytes);
  if (request.engine == CacheEngine::vllm) {
    // The warm-up also runs the sampler over every sequence slot; its peak does not shrink with the request.
    const std::int64_t measured = has_experts() ? 7380 * kMiB * 1024 / 1000 : 5640 * kMiB * 1024 / 1000;
    out.prefill_activations.expected = std::max(out.prefill_activations.expected, measured);
    out.prefill_activations.high = std::max(out.prefill_activations.high, measured);
    out.assumptions.push_back(fmt::format("activations: vLLM's own profile on an H100 with its defaults, {} GiB ({})",
                                          has_experts() ? "7.38" : "5.64", has_experts() ? "gpt-oss" : "Qwen3"));
  }
  if (!request.kv_format && request.engine == CacheEngine::hf && out.cache.total_bytes > 0) {
    // Concatenation holds the old and the new tensors of one layer at once.
    const std::int64_t widest = *std::ranges::max_element(out.cache.layer_bytes);
    out.decode_activations.high = add(out.decode_activations.high, widest);
  }

  if (own_engine) out.assumptions.push_back("bigmodel run: keys, values, states and activations in float32, windows as in RAM (on accelerators they are kept whole); the program itself is not counted");
  const Runtime runtime = runtime_of(request.engine, request.devices);
  out.overhead = {mul(runtime.bytes.low, request.devices), mul(runtime.bytes.expected, request.devices), mul(runtime.bytes.high, request.devices)};
  if (!runtime.source.empty()) out.assumptions.push_back(fmt::format("overhead a device: {}", runtime.source));
  if (widths_.hidden != 0) out.assumptions.push_back("activations: widest layer by formula; low and high are half and twice of it");

  out.load = exactly(out.weights_bytes) + out.overhead;
  const ByteRange filled = out.load + exactly(out.cache.total_bytes);
  out.prefill = filled + out.prefill_activations;
  out.decode = filled + out.decode_activations;
  out.total = larger(out.prefill, out.decode);
  return out;
}

}  // namespace bigmodel
