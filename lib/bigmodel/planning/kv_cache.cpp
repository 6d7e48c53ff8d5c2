// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "KV cache";

std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }
std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }

std::int64_t wanted(const Block& block, std::string_view name) {
  const std::optional<std::int64_t> value = integer_property(block, name);
  if (!value) throw FormatError(fmt::format("block '{}' states no '{}'", block.kind, name));
  if (*value < 0 || *value > std::int64_t{1} << 31) throw FormatError(fmt::format("block '{}': '{}' is {}", block.kind, name, *value));
  return *value;
}

std::int64_t dimension(const ModuleTemplate& module, std::string_view property, std::size_t axis) {
  const TensorTemplate* tensor = member_tensor(module, property);
  if (tensor == nullptr) {
    const ModuleTemplate* below = member_module(module, property);
    tensor = below == nullptr ? nullptr : find_parameter(*below, "weight");
  }
  if (tensor == nullptr || axis >= tensor->shape.size()) {
    throw FormatError(fmt::format("block '{}' names no tensor as '{}'", module.block->kind, property));
  }
  return tensor->shape[axis];
}

CacheState convolution(std::int64_t channels, std::int64_t kernel) {
  return {.kind = CacheState::Kind::convolution, .rows = channels, .columns = kernel};
}

/// Sums over all tokens: float32 everywhere, whatever the model's dtype.
CacheState recurrent(std::int64_t elements) { return {.rows = elements, .keeps_float32 = true}; }

/// A copy of the last token's hidden state.
CacheState stream(std::int64_t elements) { return {.rows = elements}; }

void attention(const ModuleTemplate& module, CacheLayer& layer) {
  const Block& block = *module.block;
  const std::optional<std::int64_t> heads = integer_property(block, "heads");
  layer.kv_heads = integer_property(block, "kv_heads").value_or(heads.value_or(0));
  layer.key_width = projection_shape(member_module(module, "k")).out;
  layer.value_width = projection_shape(member_module(module, "v")).out;
  // Values that are made of the keys' projection are as wide.
  if (layer.value_width == 0 && member_path(block, "v").empty()) layer.value_width = layer.key_width;
  if (layer.key_width == 0 || layer.value_width == 0) {
    layer.key_width = mul(layer.kv_heads, wanted(block, "head_dim"));
    layer.value_width = layer.key_width;
  }
  if (layer.key_width <= 0) throw FormatError("the width of its keys is not told");
  if (!flag_property(block, "cache_values", true)) layer.value_width = 0;
  if (find_property(block, "cache_times") != nullptr) {
    const std::int64_t times = wanted(block, "cache_times");
    layer.key_width = mul(layer.key_width, times);
    layer.value_width = mul(layer.value_width, times);
  }
  if (flag_property(block, "cross")) {
    layer.kind = CacheKind::cross;
    layer.encoder_tokens = integer_property(block, "encoder_tokens").value_or(0);
  } else if (find_property(block, "shared_kv") != nullptr) {
    layer.kind = CacheKind::shared;
  } else if (find_property(block, "chunk") != nullptr) {
    layer.kind = CacheKind::chunked;
    layer.window = wanted(block, "chunk");
  } else if (find_property(block, "window") != nullptr) {
    layer.kind = CacheKind::sliding;
    layer.window = wanted(block, "window");
  }
  layer.blind_sees_all = flag_property(block, "spread_when_blind");
  layer.reference_window = flag_property(block, "cache_window", true);
  if (find_property(block, "cache_repeat") != nullptr) layer.reference_repeat = wanted(block, "cache_repeat");
}

void latent_attention(const ModuleTemplate& module, CacheLayer& layer) {
  const Block& block = *module.block;
  const std::int64_t heads = wanted(block, "heads");
  layer.kind = find_property(block, "shared_kv") != nullptr ? CacheKind::shared : CacheKind::latent;
  layer.kv_heads = heads;
  layer.key_width = projection_shape(member_module(module, "kv_down")).out;
  if (layer.key_width == 0 && layer.kind == CacheKind::latent) throw FormatError("block 'latent_attention' names no 'kv_down'");
  layer.expanded_key_width = mul(heads, add(wanted(block, "head_dim"), wanted(block, "rope_dim")));
  layer.expanded_value_width = mul(heads, wanted(block, "value_dim"));
  if (find_property(block, "window") != nullptr) layer.window = wanted(block, "window");
  if (find_property(block, "index_dim") != nullptr) layer.index_width = wanted(block, "index_dim");
  layer.reference_index_float32 = flag_property(block, "index_float32");
}

void compressed_cache(const ModuleTemplate& module, CacheLayer& layer) {
  layer.kind = CacheKind::compressed;
  layer.kv_heads = 1;
  layer.key_width = wanted(*module.block, "width");
  layer.rate = wanted(*module.block, "rate");
  layer.overlap = flag_property(*module.block, "overlap");
  if (layer.rate == 0) throw FormatError("block 'compressed_cache': 'rate' is 0");
}

