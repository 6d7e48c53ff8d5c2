// SPDX-License-Identifier: Apache-2.0
#include "commands/run_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/random_tensors.h"
#include "bigmodel/checkpoint/tensor_content.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/listed.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/engine/auto_device_map.h"
#include "bigmodel/engine/weight_quantization.h"
#include "bigmodel/io/json.h"
#include "bigmodel/model/compare_tensors.h"
#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/tokenizer/tokenizer_folder.h"
#include "bigmodel/tokenizer/tokenizer_json.h"
#include "commands/device_map_arguments.h"
#include "commands/in_call.h"
#include "commands/init_tensors.h"

namespace bigmodel::app {
namespace {

FoundModel demo_model() {
  FoundModel out;
  out.argument = "demo";
  out.source = "embedded";
  out.place = "the demo model of the program";
  out.config = parse_config(demo_file("config.json"), "config.json of the demo model");
  return out;
}

/// Of --context. More would not be numbers of tokens, and their bytes no 64-bit numbers.
void check_context(const Options& options) {
  constexpr std::int64_t kMost = 1'000'000'000;
  if (const auto context = options.find_integer("context"); context && *context > kMost) throw UsageError(fmt::format("--context: not a valid value, expected 0 to {}, got {}", kMost, *context));
}

int thread_count(const Options& options) {
  const std::int64_t wanted = options.find_integer("threads").value_or(0);
  if (options.given("threads") && (wanted < 1 || wanted > 1024)) throw UsageError(fmt::format("--threads: {}, expected 1 to 1024", wanted));
  return wanted > 0 ? static_cast<int>(wanted) : std::clamp(read_machine_info().processor.usable_count, 1, 1024);
}

DType run_dtype(const Options& options, RunModel& model) {
  const auto runs_in = [](DType dtype) { return dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float16; };
  if (const auto wanted = options.find_dtype_value("dtype")) {
    if (!runs_in(*wanted)) throw UsageError(fmt::format("--dtype: weights are not run in {}, expected float32, bfloat16 or float16", name(*wanted)));
    return *wanted;
  }
  if (model.quantization.kind != QuantizationMethod::Kind::none) {
    // Factors are float32 whatever the model is; its config says what it computes in.
    const DType stated = model.graph.stored_dtype.value_or(DType::bfloat16);
    model.assumptions.push_back(fmt::format("{}, as the config says", name(stated)));
    return runs_in(stated) ? stated : DType::float32;
  }
  for (const CheckpointTensor& t : model.checkpoint->tensors) {
    if (!runs_in(t.dtype)) continue;
    model.assumptions.push_back(fmt::format("{}, as the weights are stored", name(t.dtype)));
    return t.dtype;
  }
  return model.graph.stored_dtype.value_or(DType::float32);
}

/// The smallest number from `low` on, to a thousandth, that fits, where `high` does.
template <typename Fits>
std::int64_t smallest(std::int64_t low, std::int64_t high, const Fits& fits) {
  while (high - low > high / 1000) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? high : low) = middle;
  }
  return high;
}

