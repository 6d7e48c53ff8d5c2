// SPDX-License-Identifier: Apache-2.0
#include "commands/run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/engine/auto_device_map.h"
#include "bigmodel/engine/tensor_file.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "commands/demo_model.h"
#include "commands/device_map_arguments.h"
#include "commands/model_argument.h"
#include "commands/run_prompt.h"
#include "commands/run_text.h"
#include "commands/run_tokenizer.h"

namespace bigmodel::app {
namespace {

constexpr std::string_view kDemoPrompt = "One morning, Ben went to";
constexpr std::uint64_t kIdsLimitBytes = std::uint64_t{64} << 20;

std::vector<OptionSpec> option_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "prompt",
       .letter = 'p',
       .kind = ValueKind::text,
       .value_name = "TEXT",
       .help = "the prompt; - reads standard input",
       .more = "Tokens are chosen as generation_config.json says, and the text is printed as it comes. Without MODEL and without a prompt the "
               "demo model continues one of its own.",
       .settable = false},
      {.name = "ids", .kind = ValueKind::text, .value_name = "IDS", .help = "the prompt as token ids, such as 1,15,7", .settable = false},
      {.name = "ids-file",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "prompts as token ids from a JSON file",
       .more = "A list of lists, or {\"input_ids\", \"attention_mask\"}. With token ids in, an end-of-sequence token does not end the output: "
               "exactly --max-new-tokens come out.",
       .settable = false},
      {.name = "greedy", .help = "take the likeliest token in each step, whatever generation_config.json says"},
      {.name = "seed", .kind = ValueKind::integer, .value_name = "N", .help = "of the draws, where tokens are drawn", .default_text = "0"},
      {.name = "max-new-tokens",
       .kind = ValueKind::integer,
       .value_name = "N",
       .help = "stop after N new tokens; 0 runs the prompt only",
       .default_text = "128"},
      {.name = "logits",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "write the prompt's logits [batch, length, vocabulary] in float32 to a safetensors file",
       .more = "Models that do not generate write every output under the reference's names.",
       .settable = false},
      {.name = "input",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "named input tensors from a safetensors file, for encoders and encoder-decoders",
       .more = "input_ids, attention_mask and token_type_ids of text encoders; pixel_values of vision models; input_ids or input_features of encoder-decoders, whose decoder "
               "then continues from its start token unless decoder_input_ids are given too.",
       .settable = false},
      {.name = "dtype",
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "what the weights are run in: float32, bfloat16 or float16; without it as they are stored"},
      {.name = "threads",
       .kind = ValueKind::integer,
       .value_name = "N",
       .help = "threads that compute; without it as many as this process may use"},
      {.name = "device-map",
       .kind = ValueKind::text,
       .value_name = "MAP",
       .help = "where weights lie: auto, cpu, disk, or JSON such as {\"model.layers.0\": \"cpu\", \"\": \"disk\"}",
       .default_text = "auto",
       .more = "auto keeps in RAM what fits beside caches and activations, and streams the rest, spread evenly between."},
      {.name = "max-memory",
       .kind = ValueKind::text,
       .value_name = "DEVICE=SIZE",
       .help = "with --device-map auto: how much RAM may be taken, such as cpu=8GiB",
       .list = ListStyle::commas},
  };
  for (OptionSpec& row : model_option_rows("auto")) rows.push_back(std::move(row));
  return rows;
}

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "run",
      .summary = "run a model from its own files, in RAM or streamed from disk",
      .description = {"Builds the model from its config.json and the roles of its description, reads the weights from its checkpoint files and "
                      "continues the prompt. Weights on \"disk\" are streamed from those files in every pass; the result does not depend on "
                      "where they lie. Types whose description does not say all that is needed are refused by name.",
                      "Without MODEL a small model inside the program runs."},
      .positionals = {[] {
        OptionSpec model = model_positional(false);
        model.required = false;
        return model;
      }()},
      .options = option_rows(),
      .examples = {{"bigmodel run -p \"One morning, Ben went to\"", "the built-in model tells a story"},
                   {"bigmodel run ./model -p - < prompt.txt", "a prompt from a file"},
                   {"bigmodel run --ids 1,49,80,265 --max-new-tokens 8 --json", "the built-in model, from token ids"},
                   {"bigmodel run ./model --ids-file prompts.json --greedy --logits out.safetensors", "scores of every token of the prompts"},
                   {"bigmodel run ./model --ids 1,2,3 --device-map disk", "with no weights kept in memory"}},
      .stoppable = true};
  return kSpec;
}

