// SPDX-License-Identifier: Apache-2.0
#include "commands/infer_device_map.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/listed.h"
#include "bigmodel/device/gpu_memory.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/model/graph_json.h"
#include "bigmodel/planning/packed_graph.h"
#include "commands/device_map_arguments.h"
#include "commands/device_map_text.h"
#include "commands/in_call.h"
#include "commands/model_argument.h"
#include "commands/model_json.h"
#include "render/format.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMapLimitBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kRequestLimitBytes = std::uint64_t{1} << 30;

std::vector<OptionSpec> option_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "max-memory",
       .letter = 'm',
       .kind = ValueKind::text,
       .value_name = "DEVICE=SIZE",
       .help = "what each device may take: 0=10GiB,1=10GiB,cpu=30GiB",
       .list = ListStyle::commas,
       .more = "Without it the machine is asked: free memory of the GPUs, and what this process can still take of the RAM. Devices that are not "
               "named take nothing, but disk takes the rest unless disk=SIZE limits it."},
      {.name = "policy",
       .letter = 'p',
       .kind = ValueKind::choice,
       .value_name = "POLICY",
       .help = "how layers are spread",
       .default_text = "auto",
       .choices = {"auto", "balanced", "balanced_low_0", "sequential", "accelerate", "optimal"},
       .more = "auto and balanced spread evenly over the accelerators, balanced_low_0 leaves room on the first, sequential fills one after the "
               "other: all as transformers and accelerate do. accelerate is sequential to the letter, exceptions and omissions included. optimal "
               "minimises the predicted time per token."},
      {.name = "dtype",
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "what the model is cast to; without it the config's own dtype, else float32",
       .more = "A quantised model is planned as its checkpoint stores it; with --dtype as it was before."},
      {.name = "special-dtypes",
       .kind = ValueKind::text,
       .value_name = "NAME=DTYPE",
       .help = "dtypes of single tensors: lm_head.weight=float32",
       .list = ListStyle::commas,
       .settable = false},
      {.name = "no-split-module-classes",
       .kind = ValueKind::text,
       .value_name = "CLASS",
       .help = "classes whose modules stay on one device; none splits everything",
       .list = ListStyle::spaces,
       .more = "Without it the model's own list is used."},
      {.name = "offload-buffers", .help = "buffers of modules on cpu and disk lie there too, and no warning is due"},
      {.name = "fallback-allocation", .help = "an empty device takes a later, smaller module where the next one does not fit"},
      {.name = "no-clean-result", .help = "keep every entry, even where all parts of a module lie on one device"},
      {.name = "device-map",
       .kind = ValueKind::text,
       .value_name = "MAP",
       .help = "check this map instead of making one: a JSON file or the JSON itself",
       .more = "Modules that it leaves out or that the model does not have are named, and what each device would hold is shown. The exit code is 1 "
               "where it leaves something out or exceeds a given budget.",
       .settable = false},
      {.name = "graph",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "plan a module tree in JSON instead of a MODEL, so that any PyTorch model works",
       .settable = false},
      {.name = "request",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "answer whole calls as JSON; a .jsonl file (or - with lines) line by line, in one process",
       .settable = false},
      {.name = "explain",
       .kind = ValueKind::text,
       .value_name = "MODULE",
       .help = "tell why a module lies where it does",
       .settable = false},
      {.name = "context",
       .kind = ValueKind::integer,
       .value_name = "TOKENS",
       .help = "with --policy optimal: room for the KV cache of so many tokens",
       .default_text = "2048"},
      {.name = "batch", .kind = ValueKind::integer, .value_name = "N", .help = "sequences at once", .default_text = "1"},
      {.name = "kv-dtype",
       .kind = ValueKind::text,
       .value_name = "FORMAT",
       .help = "how the KV cache is stored: float16, bfloat16, float32, fp8, q8_0, q4_0, ...; without it as the model"},
      {.name = "bandwidth",
       .kind = ValueKind::text,
       .value_name = "DEVICE=RATE",
       .help = "bytes a second of each tier: 0=3.3TB/s,cpu=200GB/s,disk=3GB/s",
       .list = ListStyle::commas,
       .more = "gpu= is every accelerator, pcie= the way from RAM to one. `bigmodel doctor --probe` measures them; what is not given is assumed, and said."},
      format_option({"table", "json", "jsonl", "python"}),
  };
  for (OptionSpec& row : model_option_rows("auto")) rows.push_back(std::move(row));
  return rows;
}

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "infer-device-map",
      .summary = "where each layer of a model goes",
      .description = {"Spreads a model over accelerators, RAM and disk as accelerate's infer_auto_device_map does, and prints the budget of every "
                      "device and the map in the form that device_map= takes.",
                      "A model that does not fit ends with exit code 7 and what would make it fit. Disk has no limit unless it is given one."},
      .positionals = {[] {
        OptionSpec model = model_positional(false);
        model.required = false;
        return model;
      }()},
      .options = option_rows(),
      .examples = {{"bigmodel infer-device-map bigscience/T0pp --max-memory 0=10GiB,1=10GiB,cpu=30GiB", "two cards and RAM"},
                   {"bigmodel infer-device-map gpt2 --max-memory 0=300MB,cpu=1GB --format python", "a dict to paste"},
                   {"bigmodel infer-device-map gpt2 --max-memory 0=300MB,cpu=1GB --explain transformer.h.5", "why it lies there"},
                   {"bigmodel infer-device-map ./model --policy optimal --context 8192 --bandwidth 0=3.3TB/s,cpu=200GB/s,disk=3GB/s",
                    "the fastest map"}}};
  return kSpec;
}