/// Changes of the call that were tried and make it fit.
std::string what_fits(const RunModel& model, const AutoMapRequest& request, const RunSize& size) {
  const auto fits = [&](const AutoMapRequest& r) {
    try {
      auto_device_map(model.planned(), r);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  std::vector<std::string> out;
  const auto holds = [&](std::int64_t tokens) {
    AutoMapRequest r = request;
    r.context = tokens;
    return fits(r);
  };
  if (size.tokens > size.prompt_tokens && holds(size.prompt_tokens)) {
    // The largest that holds: what is below it does as well.
    std::int64_t low = size.prompt_tokens, high = size.tokens;
    while (high - low > std::max<std::int64_t>(low / 1000, 1)) {
      const std::int64_t middle = low + (high - low) / 2;
      (holds(middle) ? low : high) = middle;
    }
    if (low > size.prompt_tokens) out.push_back(fmt::format("--context {}", low));
  }
  const auto with_ram = [&](std::int64_t bytes) {
    AutoMapRequest r = request;
    r.ram_bytes = bytes;
    return fits(r);
  };
  constexpr std::int64_t kMost = std::int64_t{1} << 50, kMiB = 1 << 20;
  std::int64_t high = std::max<std::int64_t>(request.ram_bytes, kMiB);
  while (high < kMost && !with_ram(high)) high *= 2;
  if (high < kMost) {
    const std::int64_t bytes = smallest(std::max<std::int64_t>(request.ram_bytes, 0), high, with_ram) + model.cast_bytes;
    out.push_back(fmt::format("--max-memory cpu={}MiB", (bytes + kMiB - 1) / kMiB));
  }
  if (out.empty()) return "a shorter prompt, fewer sequences at once, or a narrower --dtype";
  return fmt::format("{} would fit", fmt::join(out, ", or "));
}

/// Accelerators and RAM as far as --max-memory or the machine goes, then disk.
AutoMap auto_map(const Options& options, const RunModel& model, const RunSize& size) {
  AutoMapRequest request = map_request(model, size);
  TierSpeeds speeds;
  if (options.given("bandwidth")) speeds = parse_tier_speeds(options.list("bandwidth"));
  // A tenth stays free for what is not counted: the program itself, files being read.
  auto ram = static_cast<std::int64_t>(read_machine_info().memory.usable_bytes() / 10 * 9);
  if (options.given("max-memory")) {
    ram = 0;
    for (const auto& [device, budget] : parse_budgets(options.list("max-memory"), DevicePolicy::optimal)) {
      if (to_string(device) == "cpu") ram = std::get<std::int64_t>(budget);
      else if (to_string(device) != "disk") request.accelerator_bytes.emplace_back(model.devices->needed({{"", device}}, "--max-memory").front(), std::get<std::int64_t>(budget));
    }
  } else {
    request.accelerator_bytes = model.devices->usable();
  }
  request.ram_bytes = std::max<std::int64_t>(ram - model.cast_bytes, 0);
  request.speeds = model.devices->with_stated(std::move(speeds));
  try {
    return auto_device_map(model.planned(), request);
  } catch (const CapacityError& e) {
    throw CapacityError(e.message(), what_fits(model, request, size));
  }
}

/// --device-map as it was given, where it is no single word that run_device_map knows: JSON, or a file of it.
std::optional<DeviceMap> given_map(const Options& options) {
  constexpr std::array<std::string_view, 3> kWords = {"auto", "cpu", "disk"};
  constexpr std::array<std::string_view, 8> kAccelerators = {"cuda", "mps", "xpu", "npu", "hpu", "mlu", "musa", "sdaa"};   // accelerate's
  constexpr std::array<std::string_view, 3> kPolicies = {"balanced", "balanced_low_0", "sequential"};
  const std::string text = options.text("device-map");
  const auto is_one_of = [](const auto& list, std::string_view word) { return std::ranges::find(list, word) != list.end(); };
  if (text.starts_with('{')) return in_call([&] { return parse_device_map(parse_json(text, "--device-map"), "--device-map"); });
  const bool number = text.find_first_not_of("0123456789") == std::string::npos;
  if (number || is_one_of(kWords, text) || is_one_of(kAccelerators, std::string_view(text).substr(0, text.find(':')))) return std::nullopt;
  std::error_code error;
  if (text.ends_with(".json") || std::filesystem::is_regular_file(text, error)) return parse_device_map(read_json_file(text), text);
  throw UsageError(fmt::format("--device-map: expected auto, cpu, disk, cuda:0, a JSON object or a file of it, got '{}'", text.substr(0, 60)),
                   is_one_of(kPolicies, text) ? fmt::format("make that map first: bigmodel infer-device-map MODEL --policy {} --json > map.json", text) : "");
}

/// --storage-dtype, and what it makes of the model.
void plan_casting(RunModel& model, const Options& options) {
  const std::optional<DType> storage = options.find_dtype_value("storage-dtype");
  for (const char* name : {"skip-modules-pattern", "skip-modules-classes"}) {
    if (!storage && options.given(name)) throw UsageError(fmt::format("--{}: belongs to --storage-dtype", name));
  }
  if (!storage) return;
  switch (*storage) {
    case DType::float8_e4m3fn:
    case DType::float8_e5m2:
    case DType::bfloat16:
    case DType::float16: break;
    default: throw UsageError(fmt::format("--storage-dtype: weights are not kept in {}, expected float8_e4m3fn, float8_e5m2, bfloat16 or float16", name(*storage)));
  }
  model.casting = {.storage_dtype = *storage, .compute_dtype = model.dtype, .skip_modules_pattern = options.list("skip-modules-pattern"), .skip_modules_classes = options.list("skip-modules-classes")};
  model.small_graph = with_layerwise_casting(model.graph, *model.casting);
  const std::unordered_set<std::string> names = layerwise_cast_weights(model.graph, *model.casting);
  std::string layer;
  std::int64_t bytes = 0;
  for_each_tensor(*model.small_graph, [&](const TensorVisit& visit) {
    if (!names.contains(visit.name)) return;
    const std::string owner = visit.name.substr(0, visit.name.rfind('.'));
    bytes = (owner == layer ? bytes : 0) + byte_count(model.dtype, element_count(visit.tensor.shape, visit.name));
    layer = owner;
    model.cast_bytes = std::max(model.cast_bytes, bytes);
  });
  if (names.empty()) model.warnings.push_back("--storage-dtype: no layer is kept smaller: none is linear, or all are skipped or tied");
}

/// Whether a router below sends tokens to experts. Layers that are alike are one template.
bool has_routers(const ModuleTemplate& module) {
  return (module.block && module.block->kind == "moe") || std::ranges::any_of(module.children, [](const ModuleChild& child) { return has_routers(*child.module); });
}

/// What the checkpoint has and the model does not, such as the layers behind those that its config counts; empty without.
std::string unused_tensors(const RunModel& model) {
  if (model.quantization.kind != QuantizationMethod::Kind::none || model.is_demo()) return {};
  const std::vector<CheckpointTensor>& there = model.checkpoint->tensors;
  std::size_t wanted = 0;
  for_each_tensor(model.graph, [&](const TensorVisit&) { ++wanted; });
  if (there.size() <= wanted) return {};   // too many would mean too few elsewhere, which loading refuses
  const std::vector<std::string> names = compare_tensors(model.graph, std::vector<TensorInfo>(there.begin(), there.end())).unexpected;
  return names.empty() ? std::string() : fmt::format("{} tensors of the checkpoint are not used: {}", names.size(), listed(names, 5));
}

/// Refuses a checkpoint with NaN or infinite values.
void check_run_values(const RunModel& model, Session& session) {
  const Checkpoint& checkpoint = *model.checkpoint;
  const std::vector<TensorContent> contents = read_contents(checkpoint, {.digest = false}, Disk(), session.work);
  session.progress.clear();
  std::size_t bad = 0;
  std::string first;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    if (contents[i].nan_count + contents[i].inf_count == 0) continue;
    if (bad++ > 0) continue;
    first = fmt::format("tensor '{}' holds {} NaN and {} infinite values, expected none", checkpoint.tensors[i].name, contents[i].nan_count, contents[i].inf_count);
  }
  if (bad == 0) return;
  const std::string others = bad > 1 ? fmt::format("; so do {} more", bad - 1) : "";
  throw FormatError(fmt::format("{}: {}{}", checkpoint.path.string(), first, others), "bigmodel verify --deep lists them");
}

}  // namespace

