// SPDX-License-Identifier: Apache-2.0
// A module tree as JSON, so that any PyTorch model can be planned: names, classes, shapes and dtypes, in registration order.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

struct GraphJson {
  MetaGraph graph;
  /// The model's config promises tied weights (a warning is due where the tree has none).
  bool config_says_tied = false;
};

/// {"name": "", "class": "Root", "parameters": [[name, shape, dtype]], "buffers": [[name, shape, dtype, persistent]], "children": [...],
/// "ties": [[full names]]}; "params" is another name for "parameters". Or {"graph_json" or "graph": that, "ties", "no_split_modules",
/// "model_type", "class", "config_says_tied"}. Without a dtype a tensor follows the model's. Keys not known are ignored.
/// Throws FormatError naming the module: wrong kinds, empty names or such with a dot, a name given twice in one module, unknown dtypes,
/// sizes that do not fit, ties of names that are no parameters, differ in shape or dtype or stand in two groups. Nesting and size are
/// bounded by the JSON's (io/json.h).
GraphJson parse_graph_json(const nlohmann::ordered_json& value, const std::string& object);

/// The same form from a graph; open dtypes are written as `model_dtype`.
nlohmann::ordered_json to_graph_json(const MetaGraph& graph, DType model_dtype);

}  // namespace bigmodel
