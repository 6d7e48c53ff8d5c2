// SPDX-License-Identifier: Apache-2.0
// What a model keeps between tokens: a plan per layer, read from the roles (blocks) of the graph, and its bytes for a context.
// Widths and windows come from the description and the projections' shapes; nothing here knows model types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/kv_format.h"

namespace bigmodel {

enum class CacheKind {
  full,     ///< keys and values of every token
  sliding,  ///< of the last `window` tokens
  chunked,  ///< of the tokens of the present chunk of `window`
  latent,   ///< multi-head latent attention: one narrow vector a token, or the heads made from it
  cross,    ///< keys and values of the encoder's tokens
  shared,   ///< reads another layer's keys and values
  state,    ///< recurrent and convolution states: the same at every length
  compressed,  ///< one entry for every `rate` tokens, and what waits for the next one
};

std::string_view to_string(CacheKind kind) noexcept;

/// A tensor of fixed size, per sequence.
struct CacheState {
  enum class Kind { convolution, recurrent };
  Kind kind = Kind::recurrent;
  std::int64_t rows = 0;      ///< convolution: channels; recurrent: all elements
  std::int64_t columns = 1;   ///< convolution: the kernel's width
  bool keeps_float32 = false; ///< also where the model is 16-bit
};

/// One module that caches.
struct CacheLayer {
  std::string module;                ///< its full name: "model.layers.3.self_attn"
  CacheKind kind = CacheKind::full;
  std::int64_t kv_heads = 0;
  std::int64_t key_width = 0;        ///< elements a token, all heads; latent: the compressed vector, rotary part included; compressed: an entry
  std::int64_t value_width = 0;      ///< latent: 0
  std::int64_t expanded_key_width = 0, expanded_value_width = 0;  ///< latent: of all heads
  std::int64_t index_width = 0;      ///< elements a token of the keys by which an indexer picks tokens
  std::int64_t window = 0;           ///< sliding, chunked, and latent where it has one: tokens
  std::int64_t rate = 0;             ///< compressed: tokens an entry
  bool overlap = false;              ///< compressed: entries read the tokens of the entry before, too
  std::int64_t encoder_tokens = 0;   ///< cross: where the description fixes it, else 0
  bool reference_index_float32 = false;  ///< the reference's cache has the indexer's keys in float32, whatever the model's dtype
  bool blind_sees_all = false;       ///< a query that sees nothing averages over all keys: bigmodel then keeps them
  bool reference_window = true;      ///< false: the reference's cache does not know of the window and keeps every token
  std::int64_t reference_repeat = 1; ///< how often the reference's cache stores each key and value
  std::vector<CacheState> states;
};

struct CachePlan {
  std::vector<CacheLayer> layers;         ///< in module order
  std::vector<std::string> unknown;       ///< `module: why`: layers whose cache could not be told; sizes are then too small
};

/// Attention caches where it is causal or reads an encoder, unless its block says `cache = false`; recurrent mixers keep states.
/// The cost goes with the modules that cache. Never throws for what a description says: see `unknown`.
CachePlan plan_cache(const MetaGraph& graph);

/// Whose cache is meant. `exact` counts what the next token can still read. `hf` is the reference's DynamicCache: windows keep one
/// token less, convolutions one column more, and windows that it does not know keep every token; `hf_static` its StaticCache of
/// `context` tokens. `vllm` takes pages of 16 tokens, keeps an indexer's keys as fp8 with a scale for each 128, and for windows what a batch of kVllmBatchedTokens can reach; `llama_cpp` takes
/// cells in multiples of 256, windows with room for the batch in work, and states in float32. `bigmodel` is this project's engine: the
/// heads of latent attention, states in float32, and of windowed layers kept_window_tokens in RAM, every token on accelerators.
enum class CacheEngine { exact, hf, hf_static, vllm, llama_cpp, bigmodel };

inline constexpr std::int64_t kVllmPage = 16, kVllmBatchedTokens = 8192;  ///< block_size, max_num_batched_tokens
inline constexpr std::int64_t kLlamaCppPad = 256, kLlamaCppBatch = 512;   ///< padding of n_ctx, n_ubatch

/// Tokens that this project's engine has room for in RAM where a layer has a window, or chunks, of so many: a window and some tokens more, so
/// that the window moves to the front only now and then; of chunks no more, as a full one goes at once. What a pass needs beyond
/// that goes after its attention. INT64_MAX for 0: no window.
std::int64_t kept_window_tokens(std::int64_t window, bool chunks) noexcept;

struct CacheRequest {
  std::int64_t context = 0;        ///< tokens of each sequence
  std::int64_t batch = 1;          ///< sequences
  std::int64_t beams = 1;          ///< multiplies the batch
  std::int64_t encoder_tokens = 0; ///< of cross-attention where nothing fixes it; 0: `context`
  KvFormat format;                 ///< of keys and values
  DType model_dtype = DType::float16;  ///< of states
  CacheEngine engine = CacheEngine::exact;
  bool on_accelerators = false;    ///< bigmodel: caches may lie there, where windowed layers keep every token
  bool expand_latent = false;      ///< latent attention keeps all heads: an engine without absorbed projections
};

struct CacheSize {
  std::int64_t total_bytes = 0;                  ///< all sequences
  std::vector<std::int64_t> layer_bytes;         ///< all sequences, as CachePlan::layers
  std::int64_t bytes_per_token = 0;              ///< one sequence's next token while every window still has room
  std::int64_t bytes_per_token_when_full = 0;    ///< after all windows are full
  std::int64_t fixed_bytes_per_sequence = 0;     ///< states, and cross-attention
  std::int64_t windows_full_at = 0;              ///< tokens; 0 without windows
};

/// Throws UsageError for negative or zero counts, FormatError where a size does not fit 64 bits.
CacheSize cache_size(const CachePlan& plan, const CacheRequest& request);

/// The same of one layer and sequence: bytes at `context` tokens.
std::int64_t layer_cache_bytes(const CacheLayer& layer, const CacheRequest& request);

}  // namespace bigmodel