/// RAM as far as --max-memory or the machine goes, then disk.
DeviceMap auto_map(const Options& options, const MetaGraph& graph, DType dtype, std::int64_t tokens, std::int64_t sequences) {
  // A tenth stays free for what is not counted: the program itself, files being read.
  auto ram = static_cast<std::int64_t>(read_machine_info().memory.usable_bytes() / 10 * 9);
  if (options.given("max-memory")) {
    ram = 0;
    for (const auto& [device, budget] : parse_budgets(options.list("max-memory"), DevicePolicy::optimal)) {
      if (to_string(device) == "cpu") ram = std::get<std::int64_t>(budget);
      else if (to_string(device) != "disk") throw DeviceError(fmt::format("--max-memory: there is no device '{}': this build runs on the CPU", to_string(device)), "use cpu");
    }
  }
  return auto_device_map(graph, {.dtype = dtype, .ram_bytes = ram, .context = tokens, .batch = std::max<std::int64_t>(sequences, 1)});
}

DeviceMap device_map_of(const std::string& text) {
  if (text == "cpu" || text == "disk") return {{"", text}};
  if (!text.starts_with('{')) throw UsageError(fmt::format("--device-map: expected cpu, disk, auto or a JSON object, got '{}'", text.substr(0, 60)));
  const nlohmann::ordered_json json = parse_json(text, "--device-map");
  DeviceMap out;
  for (const auto& [module, device] : json.items()) {
    if (device.is_string()) {
      out.emplace_back(module, device.get<std::string>());
    } else if (device.is_number_integer()) {
      out.emplace_back(module, device.get<std::int64_t>());
    } else {
      throw UsageError(fmt::format("--device-map: the device of '{}' is {}, expected a text or a number", module, device.dump().substr(0, 40)));
    }
  }
  return out;
}

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

FoundModel demo_model() {
  FoundModel out;
  out.argument = "demo";
  out.source = "embedded";
  out.place = "the demo model of the program";
  out.config = parse_config(demo_file("config.json"), "config.json of the demo model");
  return out;
}

DType run_dtype(const Options& options, const MetaGraph& graph, const Checkpoint& checkpoint, RunResult& result) {
  if (const auto wanted = options.find_dtype_value("dtype")) {
    if (*wanted != DType::float32 && *wanted != DType::bfloat16 && *wanted != DType::float16) {
      throw UsageError(fmt::format("--dtype: weights are not run in {}, expected float32, bfloat16 or float16", name(*wanted)));
    }
    return *wanted;
  }
  for (const CheckpointTensor& t : checkpoint.tensors) {
    if (t.dtype == DType::float32 || t.dtype == DType::bfloat16 || t.dtype == DType::float16) {
      result.assumptions.push_back(fmt::format("{}, as the weights are stored", name(t.dtype)));
      return t.dtype;
    }
  }
  return graph.stored_dtype.value_or(DType::float32);
}

/// Prompts of ids as an encoder's inputs: padding goes behind the tokens there.
std::map<std::string, Tensor> inputs_of(const TokenBatch& prompt) {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> mask;
  for (std::int64_t r = 0; r < prompt.rows; ++r) {
    const auto first = static_cast<std::size_t>(r * prompt.length);
    std::size_t padding = 0;
    while (!prompt.valid.empty() && padding < static_cast<std::size_t>(prompt.length) && prompt.valid[first + padding] == 0) ++padding;
    for (std::size_t c = 0; c < static_cast<std::size_t>(prompt.length); ++c) {
      const bool token = c + padding < static_cast<std::size_t>(prompt.length);
      ids.push_back(prompt.ids[first + (token ? c + padding : c + padding - static_cast<std::size_t>(prompt.length))]);
      mask.push_back(token ? 1 : 0);
    }
  }
  return {{"input_ids", Tensor::of_ids({prompt.rows, prompt.length}, ids)}, {"attention_mask", Tensor::of_ids({prompt.rows, prompt.length}, mask)}};
}

int thread_count(const Options& options) {
  const std::int64_t wanted = options.find_integer("threads").value_or(0);
  if (options.given("threads") && (wanted < 1 || wanted > 1024)) throw UsageError(fmt::format("--threads: {}, expected 1 to 1024", wanted));
  return wanted > 0 ? static_cast<int>(wanted) : std::clamp(read_machine_info().processor.usable_count, 1, 1024);
}

