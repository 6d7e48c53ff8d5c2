// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/compare_tensors.h"
#include "commands/estimate_text.h"
#include "commands/model_argument.h"
#include "commands/stored_checkpoint.h"
#include "render/format.h"

namespace bigmodel::app {
namespace {

std::vector<OptionSpec> option_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "dtypes",
       .letter = 'd',
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "the rows and their order",
       .default_text = "float32 float16 int8 int4",
       .list = ListStyle::spaces,
       .more = "Any of PyTorch's names is taken, and int4."},
      exact_option(),
      {.name = "strict", .help = "exit with 1 where the estimate is incomplete", .more = "Where a quantisation method, a layer's cache or a structural key of the config is not known."},
      format_option({"table", "json", "jsonl", "csv", "markdown", "accelerate"}),
  };
  for (OptionSpec& row : inference_option_rows()) rows.push_back(std::move(row));
  for (OptionSpec& row : model_option_rows()) rows.push_back(std::move(row));
  return rows;
}

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "estimate-memory",
      .summary = "how much memory a model needs",
      .description =
          {"For each dtype: the largest layer (or group of layers that must stay together), the whole model, and training "
           "with Adam (weights, gradients and two moments: four times the total). The numbers equal those of accelerate "
           "estimate-memory to the byte; --format accelerate prints its own table letter by letter.",
           "Sizes are for loading. Inference takes up to 20 % more than the total, by the documentation of accelerate's "
           "estimator: https://huggingface.co/docs/accelerate/usage_guides/model_size_estimator.",
           "--context, --device and the options around them add what running takes: weights as they are loaded, the KV cache layer by "
           "layer (windows, shared and latent caches, recurrent states), activations and the runtime's own memory, with bounds where a "
           "figure is not exact; whether it fits a device, and what would.",
           "A quantised model is also priced as its checkpoint stores it: packed elements, scales and zeros, by the headers of its files "
           "where there are some, else by its quantization_config (GPTQ, AWQ, bitsandbytes, FP8, MXFP4, NVFP4, compressed-tensors, "
           "torchao), skip lists honoured. Without --dtypes that is what running takes."},
      .positionals = {model_positional(true)},
      .options = option_rows(),
      .examples = {{"bigmodel estimate-memory bert-base-cased", "the table of a model of the catalog"},
                   {"bigmodel estimate-memory ./config.json --dtypes float32 bfloat16", "a file, two rows"},
                   {"bigmodel estimate-memory gpt2 bert-base-cased --json", "several models as one JSON array"},
                   {"bigmodel estimate-memory meta-llama/Llama-3.1-8B --context 8192 --device \"RTX 4090\" --solve context",
                    "does it run there, and with which context"}}};
  return kSpec;
}

/// The class that the checkpoint itself names, where that is another one than the table's.
std::optional<CheckpointClass> checkpoint_class(spec::SpecLibrary& library, const FoundModel& model,
                                                const MetaGraph& graph, DType first_dtype, Session& session) {
  if (model.config.architectures.empty() || model.config.architectures.front() == graph.class_name) return std::nullopt;
  try {
    const MetaGraph other = build_meta_graph(library, model.config, {.class_name = "auto", .disk_rules = false});
    if (other.class_name == graph.class_name) return std::nullopt;
    const DType dtypes[] = {first_dtype};
    return CheckpointClass{other.class_name, graph_totals(other).parameters,
                           estimate_memory(other, dtypes).dtypes.front().total_bytes};
  } catch (const NotFoundError& e) {
    session.notes.detail(e.what());  // a class that the description does not have says nothing about this one
    return std::nullopt;
  }
}

std::string first_names(const std::vector<std::string>& names) {
  const std::size_t shown = std::min<std::size_t>(names.size(), 3);
  return fmt::format("{} ({}{})", names.size(), fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     names.size() > shown ? ", ..." : "");
}

