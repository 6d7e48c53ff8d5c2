// SPDX-License-Identifier: Apache-2.0
// The working memory of one forward pass beside weights and caches: hidden states, the widest layer's parts, logits.
// Read from the roles of the graph; an estimate with bounds, not a measurement (formulas: published forms of decoder layers).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// Elements per token of what a pass makes, the widest layer of each kind.
struct ActivationWidths {
  std::int64_t hidden = 0;
  std::int64_t attention = 0;      ///< queries, keys, values and the heads' result
  std::int64_t windowed = 0;       ///< keys and values of the widest attention with a window or chunks
  std::int64_t heads = 0;          ///< of the widest attention
  std::int64_t feed_forward = 0;   ///< up, gate and their product; of all experts that a token visits
  std::int64_t experts = 0;        ///< router scores
  std::int64_t vocabulary = 0;     ///< 0: no output layer over a vocabulary
};

/// Zero where the graph states no role of that kind (convolutional models, plain trees).
ActivationWidths activation_widths(const MetaGraph& graph);

struct ActivationRequest {
  std::int64_t tokens = 1;          ///< in the pass, all sequences together
  std::int64_t sequences = 1;
  std::int64_t context = 1;         ///< tokens that a query may see
  DType dtype = DType::float16;
  bool eager_attention = false;     ///< materialises scores, and their softmax in float32
  bool scores_once = false;         ///< and they are there once, in float32
  /// A layer with a window keeps the keys and values of the whole pass until its attention is through, in `dtype`, as this project's engine does.
  bool drops_later = true;
  bool all_logits = false;          ///< of every token, not only of each sequence's last, with a float32 copy
};

struct ActivationSize {
  std::int64_t residual_bytes = 0;      ///< hidden states before and after the norm
  std::int64_t attention_bytes = 0;
  std::int64_t feed_forward_bytes = 0;
  std::int64_t logits_bytes = 0;        ///< float32
  /// The hidden states and the largest of the three others: they do not live at the same time.
  std::int64_t peak_bytes = 0;
};

/// Throws UsageError for counts below one, FormatError where a size does not fit 64 bits.
ActivationSize activation_size(const ActivationWidths& widths, const ActivationRequest& request);

}  // namespace bigmodel
