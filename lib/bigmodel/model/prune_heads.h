// SPDX-License-Identifier: Apache-2.0
// Attention heads that are taken out of a graph: which rows and columns go, and what the model is like afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/spec/value.h"

namespace bigmodel {

/// Layer -> heads, both numbered from 0 as in the model before any pruning (transformers 4's `config.pruned_heads`).
using HeadsByLayer = std::map<std::int64_t, std::set<std::int64_t>>;

/// "0:1,3;5:0". Throws UsageError.
HeadsByLayer parse_heads(std::string_view text);

/// `pruned_heads` of a config; empty where it states none. Throws FormatError for anything but an object of lists of whole numbers.
HeadsByLayer pruned_heads(const spec::Map& config, std::string_view where);

/// What stays of one tensor: ranges [begin, end) along an axis, ascending.
struct HeadCut {
  std::string name;                  ///< dotted, in memory
  std::size_t axis = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> kept;
};

/// An attention that lost heads, and what it has now.
struct PrunedAttention {
  std::string name;                  ///< of the module
  std::int64_t heads = 0, kv_heads = 0;
};

struct PrunedGraph {
  MetaGraph graph;
  std::vector<HeadCut> cuts;
  std::vector<PrunedAttention> attentions;
};

/// Takes heads out of the self-attention of the model's one stack of layers. `already` were taken out of `graph` before; those of them that are
/// named again are passed over, as transformers does. Heads that share keys and values (grouped-query attention) go together or not at all.
/// Throws UsageError (no such layer or head; a layer without any head left), UnsupportedError where the roles do not say how the heads lie, or
/// something beside the projections is made for each head (alibi, tables of relative positions).
PrunedGraph prune_heads(const MetaGraph& graph, const HeadsByLayer& heads, const HeadsByLayer& already = {});

}  // namespace bigmodel