/// What the machine has, asked once and only where it is needed.
class Machine {
 public:
  explicit Machine(Session& session) : session_(session) {}

  std::int64_t accelerators() { return static_cast<std::int64_t>(gpus().size()); }

  Budgets budgets() {
    Budgets out;
    for (const GpuMemory& gpu : gpus()) {
      const auto number = static_cast<std::int64_t>(out.size());
      session_.notes.note(fmt::format("device {}: {} free of {} ({})", number, format_binary(gpu.free_bytes), format_binary(gpu.total_bytes), gpu.name));
      out.emplace_back(number, static_cast<std::int64_t>(gpu.free_bytes));
    }
    const MemoryInfo memory = read_machine_info().memory;
    const bool limited = memory.limit_bytes && memory.usable_bytes() < memory.available_bytes;
    session_.notes.note(fmt::format("device cpu: {} to take ({}); for other machines give --max-memory", format_binary(memory.usable_bytes()),
                                    limited ? fmt::format("limited to {} by {}", format_binary(*memory.limit_bytes), memory.limit_source)
                                            : std::string("MemAvailable")));
    out.emplace_back(std::string("cpu"), static_cast<std::int64_t>(memory.usable_bytes()));
    return out;
  }

 private:
  const std::vector<GpuMemory>& gpus() {
    if (!gpus_) gpus_ = visible_gpus(read_gpu_memory(), session_.environment("CUDA_VISIBLE_DEVICES"));
    return *gpus_;
  }

  Session& session_;
  std::optional<std::vector<GpuMemory>> gpus_;
};

/// Reads models and trees for calls, each description library once.
class Calls {
 public:
  Calls(const Options& options, Session& session) : options_(options), session_(session), machine_(session) {}

  GraphSource source() {
    return {.from_file = [this](MapCall& call, const std::string& file) { read_tree(call, file); },
            .from_model = [this](MapCall& call, const std::string& model, const std::string& class_name) { read_model(call, model, class_name); },
            .machine_budgets = [this] { return machine_.budgets(); },
            .accelerators = machine_.accelerators()};
  }

  void read_tree(MapCall& call, const std::string& file) {
    const Json json = file == "-" ? parse_json(read_descriptor(0, "standard input", kMapLimitBytes), "standard input") : read_json_file(file);
    GraphJson tree = parse_graph_json(json, file);
    call.label = file;
    call.config_says_tied = tree.config_says_tied;
    call.no_split = tree.graph.no_split_modules;
    call.graph = std::make_shared<const MetaGraph>(std::move(tree.graph));
  }