/// Where weights lie beside the config: whether their headers agree with the graph. Packed weights of a quantised checkpoint never
/// do, so those are left alone. A broken checkpoint does not stop an estimate that needs none.
void compare_with_checkpoint(EstimateResult& result, spec::SpecLibrary& library) {
  const FoundModel& model = result.model;
  if ((!model.folder && model.checkpoint == nullptr) || !model.config.quantization_method.empty()) return;
  try {
    const Checkpoint checkpoint = model.checkpoint != nullptr ? *model.checkpoint : open_checkpoint(checkpoint_folder(model));
    const MetaGraph graph = build_checkpoint_graph(library, model.config);
    const std::vector<TensorInfo> tensors(checkpoint.tensors.begin(), checkpoint.tensors.end());
    const TensorComparison comparison = compare_tensors(graph, tensors);
    if (comparison.agrees()) {
      result.assumptions.push_back(fmt::format("the checkpoint's headers agree: {} tensors of {}", comparison.equal, graph.class_name));
      return;
    }
    std::vector<std::string> parts;
    if (!comparison.missing.empty()) parts.push_back("missing " + first_names(comparison.missing));
    if (!comparison.unexpected.empty()) parts.push_back("unexpected " + first_names(comparison.unexpected));
    if (!comparison.reshaped.empty()) parts.push_back("of another shape " + first_names(comparison.reshaped));
    result.warnings.push_back(fmt::format("the checkpoint disagrees with {}: {}", graph.class_name, fmt::join(parts, "; ")));
  } catch (const NotFoundError&) {
    return;  // no weights here
  } catch (const Error& e) {
    result.warnings.push_back(fmt::format("the checkpoint beside the config cannot be compared: {}", e.what()));
  }
}

EstimateResult estimate(const std::string& argument, spec::SpecLibrary& library, const Options& options,
                        Session& session) {
  const std::vector<DType> dtypes = options.dtypes("dtypes");
  EstimateResult result;
  result.model = find_model(argument, library, options, session);
  const MetaGraph graph = build_graph(library, result.model, {.class_name = options.text("class"), .disk_rules = false}, session);
  const GraphTotals totals = graph_totals(graph);
  result.model_type = graph.model_type;
  result.class_name = graph.class_name;
  result.parameters = totals.parameters;
  result.buffers = totals.buffers;
  result.tensors = totals.tensors;
  result.estimate = estimate_memory(graph, dtypes);
  result.assumptions = graph.assumptions;
  const bool described = graph.assumptions.empty();
  if (described && options.text("class") == "base") {
    result.checkpoint_class = checkpoint_class(library, result.model, graph, dtypes.front(), session);
    result.assumptions.push_back(fmt::format("class {}: what AutoModel builds", graph.class_name));
  }
  result.assumptions.push_back("every tensor scales with the dtype, buffers too");
  result.assumptions.push_back("training with Adam: four times the total; activations are not counted");
  result.assumptions.push_back("for loading, not inference: inference takes up to 20 % more than the total");
  if (described) result.stored = estimate_stored(library, result.model);
  result.warnings = result.stored ? graph.warnings : model_warnings(result.model, graph);
  result.incomplete = graph.warnings;
  if (result.stored) {
    result.warnings.insert(result.warnings.end(), result.stored->warnings.begin(), result.stored->warnings.end());
    for (const std::string& unknown : result.stored->weights.unknown) {
      result.incomplete.push_back(fmt::format("{} is not known", unknown));
      result.warnings.push_back(fmt::format("estimate incomplete: {} is not known; weights are priced as before quantisation", unknown));
    }
  }
  if (described) compare_with_checkpoint(result, library);
  if (asks_for_inference(options)) {
    result.inference = estimate_inference(library, result.model, result.stored ? &*result.stored : nullptr, options, session);
    for (const std::string& warning : result.inference->warnings) result.warnings.push_back(warning);
    for (const std::string& unknown : result.inference->rows.front().memory.unknown) result.incomplete.push_back(unknown);
  }
  for (const std::string& assumption : graph.assumptions) session.notes.note(fmt::format("{}: {}", argument, assumption));
  for (const std::string& warning : result.warnings) session.notes.warning(fmt::format("{}: {}", argument, warning));
  return result;
}

ExitStatus run(const Options& options, Session& session) {
  const Format format = output_format(options);
  const std::vector<std::string> models = options.list("MODEL");
  if (std::ranges::count(models, "-") > 1) throw UsageError("-: standard input can be read once", "give it once");
  const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
  std::vector<EstimateResult> results;
  for (const std::string& model : models) results.push_back(estimate(model, *library, options, session));
  print_estimates(results, format, options.flag("quiet"), session.out);
  const bool complete = std::ranges::all_of(results, [](const EstimateResult& r) { return r.incomplete.empty(); });
  if (options.flag("strict") && !complete) return ExitStatus::answered_no;
  const bool all_fit = std::ranges::all_of(results, [](const EstimateResult& r) { return r.inference && r.inference->fits(); });
  return options.flag("fits") && !all_fit ? ExitStatus::answered_no : ExitStatus::done;
}

}  // namespace

Command estimate_memory_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
