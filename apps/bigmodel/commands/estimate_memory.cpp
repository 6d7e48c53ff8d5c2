// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/core/error.h"
#include "bigmodel/hub/discussion.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/model/compare_tensors.h"
#include "bigmodel/model/gguf_config.h"
#include "commands/estimate_report.h"
#include "commands/estimate_text.h"
#include "commands/hub_access.h"
#include "commands/model_argument.h"
#include "commands/stored_checkpoint.h"
#include "render/digits.h"
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
      {.name = "report",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "also write the running part as one HTML page, with sliders for context, batch and dtype",
       .settable = false},
      {.name = "post-discussion",
       .help = "show the Markdown table as a discussion of the model's repository on the Hub; with --yes, post it",
       .settable = false},
      {.name = "yes", .help = "with --post-discussion: send it", .settable = false},
      format_option({"table", "json", "jsonl", "csv", "markdown", "accelerate"}),
  };
  for (OptionSpec& row : inference_option_rows()) rows.push_back(std::move(row));
  for (OptionSpec& row : training_option_rows()) rows.push_back(std::move(row));
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
           "--train adds what training takes on the fullest device: weights, gradients, optimizer states, activations by published formulas, "
           "logits, what sharding gathers. Up to 80 % of a device counts as fitting.",
           "Diffusers pipelines, sentence-transformers models, adapters and GGUF files, in folders and on the Hub, are priced part by part, as "
           "their files' headers say. A GGUF file's cache is that of the model which its metadata stand for.",
           "A quantised model is also priced as its checkpoint stores it: packed elements, scales and zeros, by the headers of its files "
           "where there are some, else by its quantization_config (GPTQ, AWQ, bitsandbytes, FP8, MXFP4, NVFP4, compressed-tensors, "
           "torchao), skip lists honoured. Without --dtypes that is what running takes."},
      .positionals = {model_positional(true)},
      .options = option_rows(),
      .examples = {{"bigmodel estimate-memory bert-base-cased", "the table of a model of the catalog"},
                   {"bigmodel estimate-memory ./config.json --dtypes float32 bfloat16", "a file, two rows"},
                   {"bigmodel estimate-memory gpt2 bert-base-cased --json", "several models as one JSON array"},
                   {"bigmodel estimate-memory meta-llama/Llama-3.1-8B --context 8192 --device \"RTX 4090\" --solve context",
                    "does it run there, and with which context"},
                   {"bigmodel estimate-memory meta-llama/Llama-3.1-8B --train lora --recompute full --device 24GiB", "can it be tuned there"}}};
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

/// What running a GGUF file takes: its weights as they are, caches by the config that its metadata stand for. Throws what config_of_gguf throws, and
/// UnsupportedError where that config makes another model than the file holds.
InferenceResult gguf_inference(const std::string& argument, const ComponentsResult& components, spec::SpecLibrary& library, const Options& options, Session& session) {
  const FoundModel model{.argument = argument, .source = components.source, .place = argument,
                         .config = config_of_gguf(components.gguf->architecture, components.gguf->facts, argument), .folder = {}};
  StoredEstimate stored;
  stored.weights.method = "gguf";
  stored.weights.bytes = components.bytes();
  stored.compute_dtype = DType::float16;
  InferenceResult out = estimate_inference(library, model, &stored, options, session);
  // A tied output layer may be stored again; tables of frequencies and projectors come on top.
  const ActivationWidths& widths = out.plan->widths();
  const std::int64_t described = out.parameters, held = components.parameters();
  if (held < described - described / 20 || held > described + described / 20 + widths.vocabulary * widths.hidden) {
    throw UnsupportedError(fmt::format("{}: its metadata make a {} of {} parameters, the file has {}: its cache is not told", argument, out.class_name, grouped_digits(described),
                                       grouped_digits(held)),
                           "name the model that it was made of, with its config.json");
  }
  return out;
}

/// What has no config.json of its own: parts, by their headers alone.
EstimateResult components_only(const std::string& argument, ComponentsResult components, spec::SpecLibrary& library, const Options& options, Session& session) {
  const bool runs = asks_for_inference(options, false);
  if (asks_for_training(options) || (runs && !components.gguf)) {
    throw UsageError(fmt::format("{}: priced as stored only, without what running or training takes", argument), "name a model with a config.json");
  }
  EstimateResult result;
  if (runs) {
    result.inference = gguf_inference(argument, components, library, options, session);
    components.assumptions.push_back(fmt::format("caches and activations are those of {}, by the metadata of '{}'", result.inference->class_name, components.gguf->architecture));
    components.warnings.insert(components.warnings.end(), result.inference->warnings.begin(), result.inference->warnings.end());
  }
  result.model.argument = argument;
  result.assumptions = components.assumptions;
  result.assumptions.push_back("each part as its files store it; nothing is scaled");
  result.warnings = result.incomplete = components.warnings;
  result.components = std::move(components);
  result.components_only = true;
  for (const std::string& warning : result.warnings) session.notes.warning(fmt::format("{}: {}", argument, warning));
  return result;
}

