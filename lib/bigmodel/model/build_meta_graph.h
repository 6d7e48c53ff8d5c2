// SPDX-License-Identifier: Apache-2.0
// config.json + description -> meta graph.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/model/config.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/spec/spec_library.h"

namespace bigmodel {

struct BuildOptions {
  /// "base": what AutoModel builds; "auto": the class that the config's `architectures` names; else a class by its Python name.
  std::string class_name = "base";
  /// Whether modules say how their tensors lie in files (ModuleTemplate::disk). Sizes and names do not need it.
  bool disk_rules = true;
};

/// Evaluates the description of config.model_type. Repeated children are built once (section 11 of docs/architecture-language.md).
/// Throws UnsupportedError (unknown type, by name, with near ones), NotFoundError (no such class), SpecError (a description or a
/// config that it cannot take; the message names the chain of modules). Heads that the config's `pruned_heads` names are not there, as in
/// transformers 4 (5 reads it no more, and cannot load such a checkpoint).
/// Limits: 2 M modules expanded, 100 k templates, 64 levels, sizes below 2^63 elements, 50 M steps.
MetaGraph build_meta_graph(spec::SpecLibrary& library, const Config& config, const BuildOptions& options = {});

/// How many layers of multi-token prediction the config, or its text part, says that a checkpoint keeps beside the model. They are
/// never part of the model.
std::int64_t prediction_layers(const Config& config);

/// Those layers by their names in files: the class PredictionLayers of the type's own description, which its parents' do not stand for.
/// nullopt where the config states none or the description does not know them. Throws as build_meta_graph.
std::optional<MetaGraph> build_prediction_graph(spec::SpecLibrary& library, const Config& config);

/// Python names of every class that the type's description can build, base first.
std::vector<std::string> class_names(spec::SpecLibrary& library, const Config& config);

}  // namespace bigmodel