  void read_model(MapCall& call, const std::string& argument, const std::string& class_name) {
    if (!library_) library_ = load_descriptions(options_, session_);
    model_ = find_model(argument, *library_, options_, session_);
    // Skip lists of quantised models name modules as files do.
    const bool quantised = !model_->config.quantization_method.empty();
    MetaGraph graph = build_graph(*library_, *model_, {.class_name = class_name, .disk_rules = quantised}, session_);
    call.label = argument;
    call.sizes.model_dtype = graph.stored_dtype.value_or(DType::float32);
    call.no_split = graph.no_split_modules;
    assumptions_ = graph.assumptions;
    states_dtype_ = graph.stored_dtype.has_value();
    warnings_ = graph.warnings;
    quantised_warnings_ = model_warnings(*model_, graph);
    call.graph = std::make_shared<const MetaGraph>(std::move(graph));
  }

  /// A described model of a quantised checkpoint: as it is stored, where no dtype asks for anything else. (Of a type that is built from the
  /// checkpoint's tensors the graph says what is stored.)
  void price_as_stored(MapCall& call) {
    if (!model_) return;
    std::optional<QuantizationConfig> quantization;
    if (library_->has(model_->config.model_type)) quantization = quantization_of(model_->config);
    if (!states_dtype_ && !call.sizes.dtype && (!quantization || !quantization->unknown.empty())) {
      assumptions_.push_back("float32, as the config states no dtype");
    }
    if (!quantization) return;
    if (call.sizes.dtype) {
      warnings_ = quantised_warnings_;
      return;
    }
    for (const std::string& warning : quantization->warnings) warnings_.push_back(warning);
    for (const std::string& unknown : quantization->unknown) {
      warnings_.push_back(fmt::format("the checkpoint is quantised and sizes are those of the model before that, unknown is: {}", unknown));
    }
    if (!quantization->unknown.empty()) return;
    call.graph = std::make_shared<const MetaGraph>(packed_graph(*call.graph, *quantization));
    if (!states_dtype_) call.sizes.model_dtype = DType::bfloat16;
    assumptions_.push_back(fmt::format("weights as the checkpoint stores them: {}, the rest in {}", quantization->method, name(call.sizes.model_dtype)));
  }

  MapCall from_options() {
    MapCall call;
    call.policy = parse_policy(options_.text("policy"));
    const bool tree = options_.given("graph");
    if (tree == options_.given("MODEL")) {
      throw UsageError(tree ? "infer-device-map: --graph and MODEL exclude each other" : "infer-device-map: expected a MODEL, --graph or --request");
    }
    if (tree) read_tree(call, options_.text("graph"));
    else read_model(call, options_.text("MODEL"), options_.text("class"));
    std::vector<std::string> warnings;
    if (options_.given("max-memory")) {
      const std::int64_t accelerators = call.policy == DevicePolicy::accelerate ? machine_.accelerators() : 0;
      call.budgets = order_budgets(parse_budgets(options_.list("max-memory"), call.policy), call.policy, accelerators, warnings);
    } else {
      call.gave_budgets = false;
      if (!options_.given("device-map")) call.budgets = machine_.budgets();
    }
    for (std::string& warning : warnings) warnings_.push_back(std::move(warning));
    if (options_.given("no-split-module-classes")) {
      call.no_split = options_.list("no-split-module-classes");
      if (call.no_split == std::vector<std::string>{"none"}) call.no_split.clear();
    }
    if (const auto dtype = options_.find_dtype_value("dtype")) {
      call.sizes.dtype = *dtype;
      call.sizes.model_dtype = DType::float32;
    }
    if (options_.given("special-dtypes")) call.sizes.special_dtypes = parse_special_dtypes(options_.list("special-dtypes"));
    call.offload_buffers = options_.flag("offload-buffers");
    call.fallback_allocation = options_.flag("fallback-allocation");
    call.clean_result = !options_.flag("no-clean-result");
    call.predicts = options_.given("context") || options_.given("batch") || options_.given("bandwidth") || options_.given("kv-dtype");
    call.cache.context = options_.find_integer("context").value_or(2048);
    call.cache.batch = options_.find_integer("batch").value_or(1);
    if (call.cache.batch < 1) throw UsageError("--batch: expected at least 1, got 0");
    if (options_.given("bandwidth")) call.speeds = parse_tier_speeds(options_.list("bandwidth"));
    call.observes = options_.given("explain") || options_.flag("verbose");
    if (options_.given("device-map")) call.given_map = given_map(options_.text("device-map"));
    return call;
  }