/// Without --yes nothing is sent: the title and the text are shown.
ExitStatus post_discussion(const std::vector<EstimateResult>& results, const Options& options, Session& session) {
  if (results.size() != 1) throw UsageError("--post-discussion: one discussion is about one model", "name one model");
  const FoundModel& model = results.front().model;
  if (model.source == "folder" || model.source == "file" || model.source.empty()) {
    throw UsageError(fmt::format("--post-discussion: {} is no repository of the Hub", model.argument), "name the repository");
  }
  HubAccess hub(hub_settings_of(options, session.environment), session);
  const std::string repo = model.repo_id.empty() ? hub_repository(model.argument, options, hub.settings()).id : model.repo_id;
  const std::string title = fmt::format("How much memory {} needs", repo);
  const std::string text = estimate_markdown(results.front());
  if (!options.flag("yes")) {
    session.notes.note(fmt::format("nothing is sent; --yes posts this to {}/{}", hub.settings().endpoint, repo));
    session.out.print("{}\n\n{}", title, text);
    return ExitStatus::done;
  }
  if (hub.settings().offline) throw NetworkError(fmt::format("{}: the network is off ({})", repo, hub.settings().offline_source), "allow the network");
  if (hub.settings().token.empty()) {
    throw AuthorisationError(fmt::format("{}: posting needs a token, and there is none", repo), "set HF_TOKEN, run `hf auth login`, or pass --token-file");
  }
  session.out.line(open_discussion(hub.client(), repo, title, text));
  return ExitStatus::done;
}

ExitStatus run(const Options& options, Session& session) {
  const Format format = output_format(options);
  const std::vector<std::string> models = options.list("MODEL");
  if (std::ranges::count(models, "-") > 1) throw UsageError("-: standard input can be read once", "give it once");
  const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
  std::vector<EstimateResult> results;
  for (const std::string& model : models) results.push_back(estimate_model(model, *library, options, session));
  if (format == Format::accelerate && std::ranges::any_of(results, &EstimateResult::components_only)) {
    throw UsageError("--format accelerate: accelerate has no table of parts", "use table, json, csv or markdown");
  }
  if (options.given("report")) {
    if (results.size() != 1 || !results.front().inference) throw UsageError("--report: one page shows one model with a config.json", "name one model");
    AtomicFile file(options.text("report"));
    file.write(report_page(results.front(), nullptr));
    file.commit();
    session.notes.note(fmt::format("wrote {}", options.text("report")));
  }
  if (options.given("post-discussion")) return post_discussion(results, options, session);
  if (options.given("yes")) throw UsageError("--yes: sends a discussion, and --post-discussion is not given");
  print_estimates(results, format, options.flag("quiet"), session.out);
  const bool complete = std::ranges::all_of(results, [](const EstimateResult& r) { return r.incomplete.empty(); });
  if (options.flag("strict") && !complete) return ExitStatus::answered_no;
  const bool all_fit = std::ranges::all_of(results, [](const EstimateResult& r) {
    return (r.inference || r.training) && (!r.inference || r.inference->fits()) && (!r.training || r.training->fits());
  });
  return options.flag("fits") && !all_fit ? ExitStatus::answered_no : ExitStatus::done;
}

}  // namespace

EstimateResult estimate_model(const std::string& argument, spec::SpecLibrary& library, const Options& options, Session& session) {
  if (auto components = estimate_components(argument, library, options, session)) {
    return components_only(argument, *std::move(components), library, options, session);
  }
  const std::vector<DType> dtypes = options.dtypes("dtypes");
  EstimateResult result;
  try {
    result.model = find_model(argument, library, options, session);
  } catch (const NotFoundError&) {
    // A repository without a config.json may be made of parts.
    std::optional<ComponentsResult> components = hub_components(argument, library, options, session);
    if (!components) throw;
    return components_only(argument, *std::move(components), library, options, session);
  }
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
  if (described) result.prediction = estimate_prediction(library, result.model.config);
  if (const std::int64_t ahead = prediction_layers(result.model.config); ahead > 0) {
    result.assumptions.push_back(ahead == 1 ? "a layer of multi-token prediction may be stored; it is not loaded and not counted"
                                            : fmt::format("{} layers of multi-token prediction may be stored; they are not loaded and not counted", ahead));
  }
  result.assumptions.push_back("every tensor scales with the dtype, buffers too");
  result.assumptions.push_back("training with Adam: four times the total; activations are not counted");
  result.assumptions.push_back("for loading, not inference: inference takes up to 20 % more than the total");
  if (result.model.source == "folder" || result.model.source == "cache") {
    result.components = sentence_components(*folder_files(result.model.folder->empty() ? "." : *result.model.folder));
  } else if (result.model.source == "hub" && wants_exact(options)) {
    const FoundModel& model = result.model;
    result.components = sentence_components(*hub_files({model.repo_id, model.commit, ""}, model.repo_folder, options, session));
  }
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
  const bool trains = asks_for_training(options);
  if (trains) {
    result.training = estimate_training(library, result.model, options);
    for (const std::string& warning : result.training->warnings) result.warnings.push_back(warning);
    for (const std::string& unknown : result.training->rows.front().memory.unknown) result.incomplete.push_back(unknown);
  }
  // --device, --fits and --attention serve both: without --context and its like they are the training's.
  if (asks_for_inference(options, trains)) {
    result.inference = estimate_inference(library, result.model, result.stored ? &*result.stored : nullptr, options, session);
    for (const std::string& warning : result.inference->warnings) result.warnings.push_back(warning);
    for (const std::string& unread : result.inference->unread) result.incomplete.push_back(unread);
    for (const std::string& unknown : result.inference->rows.front().memory.unknown) result.incomplete.push_back(unknown);
  }
  for (const std::string& assumption : graph.assumptions) session.notes.note(fmt::format("{}: {}", argument, assumption));
  for (const std::string& warning : result.warnings) session.notes.warning(fmt::format("{}: {}", argument, warning));
  return result;
}

Command estimate_memory_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