std::vector<OptionSpec> placement_option_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "context",
       .kind = ValueKind::integer,
       .value_name = "N",
       .help = "tokens of a sequence, prompt and new ones, that there must be room for",
       .more = "Without it as many as the prompt and --max-new-tokens take. A longer prompt is refused, and output ends there."},
      {.name = "dtype",
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "what the weights are run in: float32, bfloat16 or float16; without it as they are stored"},
      {.name = "kv-dtype",
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "how keys and values of earlier tokens are kept in RAM: float32, bfloat16 or float16",
       .default_text = "float32",
       .more = "The narrow ones take half the room and round, so that results are not exact. On GPUs they are what --dtype is."},
      {.name = "quantize",
       .kind = ValueKind::choice,
       .value_name = "FORM",
       .help = "hold the weights of the layers' matrices in 8 or 4 bits, quantised while they are loaded: smaller and faster, not exact",
       .choices = {"int8", "int4"},
       .more = "32 neighbours of a row share a float16 factor (8.5 and 4.5 bits a weight). Embeddings, heads, routers, norms and biases stay as they are. "
               "Weights that are streamed from disk are read as they are stored and quantised in every pass."},
      {.name = "storage-dtype",
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "what weights of linear and convolution layers are kept in between uses: float8_e4m3fn, float8_e5m2, bfloat16 or float16",
       .more = "They are cast to --dtype for the time of their layer's forward (accelerate's layerwise casting). Layers whose weight is tied to another's are "
               "left alone. The result is that of the rounded weights."},
      {.name = "skip-modules-pattern",
       .kind = ValueKind::text,
       .value_name = "REGEX",
       .help = "with --storage-dtype: modules whose name the expression is found in are left alone, and all below them",
       .list = ListStyle::commas},
      {.name = "skip-modules-classes",
       .kind = ValueKind::text,
       .value_name = "CLASS",
       .help = "with --storage-dtype: the same by class name",
       .list = ListStyle::commas},
      {.name = "threads",
       .kind = ValueKind::integer,
       .value_name = "N",
       .help = "threads that compute; without it as many as this process may use"},
      {.name = "device-map",
       .kind = ValueKind::text,
       .value_name = "MAP",
       .help = "where weights lie: auto, cpu, disk, cuda:0, JSON such as {\"model.layers.0\": 0, \"\": \"cpu\"}, or a file of it",
       .default_text = "auto",
       .more = "auto keeps on GPUs, then in RAM, what fits beside caches and activations, and streams the rest, spread evenly between. A file may be what "
               "bigmodel infer-device-map --json printed. Where a map names a "
               "GPU, it computes what lies on cpu and disk as well; modules for which there are no kernels are left to the processor, and named."},
      {.name = "max-memory",
       .kind = ValueKind::text,
       .value_name = "DEVICE=SIZE",
       .help = "with --device-map auto: how much of each device may be taken, such as 0=20GiB,cpu=8GiB",
       .list = ListStyle::commas},
      {.name = "offload-folder",
       .kind = ValueKind::path,
       .value_name = "FOLDER",
       .help = "accepted for accelerate's sake: weights of \"disk\" are read from the model's own files, and nothing is written"},
      {.name = "check",
       .help = "read all weights first, and refuse NaN and infinite ones by name",
       .more = "They are read once more than the run needs."},
      {.name = "init-missing",
       .help = "fill tensors that the checkpoint lacks as init does, drawn by --seed, instead of refusing it",
       .settable = false}};
  for (OptionSpec& row : model_option_rows("auto")) rows.push_back(std::move(row));
  return rows;
}