/// The states of a recurrent mixer; false where the block is none.
bool recurrent_states(const ModuleTemplate& module, CacheLayer& layer) {
  const Block& block = *module.block;
  auto& states = layer.states;
  if (block.kind == "mamba") {
    const std::int64_t inner = dimension(module, "A_log", 0);
    states = {convolution(inner, wanted(block, "kernel")), recurrent(mul(inner, wanted(block, "state")))};
  } else if (block.kind == "mamba2") {
    states = {convolution(dimension(module, "conv", 0), wanted(block, "kernel")),
              recurrent(mul(mul(wanted(block, "heads"), wanted(block, "head_dim")), wanted(block, "state")))};
  } else if (block.kind == "gated_delta_net") {
    states = {convolution(dimension(module, "conv", 0), wanted(block, "kernel")),
              recurrent(mul(mul(wanted(block, "value_heads"), wanted(block, "key_dim")), wanted(block, "value_dim")))};
  } else if (block.kind == "short_conv") {
    states = {convolution(integer_property(block, "channels").value_or(0), wanted(block, "kernel"))};
    if (states.front().rows == 0) states.front().rows = dimension(module, "conv", 0);
    states.front().keeps_float32 = flag_property(block, "float32");
  } else if (block.kind == "gated_linear_recurrence") {
    states = {convolution(dimension(module, "conv", 0), wanted(block, "kernel")), recurrent(dimension(module, "recurrent_param", 0))};
  } else if (block.kind == "rwkv_time_mix") {
    const std::int64_t width = dimension(module, "decay", 0);
    states = {stream(dimension(module, "key", 1)), recurrent(mul(3, width))};
  } else if (block.kind == "rwkv_channel_mix") {
    states = {stream(dimension(module, "key", 1))};
  } else if (block.kind == "carried_state") {
    states = {stream(wanted(block, "elements"))};
  } else {
    return false;
  }
  layer.kind = CacheKind::state;
  return true;
}

class Planner {
 public:
  explicit Planner(CachePlan& plan) : plan_(plan) {}

  void walk(const ModuleTemplate& module, const std::string& path) {
    if (!caches_below(module)) return;
    if (module.block) add_layer(module, path);
    for (const ModuleChild& child : module.children) {
      for (std::int64_t k = 0; k < child.count; ++k) {
        walk(*child.module, path.empty() ? child.name_at(k) : fmt::format("{}.{}", path, child.name_at(k)));
      }
    }
  }

 private:
  static bool may_cache(const Block& block) {
    if (block.kind == "attention" || block.kind == "latent_attention") {
      // A block that could not be computed may well be one that caches.
      return !block.error.empty() ||
             (flag_property(block, "cache", true) && (flag_property(block, "causal") || flag_property(block, "cross")));
    }
    return block.kind == "mamba" || block.kind == "mamba2" || block.kind == "gated_delta_net" || block.kind == "short_conv" ||
           block.kind == "gated_linear_recurrence" || block.kind == "rwkv_time_mix" || block.kind == "rwkv_channel_mix" ||
           block.kind == "carried_state" || block.kind == "compressed_cache";
  }

  bool caches_below(const ModuleTemplate& module) {
    if (const auto it = caches_.find(&module); it != caches_.end()) return it->second;
    bool found = module.block && may_cache(*module.block);
    for (const ModuleChild& child : module.children) found = caches_below(*child.module) || found;
    caches_.emplace(&module, found);
    return found;
  }

  void add_layer(const ModuleTemplate& module, const std::string& path) {
    const Block& block = *module.block;
    if (!may_cache(block)) return;
    if (!block.error.empty()) {
      plan_.unknown.push_back(fmt::format("{}: {}", path, block.error));
      return;
    }
    CacheLayer layer;
    layer.module = path;
    try {
      if (block.kind == "attention") {
        attention(module, layer);
      } else if (block.kind == "latent_attention") {
        latent_attention(module, layer);
      } else if (block.kind == "compressed_cache") {
        compressed_cache(module, layer);
      } else {
        recurrent_states(module, layer);
      }
      plan_.layers.push_back(std::move(layer));
      if (block.kind == "attention" && flag_property(block, "cross_beside")) add_cross_beside();
    } catch (const Error& e) {
      plan_.unknown.push_back(fmt::format("{}: {}", path, e.message()));
    }
  }

  /// The same keys and values of the encoder's tokens.
  void add_cross_beside() {
    CacheLayer cross = plan_.layers.back();
    cross.kind = CacheKind::cross;
    cross.window = 0;
    plan_.layers.push_back(std::move(cross));
  }