/// The id that starts a decoder: of generation_config.json, else of the config.
std::int64_t start_id(const FoundModel& model) {
  std::vector<nlohmann::ordered_json> files;
  if (model.folder && std::filesystem::exists(*model.folder / "generation_config.json")) files.push_back(read_json_file(*model.folder / "generation_config.json"));
  if (model.folder && std::filesystem::exists(*model.folder / "config.json")) files.push_back(read_json_file(*model.folder / "config.json"));
  for (const char* key : {"decoder_start_token_id", "bos_token_id"}) {
    for (const nlohmann::ordered_json& json : files) {
      if (json.is_object() && json.contains(key) && json[key].is_number_integer()) return json[key].get<std::int64_t>();
    }
  }
  throw FormatError(fmt::format("{}: neither its config nor its generation_config says which token starts the decoder (decoder_start_token_id)", model.config.where));
}

/// An encoder's inputs with a decoder that starts with one id.
TokenBatch decoder_start(std::map<std::string, Tensor> inputs, std::int64_t start) {
  TokenBatch out;
  for (const auto& [name, tensor] : inputs) {
    if (name == "input_ids" || name == "input_features") {
      out.encoder_input = tensor;
    } else if (name == "attention_mask" && tensor.dtype() == DType::int64) {
      for (std::int64_t i = 0; i < tensor.count(); ++i) out.encoder_valid.push_back(tensor.i64()[i] != 0 ? 1 : 0);
    } else {
      throw UsageError(fmt::format("input '{}': the model takes none of that name", name));
    }
  }
  const Tensor& in = out.encoder_input;
  const bool ids = !in.empty() && in.dtype() == DType::int64;
  if (in.empty() || in.count() == 0 || (ids && in.shape().size() != 2)) throw UsageError("inputs: expected input_ids [batch, length] or input_features for the encoder");
  if (!out.encoder_valid.empty() && (!ids || static_cast<std::int64_t>(out.encoder_valid.size()) != in.count())) {
    throw UsageError("input 'attention_mask': another shape than input_ids");
  }
  out.rows = in.shape().front();
  out.length = 1;
  out.ids.assign(static_cast<std::size_t>(out.rows), start);
  return out;
}

