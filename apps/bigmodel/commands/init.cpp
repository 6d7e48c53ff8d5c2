// SPDX-License-Identifier: Apache-2.0
#include "commands/init.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/quantization_config.h"
#include "bigmodel/model/text_part.h"
#include "commands/init_tensors.h"
#include "commands/model_argument.h"
#include "commands/model_json.h"
#include "commands/shard_text.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::vector<OptionSpec> option_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "output",
       .letter = 'o',
       .kind = ValueKind::path,
       .value_name = "FOLDER",
       .help = "where to write",
       .more = "Without it ./NAME, NAME being the last part of MODEL's name, and ./NAME-random of a folder or file NAME.",
       .settable = false},
      {.name = "dtype",
       .letter = 'd',
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "of the floating-point tensors; without it the config's own, else float32"},
      {.name = "seed", .kind = ValueKind::integer, .value_name = "N", .help = "another number gives other weights, the same one the same", .default_text = "0"},
      {.name = "max-shard-size", .letter = 's', .kind = ValueKind::size, .value_name = "SIZE", .help = "the most bytes of tensors in one file", .default_text = "10GB"},
      {.name = "format",
       .letter = 'f',
       .kind = ValueKind::choice,
       .value_name = "FORMAT",
       .help = "the container to write",
       .default_text = "safetensors",
       .choices = {"safetensors", "bin"}},
      {.name = "buffers",
       .kind = ValueKind::text,
       .value_name = "NAME",
       .help = "write these buffers too, though the class does not save them",
       .list = ListStyle::commas,
       .more = "Releases of old saved more: embeddings.position_ids of bert is one.",
       .settable = false},
      {.name = "force", .help = "replace the weights that are in the output folder", .settable = false},
      {.name = "resume", .help = "go on where an interrupted run of the same job stopped", .settable = false},
      {.name = "dry-run", .letter = 'n', .help = "print the plan and write nothing", .settable = false},
  };
  for (OptionSpec& row : model_option_rows()) rows.push_back(std::move(row));
  return rows;
}

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "init",
      .summary = "write a checkpoint of random weights",
      .description = {"Writes the files that an untrained model would be saved as: every tensor of the class by name, shape and dtype, and a config.json. "
                      "For trying out sharding, device maps and runs without a download. Weights are drawn with the config's initializer_range; norms start "
                      "at 1, biases at 0. Nothing is held: a model of any size takes the memory of a few chunks, and the same seed gives the same bytes.",
                      "The weights are no model's: what such a model says means nothing."},
      .positionals = {model_positional(false)},
      .options = option_rows(),
      .examples = {{"bigmodel init bert-base-cased", "433 MB of bert in ./bert-base-cased"},
                   {"bigmodel init ./config.json --dtype bfloat16 --seed 7 --output ./tiny", "a model of your own shape"},
                   {"bigmodel init mistralai/Mixtral-8x7B-v0.1 --class auto --dry-run", "what the files of Mixtral would be"}},
      .stoppable = true};
  return kSpec;
}

fs::path default_output(const FoundModel& model) {
  std::string name = model.argument;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  if (model.source == "folder" || model.source == "file") {
    std::error_code error;
    fs::path path = fs::weakly_canonical(name, error);
    if (model.source == "file") path = name == "-" ? fs::path("model") : path.filename() == "config.json" ? path.parent_path() : path.stem();
    return fmt::format("{}-random", path.filename().string());
  }
  name = name.substr(0, name.find('@'));
  name = name.substr(name.rfind('/') + 1);
  return name.empty() || name.starts_with('.') ? "model" : name;
}

/// The config as it was given, but for what the new files decide: class, dtype, no quantisation.
std::string config_text(const Config& config, const MetaGraph& graph, DType dtype, std::vector<std::string>& warnings) {
  Json json = Json::parse(config.text);
  if (config.library == "transformers") {
    json["architectures"] = {graph.class_name};
    json[json.contains("torch_dtype") ? "torch_dtype" : "dtype"] = name(dtype);
    bool quantised = false;
    for (const std::string_view key : kQuantizationKeys) {
      quantised = json.erase(std::string(key)) > 0 || quantised;
      for (const std::string_view part : kTextParts) {
        const auto text = json.find(part);
        if (text != json.end() && text->is_object()) quantised = text->erase(std::string(key)) > 0 || quantised;
      }
    }
    if (quantised) {
      warnings.push_back(fmt::format("the weights are not quantised ({}); quantization_config is left out of config.json", config.quantization_method));
    }
  }
  return json.dump(2) + "\n";
}

ExitStatus run(const Options& options, Session& session) {
  if (options.flag("force") && options.flag("resume")) throw UsageError("--force: contradicts --resume", "give one of them");
  const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
  const FoundModel model = find_model(options.text("MODEL"), *library, options, session);
  const MetaGraph graph = build_graph(*library, model, {.class_name = options.text("class")}, session);
  const std::optional<DType> wanted = options.find_dtype_value("dtype");
  const DType dtype = wanted.value_or(graph.stored_dtype.value_or(DType::float32));
  if (!is_floating_point(dtype)) throw UsageError(fmt::format("--dtype: {} is no floating-point type", name(dtype)));
  std::vector<std::string> assumptions = graph.assumptions;
  if (!wanted && !graph.stored_dtype) assumptions.push_back("float32, as the config states no dtype");
  for (const std::string& assumption : graph.assumptions) session.notes.note(assumption);

  const std::int64_t seed = options.find_integer("seed").value_or(0);
  const InitOptions init{.dtype = dtype, .deviation = init_deviation(model.config), .buffers = options.list("buffers")};
  const Checkpoint checkpoint = random_checkpoint(init_tensors(graph, init), static_cast<std::uint64_t>(seed));
  ShardOptions shape;
  shape.max_shard_size_bytes = parse_max_shard_size(options.text("max-shard-size"), "--max-shard-size");
  shape.format = options.text("format") == "bin" ? OutputFormat::bin : OutputFormat::safetensors;
  ShardJob job = plan_shard_job(checkpoint, shape);
  job.warnings.insert(job.warnings.begin(), graph.warnings.begin(), graph.warnings.end());
  job.side_texts.emplace_back("config.json", config_text(model.config, graph, dtype, job.warnings));

  Json head = model_json("init", model, graph);
  head["dtype"] = name(dtype);
  head["seed"] = seed;
  head["parameters"] = graph_totals(graph).parameters;
  head["assumptions"] = assumptions;
  const fs::path output = options.given("output") ? fs::path(options.text("output")) : default_output(model);
  ShardResult result{.head = head, .output = output.string(), .max_shard_size_bytes = shape.max_shard_size_bytes, .job = &job, .report = std::nullopt, .warnings = job.warnings};
  if (!options.flag("dry-run")) {
    const WriteOptions write{.output = output, .force = options.flag("force"), .resume = options.flag("resume"), .copy = {}};
    if (write.force) finish_interrupted_run(output, session);
    result.report = write_with_progress(checkpoint, job, write, output, session);
    result.warnings = result.report->warnings;
  }
  for (const std::string& warning : result.warnings) session.notes.warning(warning);
  print_shards(result, options.flag("json"), options.flag("quiet"), session.out);
  return ExitStatus::done;
}

}  // namespace

Command init_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