  CachePlan& plan_;
  std::unordered_map<const ModuleTemplate*, bool> caches_;
};

/// Whether a class is one that generates, by transformers' names.
bool continues_text(std::string_view class_name) {
  constexpr std::array<std::string_view, 4> kEndings = {"ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForCausalImageModeling"};
  return std::ranges::any_of(kEndings, [&](std::string_view ending) { return class_name.ends_with(ending); });
}

bool tells_of_attention(const ModuleTemplate& module) {
  return (module.block && module.block->kind.ends_with("attention")) ||
         std::ranges::any_of(module.children, [](const ModuleChild& child) { return tells_of_attention(*child.module); });
}

struct Widths {
  std::int64_t key, value;
};

Widths widths(const CacheLayer& layer, const CacheRequest& request) {
  const bool expanded = layer.kind == CacheKind::latent && (request.expand_latent || request.engine == CacheEngine::bigmodel);
  return expanded ? Widths{layer.expanded_key_width, layer.expanded_value_width} : Widths{layer.key_width, layer.value_width};
}

bool is_reference(CacheEngine engine) { return engine == CacheEngine::hf || engine == CacheEngine::hf_static; }

std::int64_t rounded_up(std::int64_t count, std::int64_t unit) { return mul(add(count, unit - 1) / unit, unit); }

/// A token's key of an indexer.
std::int64_t index_bytes(const CacheLayer& layer, const CacheRequest& request) {
  constexpr std::int64_t kScaled = 128, kScaleBytes = 4;   // vLLM's DeepseekV32IndexerCache
  if (request.engine == CacheEngine::vllm) return add(layer.index_width, mul((layer.index_width + kScaled - 1) / kScaled, kScaleBytes));
  return kv_bytes(is_reference(request.engine) && layer.reference_index_float32 ? *kv_format(DType::float32) : request.format, layer.index_width);
}

std::int64_t token_bytes(const CacheLayer& layer, const CacheRequest& request) {
  if (layer.kind == CacheKind::state || layer.kind == CacheKind::compressed) return 0;
  // An indexer's keys are the layer's own.
  if (layer.kind == CacheKind::shared) return index_bytes(layer, request);
  const Widths w = widths(layer, request);
  const std::int64_t once = add(add(kv_bytes(request.format, w.key), kv_bytes(request.format, w.value)), index_bytes(layer, request));
  return is_reference(request.engine) ? mul(once, layer.reference_repeat) : once;
}

bool has_window(const CacheLayer& layer, const CacheRequest& request) {
  const bool may_have = layer.kind == CacheKind::sliding || layer.kind == CacheKind::chunked || (layer.kind == CacheKind::latent && layer.window > 0);
  if (!may_have) return false;
  if (request.engine == CacheEngine::bigmodel) return layer.kind != CacheKind::latent && layer.window > 0 && !layer.blind_sees_all && !request.on_accelerators;
  return !is_reference(request.engine) || layer.reference_window;
}

/// The most tokens that a windowed layer keeps.
std::int64_t window_tokens(const CacheLayer& layer, const CacheRequest& request) {
  switch (request.engine) {
    case CacheEngine::hf: return std::max<std::int64_t>(layer.window - 1, 0);
    case CacheEngine::vllm: {
      // Pages that a request may hold while a batch is in work; of a chunk no earlier one is needed.
      const bool sliding = layer.kind != CacheKind::chunked;
      const std::int64_t reach = add(sliding ? std::max<std::int64_t>(layer.window - 1, 0) : layer.window, kVllmBatchedTokens);
      return sliding ? add(rounded_up(reach, kVllmPage), kVllmPage) : rounded_up(reach, kVllmPage);
    }
    case CacheEngine::llama_cpp: return rounded_up(add(layer.window, kLlamaCppBatch), kLlamaCppPad);
    case CacheEngine::bigmodel: return kept_window_tokens(layer.window, layer.kind == CacheKind::chunked);
    case CacheEngine::exact:
    case CacheEngine::hf_static: break;
  }
  return layer.window;
}

/// Tokens that an engine sets aside for `context` of them.
std::int64_t reserved_tokens(const CacheRequest& request) {
  if (request.engine == CacheEngine::vllm) return rounded_up(request.context, kVllmPage);
  if (request.engine == CacheEngine::llama_cpp) return rounded_up(request.context, kLlamaCppPad);
  return request.context;
}

std::int64_t state_bytes(const CacheLayer& layer, const CacheRequest& request) {
  std::int64_t bytes = 0;
  for (const CacheState& state : layer.states) {
    const bool convolution = state.kind == CacheState::Kind::convolution;
    // The oldest column falls out with the next token; only the reference keeps it.
    const bool spares_one = convolution && !is_reference(request.engine);
    const std::int64_t columns = spares_one ? std::max<std::int64_t>(state.columns - 1, 0) : state.columns;
    const bool wide = state.keeps_float32 || request.engine == CacheEngine::llama_cpp || request.engine == CacheEngine::bigmodel;
    const DType dtype = wide ? DType::float32 : request.model_dtype;
    bytes = add(bytes, byte_count(dtype, mul(state.rows, columns)));
  }
  return bytes;
}