RunModel find_run_model(const Options& options, Session& session) {
  check_context(options);
  RunModel out;
  out.library = load_descriptions(options, session);
  if (options.given("MODEL")) {
    out.found = find_model_with_weights(options.text("MODEL"), *out.library, options, session);
  } else {
    out.demo.emplace();
    out.found = demo_model();
    session.notes.note("no MODEL: running the demo model of the program");
  }
  out.quantization = quantization_method(out.found.config);
  if (!out.is_demo() && !out.found.folder) {
    throw NotFoundError(fmt::format("{}: only its config is known, there are no weights", out.found.argument), "name a folder with a checkpoint");
  }
  // A graph made of a checkpoint's names has no roles: the type that nobody described is what is wrong.
  out.graph = out.library->has(out.found.config.model_type) ? build_graph(*out.library, out.found, {.class_name = options.text("class")}, session)
                                                            : build_meta_graph(*out.library, out.found.config, {.class_name = options.text("class")});
  out.sliceable = sliceable_weights(out.graph);
  if (out.quantization.kind != QuantizationMethod::Kind::none) {
    session.notes.note(fmt::format("weights quantised by '{}' are run as the values that they stand for; activations are not quantised", out.found.config.quantization_method));
  }
  out.warnings = model_warnings(out.found, out.graph);
  for (const std::string& warning : out.warnings) session.notes.warning(warning);
  out.checkpoint = open_checkpoint(out.is_demo() ? out.demo->path() : *out.found.folder);
  out.files = ReadFiles(*out.checkpoint);
  if (std::string warning = unused_tensors(out); !warning.empty()) {
    session.notes.warning(warning);
    out.warnings.push_back(std::move(warning));
  }
  for (const std::string& note : out.checkpoint->notes) session.notes.detail(note);
  out.dtype = run_dtype(options, out);
  out.kv_dtype = *options.find_dtype_value("kv-dtype");
  if (out.kv_dtype != DType::float32) {
    if (out.kv_dtype != DType::bfloat16 && out.kv_dtype != DType::float16) {
      throw UsageError(fmt::format("--kv-dtype: keys and values are not kept in {}, expected float32, bfloat16 or float16", name(out.kv_dtype)));
    }
    out.warnings.push_back(fmt::format("keys and values are rounded to {}: the results are not exact", name(out.kv_dtype)));
    session.notes.warning(out.warnings.back());
  }
  if (options.given("quantize")) {
    if (options.given("storage-dtype")) throw UsageError("--quantize: a second form of the weights beside --storage-dtype", "give one of the two");
    out.quantize = options.text("quantize") == "int8" ? DType::q8_0 : DType::q4_0;
    for (std::string& name : quantizable_weights(out.graph)) out.special_dtypes.emplace_back(std::move(name), *out.quantize);
    if (out.special_dtypes.empty()) throw UnsupportedError(fmt::format("--quantize: {} has no matrices that can be", out.graph.class_name), "leave it out");
    out.warnings.push_back(fmt::format("{} matrices are quantised to {} while they are loaded: the results are not exact", out.special_dtypes.size(), options.text("quantize")));
    session.notes.warning(out.warnings.back());
  }
  const std::size_t noted = out.warnings.size();
  plan_casting(out, options);
  for (std::size_t i = noted; i < out.warnings.size(); ++i) session.notes.warning(out.warnings[i]);
  if (options.flag("init-missing")) out.init_seed = static_cast<std::uint64_t>(options.find_integer("seed").value_or(0));
  if (options.flag("check")) check_run_values(out, session);
  out.given_map = given_map(options);
  // Maps of our own name what there is; looking through tens of thousands of modules is for those of users.
  if (out.given_map) {
    if (std::string warning = check_device_map(out.graph, *out.given_map).warning(); !warning.empty()) {
      session.notes.warning(warning);
      out.warnings.push_back(std::move(warning));
    }
  }
  out.pool = std::make_unique<ThreadPool>(thread_count(options));
  if (const std::string map = options.text("device-map"); map != "cpu" && map != "disk") out.devices = std::make_unique<RunDevices>();
  return out;
}

