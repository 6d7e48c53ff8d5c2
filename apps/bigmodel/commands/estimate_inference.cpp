// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_inference.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/model/attention_keys.h"
#include "bigmodel/model/text_part.h"
#include "render/digits.h"

namespace bigmodel::app {
namespace {

constexpr std::int64_t kUsualContext = 4096;
constexpr std::int64_t kLargestChunk = 8192, kSmallestChunk = 256;  // tried as remedies
constexpr std::string_view kAsking[] = {"context", "batch", "beams", "kv-dtype", "engine", "attention", "prefill-chunk",
                                        "device",  "split", "machine", "fits", "solve", "report"};

CacheEngine engine_of(const std::string& text) {
  if (text == "hf") return CacheEngine::hf;
  if (text == "hf-static") return CacheEngine::hf_static;
  if (text == "vllm") return CacheEngine::vllm;
  if (text == "llama.cpp") return CacheEngine::llama_cpp;
  if (text == "bigmodel") return CacheEngine::bigmodel;
  return CacheEngine::exact;
}

std::vector<std::string_view> kv_format_names() {
  std::vector<std::string_view> names;
  for (const KvFormat& format : kv_formats()) names.push_back(format.name);
  return names;
}

std::int64_t positive(const Options& options, std::string_view name, std::int64_t fallback) {
  const std::optional<std::int64_t> value = options.find_integer(name);
  if (value && *value < 1) throw UsageError(fmt::format("--{}: makes no sense, expected at least 1, got {}", name, *value));
  return value.value_or(fallback);
}

KvFormat kv_format_of(const std::string& text) {
  if (const std::optional<KvFormat> format = find_kv_format(text)) return *format;
  std::vector<std::string> names;
  for (const KvFormat& format : kv_formats()) names.emplace_back(format.name);
  throw UsageError(fmt::format("--kv-dtype: no such format, expected one of {}, got '{}'", fmt::join(names, " "), text),
                   did_you_mean(text, names));
}

/// What would make it fit, what costs least first: smaller passes, a smaller cache, a shorter context, fewer sequences, narrower weights,
/// more devices.
std::vector<std::string> remedies_of(const InferencePlan& plan, const InferenceResult& result, DType dtype) {
  std::vector<std::string> out;
  InferenceRequest request = result.request;
  request.dtype = dtype;
  const DevicePool& pool = *result.pool;
  const auto helps = [&](const InferenceRequest& changed) {
    try {
      return fit_inference(plan, changed, pool).verdict != FitVerdict::no;
    } catch (const UsageError&) {
      return false;  // not with this engine
    }
  };
  if (request.eager_attention) {
    InferenceRequest changed = request;
    changed.eager_attention = false;
    if (helps(changed)) out.emplace_back("--attention flash");
  }
  for (std::int64_t chunk = kLargestChunk; chunk >= kSmallestChunk; chunk /= 2) {
    if (chunk >= result.rows.front().memory.prefill_tokens) continue;
    InferenceRequest changed = request;
    changed.prefill_chunk = chunk;
    if (!helps(changed)) continue;
    out.push_back(fmt::format("prefill in chunks: --prefill-chunk {}", chunk));
    break;
  }
  for (const char* name : {"fp8", "q8_0", "q4_0"}) {
    InferenceRequest changed = request;
    changed.kv_format = find_kv_format(name);
    if (changed.kv_format && helps(changed)) {
      out.push_back(fmt::format("--kv-dtype {}", name));
      break;
    }
  }
  if (const auto tokens = largest_context(plan, request, pool, request.context); tokens && *tokens < request.context) {
    out.push_back(fmt::format("--context {}", *tokens));
  }
  if (request.batch > 1) {
    if (const auto batch = largest_batch(plan, request, pool); batch) out.push_back(fmt::format("--batch {}", *batch));
  }
  for (const DType narrower : {DType::float16, DType::int8, DType::int4}) {
    if (request.stored_weights_bytes) break;  // packed already
    if (bit_size(narrower) >= bit_size(dtype)) continue;
    InferenceRequest changed = request;
    changed.dtype = narrower;
    if (helps(changed)) {
      out.push_back(fmt::format("--dtypes {}", name(narrower)));
      break;
    }
  }
  if (!pool.source.starts_with("available")) {
    if (const auto devices = fewest_devices(plan, request, pool)) out.push_back(fmt::format("--device \"{}x{}\"", *devices, pool.name));
  }
  out.push_back("a device_map with RAM and disk (bigmodel infer-device-map)");
  return out;
}

}  // namespace

std::optional<DevicePool> device_pool_of(const Options& options) {
  const std::optional<std::string> text = options.find_text("device");
  if (text && options.flag("machine")) throw UsageError("--device and --machine: name different devices", "give one of them");
  if (text) return parse_device_pool(*text);
  if (!options.flag("machine")) return std::nullopt;
  DevicePool pool;
  pool.name = "this machine's memory";
  pool.usable_bytes = static_cast<std::int64_t>(read_machine_info().memory.usable_bytes());
  pool.source = "available now, within the limits of control groups";
  return pool;
}

bool InferenceResult::fits() const {
  // A cache that is not told could be of any size: no promise then.
  if (!unread.empty() || !plan->cache().unknown.empty()) return false;
  return std::ranges::all_of(rows, [](const InferenceRow& row) { return row.fit && row.fit->verdict != FitVerdict::no; });
}

std::vector<OptionSpec> inference_option_rows() {
  return {
      {.name = "context",
       .kind = ValueKind::integer,
       .value_name = "TOKENS",
       .help = "also what running takes, with this many tokens a sequence",
       .more = "Prompt and answer together. Where another of these options asks for the running part, the default is 4096, or what the "
               "model can at most."},
      {.name = "batch", .kind = ValueKind::integer, .value_name = "N", .help = "sequences at once", .default_text = "1"},
      {.name = "beams", .kind = ValueKind::integer, .value_name = "N", .help = "beams of each sequence", .default_text = "1"},
      {.name = "kv-dtype",
       .kind = ValueKind::choice,
       .value_name = "FORMAT",
       .help = "how keys and values are kept",
       .choices = kv_format_names(),
       .open_choices = true,
       .more = "Default: as the weights, float16 where those are narrower than 16 bits."},
      {.name = "engine",
       .kind = ValueKind::choice,
       .value_name = "NAME",
       .help = "whose cache and overheads",
       .default_text = "exact",
       .choices = {"exact", "hf", "hf-static", "vllm", "llama.cpp", "bigmodel"},
       .more = "exact: what the next token can still read, and no overhead. hf: transformers' DynamicCache; hf-static: its StaticCache. "
               "vllm: pages of 16 tokens and the measured peak of its warm-up. llama.cpp: cells in multiples of 256. bigmodel: what bigmodel run keeps."},
      {.name = "attention",
       .kind = ValueKind::choice,
       .value_name = "KIND",
       .help = "whether scores are kept whole",
       .default_text = "flash",
       .choices = {"flash", "eager"}},
      {.name = "prefill-chunk",
       .kind = ValueKind::integer,
       .value_name = "TOKENS",
       .help = "tokens of the prompts computed at once",
       .more = "Default: all of them; vllm 8192, llama.cpp 512."},
      {.name = "device",
       .kind = ValueKind::text,
       .value_name = "DEVICE",
       .help = "does it fit: 24GiB, \"RTX 4090\", 2xH100-80GB",
       .more = "Several equal devices share the model as --split says."},
      {.name = "split",
       .kind = ValueKind::choice,
       .value_name = "HOW",
       .help = "how several devices share the model",
       .default_text = "layers",
       .choices = {"layers", "tensor"},
       .more = "layers: whole ones, in order (pipeline, device map). tensor: every layer is divided; the devices must divide its heads, "
               "fewer key-value heads than devices are kept several times, latent caches on every one."},
      {.name = "machine", .help = "does it fit into this machine's memory"},
      {.name = "fits", .help = "exit with 1 where a row does not fit the device"},
      {.name = "solve",
       .kind = ValueKind::choice,
       .value_name = "WHAT",
       .help = "the most that the device allows",
       .choices = {"context", "batch", "dtype", "devices"},
       .list = ListStyle::commas,
       .more = "The largest context or batch, the first dtype of --dtypes that fits, the fewest devices; the rest of the call stays."},
  };
}

bool asks_for_inference(const Options& options, bool trains) {
  return std::ranges::any_of(kAsking, [&](std::string_view name) {
    const bool shared = name == "device" || name == "machine" || name == "fits" || name == "attention";
    return options.given(name) && !(trains && shared);
  });
}

InferenceResult estimate_inference(spec::SpecLibrary& library, const FoundModel& model, const StoredEstimate* stored, const Options& options,
                                   Session& session) {
  InferenceResult out;
  out.pool = device_pool_of(options);
  out.solve = options.list("solve");
  if (!out.pool && (options.flag("fits") || !out.solve.empty())) {
    throw UsageError("--fits and --solve: no device to fit, expected --device or --machine", "add --device 24GiB");
  }
  out.unread = check_attention_keys(model.config);
  // Running takes the class that the checkpoint is of, output layer included; a table of its base only says what that is less.
  MetaGraph graph;
  const std::string wanted = options.text("class");
  try {
    graph = build_graph(library, model, {.class_name = wanted == "base" ? "auto" : wanted, .disk_rules = false}, session);
  } catch (const NotFoundError&) {
    graph = build_graph(library, model, {.class_name = wanted, .disk_rules = false}, session);
  }
  out.plan = std::make_shared<const InferencePlan>(graph);
  const InferencePlan& plan = *out.plan;
  out.class_name = graph.class_name;
  out.parameters = plan.parameters();
  out.active_parameters = plan.active_parameters();
  out.engine = options.text("engine");
  const std::int64_t stated = stated_context(model.config.data);
  out.request.context = positive(options, "context", stated > 0 ? std::min(stated, kUsualContext) : kUsualContext);
  if (stated > 0 && out.request.context > stated) {
    out.warnings.push_back(fmt::format("a context of {} is more than the {} positions that the config states", grouped_digits(out.request.context),
                                       grouped_digits(stated)));
  }
  out.request.batch = positive(options, "batch", 1);
  out.request.beams = positive(options, "beams", 1);
  out.request.prefill_chunk = positive(options, "prefill-chunk", 0);
  out.request.engine = engine_of(out.engine);
  out.request.eager_attention = options.text("attention") == "eager";
  if (options.text("split") == "tensor") out.request.split = SplitMode::tensor;
  if (options.given("split") && (!out.pool || out.pool->count == 1) && std::ranges::find(out.solve, "devices") == out.solve.end()) {
    throw UsageError("--split: one device has nothing to share", "name several, such as --device 2xH100");
  }
  if (const auto format = options.find_text("kv-dtype")) out.request.kv_format = kv_format_of(*format);
  out.most_context = stated > 0 ? stated : kMostTokens;

  std::vector<DType> dtypes = options.dtypes("dtypes");
  const bool as_stored = stored != nullptr && !options.given("dtypes");
  if (!options.given("dtypes")) dtypes = {as_stored ? stored->compute_dtype : graph.stored_dtype.value_or(DType::float16)};
  if (as_stored) out.request.stored_weights_bytes = stored->weights.bytes;
  for (const DType dtype : dtypes) {
    InferenceRequest request = out.request;
    request.dtype = dtype;
    request.devices = out.pool ? out.pool->count : 1;
    InferenceRow row{.dtype = dtype, .label = as_stored ? stored->weights.method : std::string(name(dtype)), .memory = plan.memory(request), .fit = {}, .solved_context = {}, .solved_batch = {}, .solved_devices = {}};
    if (out.pool) {
      row.fit = fit_inference(plan, request, *out.pool);
      for (const std::string& what : out.solve) {
        if (what == "context") row.solved_context = largest_context(plan, request, *out.pool, out.most_context);
        if (what == "batch") row.solved_batch = largest_batch(plan, request, *out.pool);
        if (what == "devices") row.solved_devices = fewest_devices(plan, request, *out.pool);
      }
      if (!out.widest_dtype && row.fit->verdict != FitVerdict::no) out.widest_dtype = row.label;
    }
    out.rows.push_back(std::move(row));
    if (out.rows.size() == 1 && out.pool && out.rows.front().fit->verdict == FitVerdict::no) out.remedies = remedies_of(plan, out, dtype);
  }
  for (const std::string& unread : out.unread) out.warnings.push_back(unread);
  for (const std::string& unknown : out.rows.front().memory.unknown) {
    out.warnings.push_back(fmt::format("the sums are too small, unknown is: {}", unknown));
  }
  return out;
}

}  // namespace bigmodel::app
