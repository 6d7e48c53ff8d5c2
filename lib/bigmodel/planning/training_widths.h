// SPDX-License-Identifier: Apache-2.0
// What training keeps of a pass for the way back, in elements a token, and what it can train: read from the roles of the graph.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// Elements a token, summed over modules; of a mixture those of the experts that a token visits.
struct KeptWidths {
  std::int64_t composed_norms = 0;  ///< RMS norms, made of single operations that upcast
  std::int64_t fused_norms = 0;     ///< layer norms: one operation
  std::int64_t attention = 0;       ///< queries, keys, values, and the heads' result
  std::int64_t heads = 0;
  std::int64_t gated = 0;           ///< width of gated feed-forward layers
  std::int64_t plain = 0;           ///< width of ungated ones
  std::int64_t mixers = 0;          ///< what comes into recurrent and convolutional mixers
  std::int64_t dispatched = 0;      ///< hidden states copied to a token's experts and back
  std::int64_t router = 0;          ///< experts that a token is scored for

  void add(const KeptWidths& more, std::int64_t times, std::int64_t chosen = 1, std::int64_t of = 1);
};

/// Tensors under this many elements are not packed by 8-bit optimizers (bitsandbytes min_8bit_size), and blocks are this long.
inline constexpr std::int64_t kSmallTensor = 4096, kStateBlock = 256;

/// Elements of parameters by what optimizers make of them, tied ones once.
struct TrainableElements {
  std::int64_t matrices = 0;          ///< of two and more dimensions
  std::int64_t rows_and_columns = 0;  ///< of those: sum of both sides (what a factored second moment keeps)
  std::int64_t vectors = 0;
  std::int64_t unpacked = 0;          ///< in embeddings and in tensors under 4096 elements: 8-bit optimizers keep them in float32
  std::int64_t blocks = 0;            ///< runs of 256 elements of the other tensors, each with its own scale
  std::int64_t hidden_matrices = 0;   ///< matrices but embeddings and the output layer
  std::int64_t largest_tensor = 0;
  std::int64_t all() const { return matrices + vectors; }
};

struct TrainingShape {
  KeptWidths all;                ///< of the whole model
  KeptWidths widest_layer;       ///< of the layer (a module that is not split) that keeps most
  std::int64_t layers = 0;
  std::int64_t layer_inputs = 0; ///< hidden elements a token, summed over layers: what full recomputation keeps
  std::int64_t vocabulary = 0;
  TrainableElements elements;
  std::int64_t largest_layer_elements = 0;
  std::int64_t lookup_elements = 0;   ///< of embeddings
  std::int64_t output_elements = 0;   ///< of the output layer, also where it is tied to an embedding
  bool output_is_tied = false;
  /// Neither: what stages of a pipeline share.
  std::int64_t body_elements() const { return elements.all() - lookup_elements - (output_is_tied ? 0 : output_elements); }
};

/// Zero widths where the graph states no roles. Throws FormatError where a count does not fit 64 bits.
TrainingShape training_shape(const MetaGraph& graph);

/// Low-rank adapters on linear layers: sums over the targets.
struct AdapterShape {
  std::int64_t modules = 0;
  std::int64_t inputs = 0, outputs = 0;  ///< each times the rank is a number of parameters
  std::map<std::int64_t, std::int64_t> sides;  ///< width -> how many tensors have it beside the rank
};

/// Targets are the last parts of module names ("q_proj"), or "all-linear" (all but the output layer). None: the query and value
/// projections of every attention, as PEFT has it for most types. Throws NotFoundError for a target that names no linear layer.
AdapterShape adapter_shape(const MetaGraph& graph, const std::vector<std::string>& targets);

}  // namespace bigmodel
