// SPDX-License-Identifier: Apache-2.0
// `run --quantize`: which weights are put into blocks of integers while they are loaded.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

class Module;

/// Layers of the model: modules that are not split, and those whose role ends in "_layer". They are streamed and quantised as wholes.
bool is_layer(const Module& module, const MetaGraph& graph);

/// Full names, in module order, of the weights that may be quantised: matrices of linear modules and of stacked experts inside layers, whose rows are
/// whole blocks (32 values). Embeddings, heads, routers, norms, biases, convolutions, weights of a stated dtype, tied ones and transposed matrices are left as they are, as
/// transformers' bitsandbytes leaves the head (modules_to_not_convert). Throws UnsupportedError as check_runnable does.
std::vector<std::string> quantizable_weights(const MetaGraph& graph);
/// The same of the graph's tree, where its blocks are bound already.
std::vector<std::string> quantizable_weights(Module& root, const MetaGraph& graph);

}  // namespace bigmodel
