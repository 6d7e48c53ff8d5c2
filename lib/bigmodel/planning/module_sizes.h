// SPDX-License-Identifier: Apache-2.0
// Sizes of modules and tensors as accelerate 1.15 counts them: each tied tensor once, a bool as an eighth of a byte, a requested dtype
// as a cap on floating-point tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/planning/expanded_graph.h"
#include "bigmodel/planning/reference_number.h"

namespace bigmodel {

using NoSplitClasses = std::set<std::string, std::less<>>;

struct SizeRequest {
  /// What the model is cast to: floating-point tensors take no more than this; whole ones keep their own.
  std::optional<DType> dtype;
  /// Full tensor name -> dtype, whatever `dtype` says. Names that do not exist, or are further names of a tied tensor, are ignored.
  std::vector<std::pair<std::string, DType>> special_dtypes;
  /// Of tensors whose dtype the graph leaves open: how the model was built.
  DType model_dtype = DType::float32;
};

/// The largest layers of some entries: a layer is a tensor, a module without children, or one of a class that is not split.
struct LargestLayers {
  ReferenceNumber bytes = 0;
  std::int64_t count = 0;
};

/// Sizes of every module of a graph. Not changed after construction. Throws FormatError where a size does not fit 60 bits.
class ModuleSizes {
 public:
  /// Keeps references to `graph`. `tied`: MetaGraph::tied.
  ModuleSizes(const ExpandedGraph& graph, const std::vector<std::vector<std::string>>& tied, const SizeRequest& request,
              const NoSplitClasses& no_split = {});

  /// A further name of a tied tensor has size 0.
  ReferenceNumber of(const GraphEntry& entry) const;
  ReferenceNumber total() const { return of({0}); }
  /// Buffers at and below a module; names of special_dtypes count from that module, as they do in the reference.
  ReferenceNumber buffers_of(std::int32_t module) const;
  /// The same with names of special_dtypes counted from the root.
  ReferenceNumber buffers_below(std::int32_t module) const;
  bool is_alias(const GraphEntry& entry) const;
  bool splits(std::int32_t module) const { return (flags_[static_cast<std::size_t>(module)] & kSplits) != 0; }
  /// get_max_layer_size of this one entry.
  LargestLayers largest(const GraphEntry& entry) const;
  /// Appends the names of the layers below `module` that have exactly that size, in order.
  void name_layers(std::int32_t module, const ReferenceNumber& bytes, std::vector<std::string>& names) const;

 private:
  enum : std::uint8_t { kSplits = 1, kFloatSize = 2, kFloatLargest = 4, kFloatBuffers = 8, kIrregular = 16 };
  struct Bits {
    std::int64_t eighths = 0;
    bool is_float = false;
    void add(const Bits& other, std::string_view name);
  };
  Bits tensor_bits(const TensorTemplate& tensor) const;
  Bits bits_as(const TensorTemplate& tensor, DType special) const;
  Bits of_tensor(const GraphEntry& entry) const;
  const DType* special_of(const GraphEntry& entry) const;
  ReferenceNumber special_buffers(std::int32_t module) const;

  const ExpandedGraph& graph_;
  SizeRequest request_;
  std::vector<std::int64_t> eighths_, buffer_eighths_, largest_eighths_;
  std::vector<std::int32_t> largest_count_;
  std::vector<std::uint8_t> flags_;
  std::unordered_map<std::uint64_t, DType> special_;
  std::unordered_map<std::uint64_t, bool> aliases_;
};

/// compute_module_sizes: name -> bytes in order of first appearance, "" first where there is any tensor.
std::vector<std::pair<std::string, ReferenceNumber>> compute_module_sizes(const MetaGraph& graph, const SizeRequest& request,
                                                                          bool buffers_only = false);

struct MaximumSizes {
  ReferenceNumber total_bytes = 0;
  ReferenceNumber largest_bytes = 0;
  std::vector<std::string> layers;  ///< all that reach it, in order
};

/// calculate_maximum_sizes: own dtypes, no-split classes as given.
MaximumSizes calculate_maximum_sizes(const MetaGraph& graph, const NoSplitClasses& no_split);

/// get_max_layer_size of modules (by full name, in order). Throws NotFoundError for a name that is none.
MaximumSizes get_max_layer_size(const MetaGraph& graph, const std::vector<std::string>& modules, const SizeRequest& request,
                                const NoSplitClasses& no_split);

/// Own parameters, child modules and own buffers of the root: what planning starts with.
std::vector<GraphEntry> root_entries(const ExpandedGraph& graph);

}  // namespace bigmodel