  /// The cache's format: as asked, else the model's dtype where a cache can be kept in it.
  void set_cache_format(MapCall& call) const {
    const DType dtype = call.sizes.dtype.value_or(call.sizes.model_dtype);
    if (find_option(options_.command(), "kv-dtype") != nullptr && options_.given("kv-dtype")) {
      const std::string text = options_.text("kv-dtype");
      const std::optional<KvFormat> format = find_kv_format(text);
      if (!format) throw UsageError(fmt::format("--kv-dtype: unknown format '{}', expected float32, float16, bfloat16, fp8, q8_0, q4_0 or another of kv_format", text));
      call.cache.format = *format;
    } else {
      call.cache.format = kv_format(dtype).value_or(*kv_format(DType::float16));
    }
  }

  Json heading(const MapCall& call) const {
    if (model_) return model_json("infer-device-map", *model_, *call.graph);
    Json out = {{"schema", "bigmodel.infer-device-map/1"}, {"model", call.label}, {"source", "file"}};
    if (!call.graph->model_type.empty()) out["model_type"] = call.graph->model_type;
    out["class"] = call.graph->class_name;
    return out;
  }

  const std::vector<std::string>& warnings() const { return warnings_; }
  const std::vector<std::string>& assumptions() const { return assumptions_; }
  void forget_model() {
    model_.reset();
    warnings_.clear();
    assumptions_.clear();
  }

 private:
  static DeviceMap given_map(const std::string& text) {
    if (text.starts_with('{')) return in_call([&] { return parse_device_map(parse_json(text, "--device-map"), "--device-map"); });
    if (text == "cpu" || text == "disk") return {{"", text}};
    return parse_device_map(read_json_file(text), text);
  }

  const Options& options_;
  Session& session_;
  Machine machine_;
  std::unique_ptr<spec::SpecLibrary> library_;
  std::optional<FoundModel> model_;
  std::vector<std::string> warnings_, assumptions_;
  std::vector<std::string> quantised_warnings_;  ///< of the model where it is not priced as stored
  bool states_dtype_ = false;
};

Json full_json(const Calls& calls, const MapCall& call, const MapResult& result) {
  Json out = calls.heading(call);
  const Json rest = map_json(call, result);
  for (const auto& [key, value] : rest.items()) out[key] = value;
  for (const std::string& assumption : calls.assumptions()) out["assumptions"].push_back(assumption);
  for (const std::string& warning : calls.warnings()) out["warnings"].push_back(warning);
  return out;
}

/// A line of a .jsonl file, or a file with one object.
Json answer(Calls& calls, const Json& request, const std::string& object) {
  std::vector<std::string> warnings;
  calls.forget_model();
  MapCall call = parse_map_request(request, object, calls.source(), warnings);
  calls.price_as_stored(call);
  calls.set_cache_format(call);
  MapResult result = plan(call);
  result.messages.insert(result.messages.begin(), warnings.begin(), warnings.end());
  return full_json(calls, call, result);
}

Json error_json(int code, std::string_view kind, std::string_view message, std::string_view hint) {
  Json out = {{"code", code}, {"kind", kind}, {"message", message}};
  if (!hint.empty()) out["hint"] = hint;
  return {{"error", std::move(out)}};
}