AutoMapRequest map_request(const RunModel& model, const RunSize& size) {
  AutoMapRequest out{.dtype = model.dtype, .special_dtypes = model.special_dtypes, .sliceable = model.sliceable, .context = size.tokens, .prompt = size.prompt_tokens, .batch = size.sequences};
  if (!has_routers(*model.graph.root)) out.cache_dtype = model.dtype;
  out.processor_cache_dtype = model.kv_dtype;
  return out;
}

AutoMap run_device_map(const RunModel& model, const Options& options, const RunSize& size) {
  const std::string text = options.text("device-map");
  if (text == "auto") return auto_map(options, model, size);
  if (text == "cpu" || text == "disk") return {{{"", text}}};
  const DeviceMap map = model.given_map ? *model.given_map : DeviceMap{{"", text}};
  model.devices->needed(map);
  return {map};
}

void load_run_model(RunModel& model, DeviceMap map, Session& session) {
  const auto start = std::chrono::steady_clock::now();
  DispatchOptions dispatch;
  dispatch.device_map = std::move(map);
  dispatch.reads_ahead = model.reads_ahead;
  dispatch.dtype = model.dtype;
  dispatch.quantization = model.quantization;
  dispatch.quantize = model.quantize;
  dispatch.casting = model.casting;
  dispatch.work = session.work;
  dispatch.pool = model.pool.get();
  if (model.devices != nullptr && std::ranges::any_of(dispatch.device_map, [](const auto& entry) { return is_accelerator(entry.second); })) {
    dispatch.devices = &model.devices->open(dispatch.device_map);
  }
  if (model.init_seed) {
    dispatch.initial = random_checkpoint(initial_tensors(model.graph, {.dtype = model.dtype, .deviation = init_deviation(model.found.config), .buffers = {}}), *model.init_seed);
  }
  model.loaded = load_checkpoint_and_dispatch(std::move(model.graph), std::move(*model.checkpoint), dispatch);
  model.checkpoint.reset();
  model.files.check();
  model.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  session.progress.clear();
  if (const std::vector<std::string>& made = model.loaded->weights().initialised(); !made.empty()) {
    model.warnings.push_back(fmt::format("{} tensors are not in the checkpoint and were drawn with seed {}: {}", made.size(), *model.init_seed,
                                         listed(made, made.size() > 4 ? 3 : 4)));
    session.notes.warning(model.warnings.back());
  }
  if (const std::vector<std::string>& left = model.loaded->left_to_processor(); !left.empty()) {
    model.warnings.push_back(fmt::format("the processor computes {}, for which there are no kernels on accelerators", listed(left, 3)));
    session.notes.warning(model.warnings.back());
  }
  for (const std::string& name : model.loaded->weights().unexpected()) session.notes.detail(fmt::format("the checkpoint's '{}' is not part of the model", name));
}

tokenizer::Tokenizer run_tokenizer(const RunModel& model) {
  if (model.is_demo()) return tokenizer::Tokenizer(tokenizer::parse_tokenizer_json(demo_file("tokenizer.json"), "tokenizer.json of the demo model"));
  // Cutting and padding that the file asks for are of its training: the reference leaves them out of calls, too.
  return tokenizer::read_tokenizer(*model.found.folder).with(std::nullopt, std::nullopt);
}

}  // namespace bigmodel::app