/// Entries, and the tokens since the last one: what is to become an entry and the gate of that, twice as wide where entries overlap, and then
/// the tokens of the last entry as well.
std::int64_t compressed_bytes(const CacheLayer& layer, const CacheRequest& request) {
  const std::int64_t entries = request.context / layer.rate;
  const std::int64_t each = mul(layer.key_width, layer.overlap ? 4 : 2);
  std::int64_t waiting = mul(request.context % layer.rate, each);
  if (layer.overlap && entries > 0) waiting = add(waiting, mul(mul(layer.rate, 2), layer.key_width));
  return add(mul(kv_bytes(request.format, layer.key_width), entries), byte_count(request.model_dtype, waiting));
}

std::int64_t cross_tokens(const CacheLayer& layer, const CacheRequest& request) {
  if (layer.encoder_tokens > 0) return layer.encoder_tokens;
  return request.encoder_tokens > 0 ? request.encoder_tokens : request.context;
}

}  // namespace

std::string_view to_string(CacheKind kind) noexcept {
  switch (kind) {
    case CacheKind::full: return "full";
    case CacheKind::sliding: return "sliding";
    case CacheKind::chunked: return "chunked";
    case CacheKind::latent: return "latent";
    case CacheKind::cross: return "cross";
    case CacheKind::shared: return "shared";
    case CacheKind::state: return "state";
    case CacheKind::compressed: return "compressed";
  }
  return "full";
}

std::int64_t kept_window_tokens(std::int64_t window, bool chunks) noexcept {
  constexpr std::int64_t kLeast = 32;   // tokens between moves; for long windows a sixteenth: a move then costs as much as reading 16 tokens more
  if (window <= 0 || window > INT64_MAX / 2) return INT64_MAX;
  return chunks ? window : window + std::max(kLeast, window / 16);
}

CachePlan plan_cache(const MetaGraph& graph) {
  CachePlan plan;
  Planner(plan).walk(*graph.root, "");
  if (plan.layers.empty() && plan.unknown.empty() && continues_text(graph.class_name) && !tells_of_attention(*graph.root)) {
    plan.unknown.push_back(fmt::format("{}: no layer says what it keeps between tokens", graph.class_name));
  }
  return plan;
}

std::int64_t layer_cache_bytes(const CacheLayer& layer, const CacheRequest& request) {
  switch (layer.kind) {
    case CacheKind::state: return state_bytes(layer, request);
    case CacheKind::cross: return mul(token_bytes(layer, request), cross_tokens(layer, request));
    case CacheKind::compressed: return compressed_bytes(layer, request);
    case CacheKind::shared:
    case CacheKind::full:
    case CacheKind::latent:
    case CacheKind::sliding:
    case CacheKind::chunked: break;
  }
  const std::int64_t reserved = reserved_tokens(request);
  const std::int64_t tokens = has_window(layer, request) ? std::min(reserved, window_tokens(layer, request)) : reserved;
  return mul(token_bytes(layer, request), tokens);
}

CacheSize cache_size(const CachePlan& plan, const CacheRequest& request) {
  if (request.context < 0 || request.batch < 1 || request.beams < 1 || request.encoder_tokens < 0) {
    throw UsageError(fmt::format("KV cache: context {}, batch {} and beams {} make no sense, expected positive counts", request.context,
                                 request.batch, request.beams));
  }
  const std::int64_t sequences = mul(request.batch, request.beams);
  CacheSize out;
  for (const CacheLayer& layer : plan.layers) {
    const std::int64_t bytes = layer_cache_bytes(layer, request);
    out.layer_bytes.push_back(mul(bytes, sequences));
    out.total_bytes = add(out.total_bytes, out.layer_bytes.back());
    if (layer.kind == CacheKind::state || layer.kind == CacheKind::cross) {
      out.fixed_bytes_per_sequence = add(out.fixed_bytes_per_sequence, bytes);
      continue;
    }
    const std::int64_t each = layer.kind == CacheKind::compressed ? (kv_bytes(request.format, layer.key_width) + layer.rate - 1) / layer.rate : token_bytes(layer, request);
    out.bytes_per_token = add(out.bytes_per_token, each);
    if (has_window(layer, request)) {
      out.windows_full_at = std::max(out.windows_full_at, window_tokens(layer, request));
    } else {
      out.bytes_per_token_when_full = add(out.bytes_per_token_when_full, each);
    }
  }
  return out;
}

}  // namespace bigmodel
