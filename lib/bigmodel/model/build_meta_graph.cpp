// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/build_meta_graph.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/model/graph_builder.h"
#include "bigmodel/model/prune_heads.h"
#include "bigmodel/model/text_part.h"
#include "bigmodel/model/unknown_keys.h"

namespace bigmodel {
namespace {

/// Python name and class of everything that the model can build by itself.
std::vector<std::pair<std::string, std::string_view>> entries(spec::SpecLibrary& library, const spec::Model& model, GraphBuilder& builder,
                                                              spec::ConfigView& view) {
  std::vector<std::pair<std::string, std::string_view>> out;
  const spec::Frame frame(view);
  for (const std::string_view name : library.class_names(model)) {
    if (library.class_of(model, name).entry) out.emplace_back(builder.python_name(model, name, frame), name);
  }
  return out;
}

const spec::Model& described_model(spec::SpecLibrary& library, const Config& config) {
  if (config.has_auto_map && !library.has(config.model_type)) {
    throw UnsupportedError(
        fmt::format("{}: model type '{}' is remote code (auto_map), which is never executed", config.where, config.model_type),
        "describe it in a file and pass its folder with --arch-dir, or use a folder with the checkpoint");
  }
  const spec::Model& model = library.get(config.model_type, {}, config.where);
  if (model.abstract) throw UnsupportedError(fmt::format("{}: '{}' only serves other model types", config.where, config.model_type));
  return model;
}

std::string_view chosen_class(spec::SpecLibrary& library, const Config& config, const spec::Model& model, GraphBuilder& builder,
                              spec::ConfigView& view, const std::string& wanted) {
  const auto base = library.base(model);
  const bool automatic = wanted == "auto";
  if (wanted == "base" || (automatic && config.architectures.empty())) {
    if (!base) {
      throw NotFoundError(fmt::format("{}: model type '{}' has no base class", config.where, config.model_type),
                          "name a class with --class");
    }
    return *base;
  }
  const std::string& name = automatic ? config.architectures.front() : wanted;
  const auto known = entries(library, model, builder, view);
  for (const auto& [python, cls] : known) {
    if (python == name) return cls;
  }
  std::vector<std::string> names;
  for (const auto& [python, cls] : known) names.push_back(python);
  std::string hint = did_you_mean(name, names);
  if (hint.empty()) hint = fmt::format("known classes: {}", fmt::join(names, ", "));
  throw NotFoundError(fmt::format("{}: model type '{}' has no class '{}'", config.where, config.model_type, name.substr(0, 80)), hint);
}

}  // namespace

namespace {

constexpr std::string_view kPredictionClass = "PredictionLayers";
/// One of them, whatever the type calls it.
constexpr std::string_view kPredictionKeys[] = {"num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers"};

std::int64_t prediction_layers_of(const spec::Map& map) {
  for (const std::string_view key : kPredictionKeys) {
    const spec::Value* value = spec::find(map, key);
    if (value == nullptr || value->if_int() == nullptr) continue;
    return std::max<std::int64_t>(*value->if_int(), 0);
  }
  return 0;
}

/// `cls` of the class names; empty: the class that the options choose.
MetaGraph build_graph(spec::SpecLibrary& library, const Config& config, const BuildOptions& options, std::string_view cls) {
  const spec::Model& model = described_model(library, config);
  spec::Evaluator evaluator(library);
  const auto view = std::make_shared<spec::ConfigView>(evaluator, model, config.data, config.where);
  GraphBuilder builder(library, evaluator, options.disk_rules);
  const bool whole = cls.empty();
  if (whole) cls = chosen_class(library, config, model, builder, *view, options.class_name);
  MetaGraph graph;
  try {
    BuiltModule built = builder.build(model, *view, cls, library.class_of(model, cls).place);
    graph.root = std::move(built.module);
    graph.no_split_modules.assign(built.no_split.begin(), built.no_split.end());
    TiedGroups tied = resolve_ties(*graph.root, built.ties);
    graph.tied = std::move(tied.groups);
    graph.tie_sources = std::move(tied.sources);
  } catch (const spec::SpecError& e) {
    if (builder.failed_at().empty()) throw;
    throw spec::SpecError(fmt::format("{} (in {} of {})", e.plain(), builder.failed_at(), config.where), e.place(), e.hint());
  }
  graph.model_type = config.model_type;
  graph.class_name = graph.root->class_name;
  graph.spec_files = library.source_names();
  graph.stored_dtype = graph.root->stored_dtype;
  report_unknown_keys(*view, graph.notes, graph.warnings);
  if (!whole) return graph;
  if (const HeadsByLayer lost = pruned_heads(config.data, config.where); !lost.empty()) return prune_heads(graph, lost).graph;
  return graph;
}

}  // namespace

MetaGraph build_meta_graph(spec::SpecLibrary& library, const Config& config, const BuildOptions& options) {
  return build_graph(library, config, options, {});
}

std::int64_t prediction_layers(const Config& config) {
  if (const std::int64_t own = prediction_layers_of(config.data); own > 0) return own;
  for (const std::string_view part : kTextParts) {
    const spec::Value* text = spec::find(config.data, part);
    if (text != nullptr && text->if_map() != nullptr) return prediction_layers_of(*text->if_map());
  }
  return 0;
}

std::optional<MetaGraph> build_prediction_graph(spec::SpecLibrary& library, const Config& config) {
  if (prediction_layers(config) == 0 || !library.has(config.model_type)) return std::nullopt;
  const spec::Model& model = described_model(library, config);
  if (std::ranges::find(model.classes, kPredictionClass, &spec::ClassDef::name) == model.classes.end()) return std::nullopt;
  return build_graph(library, config, {}, kPredictionClass);
}

std::vector<std::string> class_names(spec::SpecLibrary& library, const Config& config) {
  const spec::Model& model = described_model(library, config);
  spec::Evaluator evaluator(library);
  const auto view = std::make_shared<spec::ConfigView>(evaluator, model, config.data, config.where);
  GraphBuilder builder(library, evaluator);
  const auto base = library.base(model);
  std::vector<std::string> out;
  for (const auto& [python, cls] : entries(library, model, builder, *view)) {
    if (base && cls == *base) {
      out.insert(out.begin(), python);
    } else {
      out.push_back(python);
    }
  }
  return out;
}

}  // namespace bigmodel
