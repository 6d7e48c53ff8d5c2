// SPDX-License-Identifier: Apache-2.0
// What running a model takes: weights, caches, activations and the runtime's own memory, for each phase, with bounds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/activations.h"
#include "bigmodel/planning/device_split.h"
#include "bigmodel/planning/kv_cache.h"
#include "bigmodel/planning/loaded_bytes.h"

namespace bigmodel {

/// A figure that is not known to the byte. `low` and `high` are bounds that published measurements suggest, not guarantees.
struct ByteRange {
  std::int64_t low = 0, expected = 0, high = 0;
  bool exact() const { return low == high; }
};

/// Bound by bound. Throws FormatError where a sum does not fit 64 bits.
ByteRange operator+(const ByteRange& a, const ByteRange& b);
ByteRange larger(const ByteRange& a, const ByteRange& b);

struct InferenceRequest {
  DType dtype = DType::float16;           ///< of the weights, or what is computed in
  std::optional<std::int64_t> stored_weights_bytes;  ///< of packed weights; empty: by `dtype`
  std::int64_t context = 0;               ///< tokens of each sequence, prompt and answer
  std::int64_t batch = 1;
  std::int64_t beams = 1;
  std::int64_t encoder_tokens = 0;        ///< 0: `context`, where the description fixes none
  std::optional<KvFormat> kv_format;      ///< empty: the weights' dtype where a cache can have it, else float16
  CacheEngine engine = CacheEngine::exact;
  bool eager_attention = false;           ///< scores are materialised
  std::int64_t prefill_chunk = 0;         ///< tokens computed at once, of all sequences; 0: the engine's default
  bool all_logits = false;                ///< of every token of the prompt
  std::int64_t devices = 1;               ///< that share the model; overheads are per device
  SplitMode split = SplitMode::layers;    ///< how they share it; of divided layers each device has its part of the activations
};

struct InferenceMemory {
  std::int64_t weights_bytes = 0;
  KvFormat kv_format;
  CacheSize cache;
  std::int64_t prefill_tokens = 0;        ///< computed at once, of all sequences
  ByteRange prefill_activations, decode_activations;  ///< of one device
  ByteRange overhead;                     ///< of the runtime, all devices together
  ByteRange load, prefill, decode;        ///< sums of each phase
  ByteRange total;                        ///< the largest phase
  std::vector<std::string> assumptions;   ///< one sentence each, with the source
  std::vector<std::string> unknown;       ///< what could not be told: the sums are then too small

  /// Of the phase that takes more: they do not live at the same time.
  ByteRange activations() const { return larger(prefill_activations, decode_activations); }
};

/// Everything about a model that requests of different contexts share. Immutable; any number of threads may read it.
class InferencePlan {
 public:
  explicit InferencePlan(const MetaGraph& graph);

  /// Throws UsageError for counts that make no sense and for caches that the engine does not keep, FormatError where a size does not
  /// fit 64 bits.
  InferenceMemory memory(const InferenceRequest& request) const;

  const CachePlan& cache() const { return cache_; }
  const ActivationWidths& widths() const { return widths_; }
  const DeviceSplit& split() const { return split_; }
  /// Whether a token visits some experts only.
  bool has_experts() const { return widths_.experts > 0; }
  /// Elements of parameters, and those that one token uses: equal without experts.
  std::int64_t parameters() const { return parameters_; }
  std::int64_t active_parameters() const { return active_parameters_; }

 private:
  CachePlan cache_;
  ActivationWidths widths_;
  DeviceSplit split_;
  LoadedSizes loaded_;
  std::int64_t parameters_ = 0;
  std::int64_t active_parameters_ = 0;
};

}  // namespace bigmodel