ExitStatus run(const Options& options, Session& session) {
  RunResult result;
  const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
  std::optional<DemoCheckpoint> demo;
  if (options.given("MODEL")) {
    result.model = find_model_with_weights(options.text("MODEL"), *library, options, session);
  } else {
    demo.emplace();
    result.model = demo_model();
    session.notes.note("no MODEL: running the demo model of the program");
  }
  if (!result.model.config.quantization_method.empty()) {
    throw UnsupportedError(fmt::format("{}: quantised by '{}', which is not run yet", result.model.config.where, result.model.config.quantization_method));
  }
  if (!demo && !result.model.folder) {
    throw NotFoundError(fmt::format("{}: only its config is known, there are no weights", result.model.argument), "name a folder with a checkpoint");
  }
  MetaGraph graph = build_graph(*library, result.model, {.class_name = options.text("class")}, session);
  check_runnable(graph);
  result.warnings = model_warnings(result.model, graph);
  for (const std::string& warning : result.warnings) session.notes.warning(warning);

  const std::int64_t pad_id = 0;
  const int prompts = int{options.given("prompt")} + int{options.given("ids")} + int{options.given("ids-file")} + int{options.given("input")};
  const bool own_prompt = demo && prompts == 0;
  if (prompts != 1 && !own_prompt) throw UsageError("run: expected a prompt", "give one of --prompt, --ids, --ids-file and --input");
  const bool text = options.given("prompt") || own_prompt;
  std::optional<tokenizer::Tokenizer> tokenizer;
  const bool pair = is_encoder_decoder(graph);
  const bool generating = generates(graph) && (!options.given("input") || pair);
  std::map<std::string, Tensor> inputs;
  if (text) {
    tokenizer = run_tokenizer(result.model, demo.has_value());
    const std::string prompt = own_prompt ? std::string(kDemoPrompt) : prompt_text(options.text("prompt"));
    if (own_prompt) session.notes.note(fmt::format("no prompt: \"{}\"", kDemoPrompt));
    std::vector<std::int64_t> ids;
    for (const std::uint32_t id : tokenizer->encode({prompt, {}}, {.ids_only = true}).ids) ids.push_back(id);
    if (ids.empty()) throw UsageError("--prompt: there is no text");
    result.prompt = pad_left({ids}, pad_id);
  } else if (options.given("input")) {
    inputs = read_tensor_file(options.text("input"));
  } else if (options.given("ids")) {
    result.prompt = pad_left({parse_ids(options.text("ids"))}, pad_id);
  } else {
    const std::string file = options.text("ids-file");
    result.prompt = parse_ids_json(read_file(file, kIdsLimitBytes), file, pad_id);
  }

  if (pair && !inputs.contains("decoder_input_ids")) {
    if (!options.given("input")) inputs = inputs_of(result.prompt);
    result.prompt = decoder_start(std::move(inputs), start_id(result.model));
    inputs.clear();
  }

  Checkpoint checkpoint = open_checkpoint(demo ? demo->path() : *result.model.folder);
  for (const std::string& note : checkpoint.notes) session.notes.detail(note);
  result.dtype = run_dtype(options, graph, checkpoint, result);
  ThreadPool pool(thread_count(options));
  const auto start = std::chrono::steady_clock::now();
  DispatchOptions dispatch;
  dispatch.device_map = options.text("device-map") == "auto"
                            ? auto_map(options, graph, result.dtype, result.prompt.length + options.find_integer("max-new-tokens").value_or(128), result.prompt.rows)
                            : device_map_of(options.text("device-map"));
  dispatch.dtype = result.dtype;
  dispatch.work = session.work;
  dispatch.pool = &pool;
  const std::unique_ptr<LoadedModel> model = load_checkpoint_and_dispatch(std::move(graph), std::move(checkpoint), dispatch);
  result.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  session.progress.clear();
  for (const std::string& name : model->weights().unexpected()) session.notes.detail(fmt::format("the checkpoint's '{}' is not part of the model", name));
  result.placement = model->placement();
  result.device_map = model->hf_device_map();

  if (!generating || inputs.contains("decoder_input_ids")) {
    if (inputs.empty()) inputs = inputs_of(result.prompt);
    result.outputs = infer(*model, inputs, session.work);
    result.peak_rss_bytes = peak_rss_bytes();
    if (options.given("logits")) write_tensor_file(options.text("logits"), result.outputs);
    if (options.flag("json")) {
      print_run_json(result, model->graph(), session.out);
    } else {
      for (const auto& [name, tensor] : result.outputs) session.out.line(fmt::format("{} float32 {}", name, to_string(tensor.shape())));
      session.notes.note(run_summary(result));
    }
    return ExitStatus::done;
  }

  GenerateOptions generation;
  generation.max_new_tokens = options.find_integer("max-new-tokens").value_or(128);
  generation.pad_id = pad_id;
  generation.all_logits = options.given("logits");
  generation.work = session.work;
  const bool json = options.flag("json");
  std::optional<Continuation> continuation;
  if (text) {
    const GenerationConfig config = run_generation_config(result.model, demo.has_value());
    generation.eos_ids = config.eos_token_id;
    generation.rules = logits_rules(config, result.prompt.length, result.prompt.length + generation.max_new_tokens);
    generation.sample = config.do_sample && !options.flag("greedy");
    generation.seed = static_cast<std::uint64_t>(options.find_integer("seed").value_or(0));
    if (config.num_beams > 1) session.notes.warning(fmt::format("generation_config.json asks for {} beams: one is followed", config.num_beams));
    continuation.emplace(*tokenizer, pair ? std::vector<std::int64_t>{} : result.prompt.ids);
    generation.on_token = [&](std::int64_t, std::int64_t id, float) {
      const std::string piece = continuation->step(id);
      if (json || piece.empty()) return;
      session.out.write(piece);
      session.out.flush();
    };
  }
  result.generated = generate(*model, result.prompt, generation);
  if (continuation) {
    const std::string rest = continuation->finish();
    if (!json) session.out.line(rest);
    result.texts = {continuation->text()};
  }
  result.peak_rss_bytes = peak_rss_bytes();
  if (options.given("logits")) write_tensor_file(options.text("logits"), {{"logits", result.generated.logits}});
  if (json) {
    print_run_json(result, model->graph(), session.out);
  } else if (text) {
    session.notes.note(run_summary(result));
  } else {
    for (const auto& ids : result.generated.ids) session.out.line(fmt::format("{}", fmt::join(ids, ",")));
    session.notes.note(run_summary(result));
  }
  return ExitStatus::done;
}

}  // namespace

Command run_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
