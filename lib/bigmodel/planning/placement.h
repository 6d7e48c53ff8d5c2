// SPDX-License-Identifier: Apache-2.0
// The parts of a model that a device holds as one, each with what it weighs, caches and reads for a token.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/kv_cache.h"

namespace bigmodel {

struct PlacementRequest {
  DType dtype = DType::float16;
  bool cast = false;   ///< floating-point tensors of a stated dtype take no more than `dtype` either, as in module_sizes.h
  std::vector<std::pair<std::string, DType>> special_dtypes;  ///< full tensor name -> dtype
  bool saved_only = false;  ///< buffers that files do not have are not counted: an engine makes them as it needs them
  /// Classes that are not split; leaves and tensors of split modules are parts of their own.
  std::vector<std::string> no_split;
  /// Caches of `context` tokens (0: none); `batch` sequences also read their rows of embeddings and hit experts.
  CacheRequest cache;
  /// Weights (full names) of which an engine that streams brings the wanted slices along the first axis, and not the whole: they need no room in its slots,
  /// and modules with stacks of matrices among them are parts of their own.
  std::vector<std::string> sliced;
};

struct PlacementPart {
  /// Modules (or tensors of a split module) in listing order; several where tied tensors keep them together.
  std::vector<std::string> names;
  std::int64_t weights_bytes = 0;   ///< parameters, tied ones once
  std::int64_t buffers_bytes = 0;
  std::int64_t cache_bytes = 0;     ///< of all sequences
  /// Of the weights, what one step of decoding reads: a row a sequence of embeddings, the experts that the sequences are expected to
  /// visit, nothing of encoders and towers beside a decoder, everything of the rest.
  double read_bytes = 0;
  /// Of memory that one slot needs for it where it is streamed: everything but what comes in slices, and one slice of the model's largest stacks.
  std::int64_t slot_bytes = 0;
  /// Comes in slices that are known only when they are wanted: reading them does not overlap with what runs before.
  bool on_demand = false;
};

/// In module order. Throws FormatError where a size does not fit 64 bits, NotFoundError for a special dtype of an unknown tensor.
std::vector<PlacementPart> placement_parts(const MetaGraph& graph, const PlacementRequest& request);

}  // namespace bigmodel