/// The line's answer, whatever happens in it.
Json answer_line(Calls& calls, std::string_view line, const std::string& object) {
  try {
    return answer(calls, parse_json(line, object), object);
  } catch (const ReferenceError& e) {
    return error_json(static_cast<int>(ExitStatus::usage), e.exception_class(), e.message(), e.hint());
  } catch (const Error& e) {
    return error_json(static_cast<int>(exit_status(e.kind())), to_string(e.kind()), e.message(), e.hint());
  }
}

ExitStatus answer_requests(const Options& options, Session& session) {
  const std::string file = options.text("request");
  const std::string text = file == "-" ? read_descriptor(0, "standard input", kRequestLimitBytes) : read_file(file, kRequestLimitBytes);
  const std::string object = file == "-" ? "standard input" : file;
  Calls calls(options, session);
  const std::size_t first_end = text.find('\n');
  const bool several = first_end != std::string::npos && text.find_first_not_of(" \t\r\n", first_end) != std::string::npos;
  const bool starts_whole = several && Json::accept(std::string_view(text).substr(0, first_end));
  if (!file.ends_with(".jsonl") && !(file == "-" && starts_whole)) {
    session.out.line(json_text(answer(calls, parse_json(text, object), object), session.out.terminal().is_tty));
    return ExitStatus::done;
  }
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    session.out.line(json_text(answer_line(calls, line, fmt::format("{} line {}", object, number)), false));
  }
  return ExitStatus::done;
}

ExitStatus run(const Options& options, Session& session) {
  if (options.given("request")) {
    if (options.given("MODEL") || options.given("graph")) throw UsageError("infer-device-map: --request says all of a call: MODEL and --graph exclude it");
    return answer_requests(options, session);
  }
  const bool python = !options.flag("json") && options.text("format") == "python";
  const Format format = output_format(options);
  Calls calls(options, session);
  MapCall call = calls.from_options();
  calls.price_as_stored(call);
  calls.set_cache_format(call);
  for (const std::string& assumption : calls.assumptions()) session.notes.note(assumption);
  for (const std::string& warning : calls.warnings()) session.notes.warning(warning);
  const MapResult result = plan(call);

  for (const std::string& note : result.notes) session.notes.note(note);
  for (const std::string& warning : result.warnings) session.notes.warning(warning);
  for (const std::string& message : result.messages) session.notes.detail(message);
  if (!options.given("explain")) {
    for (const PlacementStep& step : result.steps) session.notes.detail(step_text(step));
  }
  for (const DeviceRow& row : result.devices) {
    if (!row.required_bytes) continue;
    session.notes.note(fmt::format("device {} stays empty: its first module would need a budget of {}", to_string(row.device),
                                   format_binary(static_cast<std::uint64_t>(std::max<std::int64_t>(*row.required_bytes, 0)))));
  }
  for (const std::string& key : result.unknown_keys) session.notes.warning(fmt::format("--device-map: the model has no '{}'", key));
  if (!result.uncovered.empty()) session.notes.warning(fmt::format("--device-map: no device for {}", listed(result.uncovered, 10)));

  if (options.given("explain")) {
    const Explanation explanation = explain(call, result, options.text("explain"));
    if (format == Format::json || format == Format::jsonl) {
      Json json = full_json(calls, call, result);
      json["explain"] = explanation_json(explanation);
      session.out.line(json_text(json, format == Format::json && session.out.terminal().is_tty));
    } else {
      session.out.write(explanation_text(explanation));
    }
  } else if (python) {
    session.out.write(map_python(result.device_map));
  } else if (format == Format::json || format == Format::jsonl) {
    session.out.line(json_text(full_json(calls, call, result), format == Format::json && session.out.terminal().is_tty));
  } else {
    session.out.write(map_text(call, result, session.out.terminal()));
  }
  if (call.given_map && !result.fits) return ExitStatus::answered_no;
  return ExitStatus::done;
}

}  // namespace

Command infer_device_map_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
