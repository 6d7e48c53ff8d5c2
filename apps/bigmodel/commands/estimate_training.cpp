// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/text_part.h"
#include "commands/estimate_inference.h"
#include "render/bars.h"
#include "render/digits.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeviceBarCells = 16;

constexpr std::string_view kOnlyTraining[] = {"optimizer", "sharding", "recompute", "master-weights", "compiled", "chunked-loss", "offload", "offload-activations", "optimizer-in-backward", "lora-dtype", "lora-rank", "lora-targets", "sequence", "micro-batch"};

std::vector<std::string_view> optimizer_names() {
  std::vector<std::string_view> names;
  for (const OptimizerKind& kind : optimizer_kinds()) names.push_back(kind.name);
  return names;
}

std::int64_t positive(const Options& options, std::string_view name, std::int64_t fallback) {
  const std::int64_t value = options.find_integer(name).value_or(fallback);
  if (value < 1) throw UsageError(fmt::format("--{}: makes no sense, expected at least 1, got {}", name, value));
  return value;
}

TrainingRequest request_of(const Options& options, const std::optional<DevicePool>& pool) {
  TrainingRequest out;
  const std::string mode = options.text("train"), recompute = options.text("recompute");
  out.mode = mode == "lora" ? TrainMode::lora : mode == "qlora" ? TrainMode::qlora : TrainMode::full;
  out.recompute = recompute == "full" ? Recompute::full : recompute == "selective" ? Recompute::selective : Recompute::none;
  out.optimizer = *std::ranges::find(optimizer_kinds(), options.text("optimizer"), &OptimizerKind::name);
  out.sharding = parse_sharding(options.text("sharding"), pool && pool->count > 1 ? std::optional(pool->count) : std::nullopt);
  out.master_weights = options.flag("master-weights");
  out.compiled = options.flag("compiled");
  out.chunked_loss = options.flag("chunked-loss");
  const std::string offload = options.text("offload");
  out.offload = offload == "all" ? StateOffload::all : offload == "optimizer" ? StateOffload::optimizer : StateOffload::none;
  out.offload_activations = options.flag("offload-activations");
  out.optimizer_in_backward = options.flag("optimizer-in-backward");
  out.adapters_float32 = options.text("lora-dtype") == "float32";
  out.eager_attention = options.text("attention") == "eager";
  out.rank = positive(options, "lora-rank", 16);
  out.sequence = positive(options, "sequence", 2048);
  out.micro_batch = positive(options, "micro-batch", 1);
  return out;
}

void refuse_contradictions(const Options& options, const TrainingRequest& request) {
  for (const char* name : {"lora-rank", "lora-targets", "lora-dtype"}) {
    if (request.mode != TrainMode::full || !options.given(name)) continue;
    throw UsageError(fmt::format("--{}: --train full has no adapters", name), "use --train lora or qlora");
  }
  if (request.mode != TrainMode::full && request.master_weights) {
    throw UsageError("--master-weights: frozen weights have none, and adapters are in float32 already", "leave it out, or use --train full");
  }
  if (request.offload == StateOffload::none) return;
  if (request.optimizer_in_backward) {
    throw UsageError("--optimizer-in-backward: steps on the device, and with --offload the step runs on the host", "give one of them");
  }
  if (request.optimizer.paged) {
    throw UsageError(fmt::format("--optimizer {}: lies in host memory already, and --offload moves states there", request.optimizer.name), "give one of them");
  }
}

/// What would make it fit, what costs least first: recomputation, a chunked loss, narrower states, fewer sequences, sharding, adapters.
std::vector<std::string> remedies_of(const TrainingPlan& plan, TrainingRequest request, const DevicePool& pool) {
  std::vector<std::string> out;
  const auto helps = [&] {
    try {
      return fit_training(plan.memory(request), pool.usable_bytes) != FitVerdict::no;
    } catch (const Error&) {
      return false;
    }
  };
  std::string so_far;
  const auto with = [&](const std::string& change) {
    so_far += (so_far.empty() ? "" : " ") + change;
    if (helps()) out.push_back(so_far);
    return !out.empty();
  };
  if (request.recompute != Recompute::full) {
    request.recompute = Recompute::full;
    if (with("--recompute full")) return out;
  }
  if (!request.chunked_loss) {
    request.chunked_loss = true;
    if (with("--chunked-loss")) return out;
  }
  if (request.micro_batch > 1) {
    request.micro_batch = 1;
    if (with("--micro-batch 1")) return out;
  }
  if (request.optimizer.moments > 0) {
    request.optimizer = *std::ranges::find(optimizer_kinds(), "adamw-8bit", &OptimizerKind::name);
    request.master_weights = false;
    if (with("--optimizer adamw-8bit")) return out;
  }
  if (request.offload == StateOffload::none && !request.optimizer_in_backward && !request.optimizer.paged) {
    const std::string before = so_far;
    request.offload = StateOffload::optimizer;
    if (with("--offload optimizer")) return out;
    request.offload = StateOffload::none;
    so_far = before;
  }
  if (request.sharding.devices() == 1 || request.sharding.zero < 3) {
    for (std::int64_t devices = std::max<std::int64_t>(2, pool.count); devices <= 1024; devices *= 2) {
      request.sharding = parse_sharding(fmt::format("zero3={}", devices), std::nullopt);
      if (!helps()) continue;
      out.push_back(fmt::format("{}{}--sharding zero3 --device \"{}x{}\"", so_far, so_far.empty() ? "" : " ", devices, pool.name));
      break;
    }
    request.sharding = parse_sharding("none", std::nullopt);
  }
  for (const auto& [mode, text] : {std::pair{TrainMode::lora, "--train lora"}, std::pair{TrainMode::qlora, "--train qlora"}}) {
    if (request.mode >= mode) continue;
    request.mode = mode;
    request.master_weights = false;
    if (!helps()) continue;
    out.push_back(fmt::format("{} {}", text, so_far));
    break;
  }
  return out;
}

std::string binary(std::int64_t size_bytes) { return format_binary(static_cast<std::uint64_t>(size_bytes)); }

std::string headline(const TrainingResult& result) {
  const TrainingRequest& r = result.request;
  return fmt::format("to train {} ({}): {}, {} x {} tokens{}, recompute {}{}{}{}", result.class_name, result.mode, r.optimizer.name,
                     grouped_digits(r.micro_batch), grouped_digits(r.sequence), r.sharding.text == "none" ? "" : fmt::format(", {} over {} devices", r.sharding.text, r.sharding.devices()),
                     result.recompute, r.master_weights ? ", float32 masters" : "", r.compiled ? ", compiled" : "",
                     r.offload == StateOffload::none ? "" : fmt::format(", offload {}", result.offload));
}

TextTable need_table(const TrainingResult& result) {
  TextTable table{{{"dtype"}, {"weights", Align::right}, {"gradients", Align::right}, {"optimizer", Align::right}, {"activations", Align::right},
                   {"logits", Align::right}, {"sharding", Align::right}, {"total", Align::right}, {"between"}},
                  {}};
  for (const TrainingRow& row : result.rows) {
    const TrainingMemory& m = row.memory;
    table.rows.push_back({std::string(name(row.dtype)), binary(m.weights_bytes), binary(m.gradients_bytes), binary(m.optimizer_bytes),
                          binary(m.activations_bytes()), binary(m.logits_bytes), binary(m.sharding_bytes()),
                          binary(m.total.expected), fmt::format("{} and {}", binary(m.total.low), binary(m.total.high))});
  }
  return table;
}

std::string trainable_line(const TrainingResult& result) {
  const TrainingMemory& m = result.rows.front().memory;
  std::string out = fmt::format("{} parameters are trained; a device holds {} of overhead\n", grouped_digits(m.trainable_parameters), binary(m.overhead.expected));
  for (const TrainingRow& row : result.rows) {
    const ByteRange& host = row.memory.host;
    if (host.expected > 0) out += fmt::format("in host memory: {} to {} over all devices ({})\n", binary(host.low), binary(host.high), name(row.dtype));
  }
  return out;
}

/// What each device holds; one row for neighbours that hold the same.
TextTable share_table(const TrainingResult& result, const Terminal& terminal) {
  TextTable table{{{"dtype"}, {"device"}, {"layers"}, {"weights", Align::right}, {"gradients", Align::right}, {"optimizer", Align::right},
                   {"activations", Align::right}, {"logits", Align::right}, {"sharding", Align::right}, {"overhead", Align::right}, {"total", Align::right}},
                  {}};
  if (result.pool) table.columns.push_back({"use"});
  for (const TrainingRow& row : result.rows) {
    for (const TrainingShare& share : row.memory.shares) {
      std::vector<std::string> cells = {std::string(name(row.dtype)), number_range(share.first_device, share.devices),
                                        share.layers == 0 ? "-" : number_range(share.first_layer, share.layers), binary(share.weights_bytes),
                                        binary(share.gradients_bytes), binary(share.optimizer_bytes), binary(share.activations_bytes()),
                                        binary(share.logits_bytes), binary(share.sharding_bytes()), binary(share.overhead.expected), binary(share.total.expected)};
      if (result.pool) {
        const double used = static_cast<double>(share.total.expected) / static_cast<double>(std::max<std::int64_t>(result.pool->usable_bytes, 1));
        cells.push_back(fmt::format("{} {:3.0f} %", bar(used, kDeviceBarCells, terminal), 100 * used));
      }
      table.rows.push_back(std::move(cells));
    }
  }
  return table;
}

}  // namespace

bool TrainingResult::fits() const {
  return std::ranges::all_of(rows, [](const TrainingRow& row) { return row.verdict && *row.verdict != FitVerdict::no && row.memory.unknown.empty(); });
}

std::vector<OptionSpec> training_option_rows() {
  return {
      {.name = "train",
       .kind = ValueKind::choice,
       .value_name = "MODE",
       .help = "also what training takes on each device",
       .choices = {"full", "lora", "qlora"},
       .more = "lora: frozen weights and adapters; qlora: the same over weights in nf4 with double quantisation."},
      {.name = "optimizer", .kind = ValueKind::choice, .value_name = "NAME", .help = "whose states are kept", .default_text = "adamw", .choices = optimizer_names()},
      {.name = "sharding",
       .kind = ValueKind::text,
       .value_name = "HOW",
       .help = "zero1, zero2, zero3 or fsdp (zero3=8), tp=N, pp=N, also together",
       .default_text = "none",
       .more = "Over the devices of --device, or as many as are written behind the stage."},
      {.name = "offload",
       .kind = ValueKind::choice,
       .value_name = "WHAT",
       .help = "what waits in host memory",
       .default_text = "none",
       .choices = {"none", "optimizer", "all"},
       .more = "optimizer: states and masters, gradients as they are made (ZeRO-Offload). all: weights too, with zero3 or fsdp (FSDP's CPUOffload)."},
      {.name = "recompute", .kind = ValueKind::choice, .value_name = "WHAT", .help = "activations computed again on the way back", .default_text = "none", .choices = {"none", "selective", "full"}},
      {.name = "master-weights", .help = "float32 masters and moments beside 16-bit weights (mixed precision)"},
      {.name = "compiled", .help = "norms and activations are fused (torch.compile) and keep their inputs alone"},
      {.name = "chunked-loss", .help = "logits an eighth at a time"},
      {.name = "offload-activations", .help = "what is kept for the way back waits in host memory"},
      {.name = "optimizer-in-backward", .help = "gradients are used and freed one by one"},
      {.name = "lora-rank", .kind = ValueKind::integer, .value_name = "R", .help = "rank of the adapters", .default_text = "16"},
      {.name = "lora-targets",
       .kind = ValueKind::text,
       .value_name = "LAYERS",
       .help = "which linear layers get adapters: names, or all-linear",
       .list = ListStyle::commas,
       .more = "Default: the query and value projections of every attention."},
      {.name = "lora-dtype", .kind = ValueKind::choice, .value_name = "KIND", .help = "of the adapters", .default_text = "float32", .choices = {"float32", "weights"}},
      {.name = "sequence", .kind = ValueKind::integer, .value_name = "TOKENS", .help = "tokens of each training sequence", .default_text = "2048"},
      {.name = "micro-batch", .kind = ValueKind::integer, .value_name = "N", .help = "sequences a device computes at once", .default_text = "1"},
  };
}

bool asks_for_training(const Options& options) {
  if (options.given("train")) return true;
  for (const std::string_view name : kOnlyTraining) {
    if (options.given(name)) throw UsageError(fmt::format("--{}: says how to train, and --train is not given", name), "add --train full, lora or qlora");
  }
  return false;
}

TrainingResult estimate_training(spec::SpecLibrary& library, const FoundModel& model, const Options& options) {
  TrainingResult out;
  out.pool = device_pool_of(options);
  out.mode = options.text("train");
  out.recompute = options.text("recompute");
  out.offload = options.text("offload");
  out.request = request_of(options, out.pool);
  refuse_contradictions(options, out.request);
  const MetaGraph graph = build_checkpoint_graph(library, model.config);
  out.class_name = graph.class_name;
  const TrainingPlan plan(graph, options.list("lora-targets"));
  const std::vector<DType> dtypes = options.given("dtypes") ? options.dtypes("dtypes") : std::vector{DType::bfloat16};
  for (const DType dtype : dtypes) {
    TrainingRequest request = out.request;
    request.dtype = dtype;
    TrainingRow row{.dtype = dtype, .memory = plan.memory(request), .verdict = {}};
    if (out.pool) {
      row.verdict = fit_training(row.memory, out.pool->usable_bytes);
      if (out.rows.empty() && *row.verdict == FitVerdict::no) out.remedies = remedies_of(plan, request, *out.pool);
    }
    out.rows.push_back(std::move(row));
  }
  const std::int64_t stated = stated_context(model.config.data);
  if (stated > 0 && out.request.sequence > stated) {
    out.warnings.push_back(fmt::format("sequences of {} tokens are longer than the {} positions that the config states", grouped_digits(out.request.sequence), grouped_digits(stated)));
  }
  for (const std::string& unknown : out.rows.front().memory.unknown) out.warnings.push_back(fmt::format("the sums are too small, unknown is: {}", unknown));
  return out;
}

std::string training_text(const TrainingResult& result, const Terminal& terminal) {
  std::string out = fmt::format("{}\n{}{}", headline(result), box_table(need_table(result), terminal), trainable_line(result));
  if (result.request.sharding.devices() > 1) out += box_table(share_table(result, terminal), terminal);
  if (!result.pool) return out;
  out += pool_line(*result.pool);
  for (const TrainingRow& row : result.rows) {
    out += fit_line(name(row.dtype), *row.verdict, row.memory.total, result.pool->usable_bytes, terminal);
  }
  if (!result.remedies.empty()) out += fmt::format("what would make it fit: {}\n", fmt::join(result.remedies, "; "));
  return out;
}

std::string training_markdown(const TrainingResult& result) {
  std::string out = fmt::format("{}:\n\n{}\n{}", headline(result), markdown_table(need_table(result)), trainable_line(result));
  if (result.request.sharding.devices() > 1) out += fmt::format("\n{}", markdown_table(share_table(result, {})));
  return out;
}

namespace {

Json shares_json(const TrainingMemory& memory) {
  Json out = Json::array();
  for (const TrainingShare& share : memory.shares) {
    out.push_back({{"first", share.first_device}, {"count", share.devices}, {"first_layer", share.first_layer}, {"layers", share.layers},
                   {"weights_bytes", share.weights_bytes}, {"gradients_bytes", share.gradients_bytes}, {"optimizer_bytes", share.optimizer_bytes},
                   {"activations_bytes", share.activations_bytes()}, {"logits_bytes", share.logits_bytes}, {"gathered_bytes", share.gathered_bytes},
                   {"bucket_bytes", share.bucket_bytes}, {"total", range_json(share.total)}});
  }
  return out;
}

}  // namespace

Json training_json(const TrainingResult& result) {
  const TrainingRequest& r = result.request;
  Json json{{"class", result.class_name},       {"mode", result.mode},
            {"optimizer", r.optimizer.name},    {"sharding", r.sharding.text}, {"offload", result.offload},
            {"devices", r.sharding.devices()},  {"recompute", result.recompute},
            {"master_weights", r.master_weights}, {"compiled", r.compiled},     {"sequence", r.sequence},
            {"micro_batch", r.micro_batch},     {"trainable_parameters", result.rows.front().memory.trainable_parameters}};
  if (r.mode != TrainMode::full) json["lora_rank"] = r.rank;
  if (result.pool) json["device"] = pool_json(*result.pool);
  Json rows = Json::array();
  for (const TrainingRow& row : result.rows) {
    const TrainingMemory& m = row.memory;
    Json item{{"dtype", name(row.dtype)},
              {"weights_bytes", m.weights_bytes},
              {"gradients_bytes", m.gradients_bytes},
              {"optimizer_bytes", m.optimizer_bytes},
              {"activations_bytes", m.activations_bytes()},
              {"logits_bytes", m.logits_bytes},
              {"gathered_bytes", m.gathered_bytes},
              {"bucket_bytes", m.bucket_bytes},
              {"overhead", range_json(m.overhead)},
              {"total", range_json(m.total)}};
    if (row.verdict) item["fit"] = {{"verdict", to_string(*row.verdict)}, {"free_bytes", result.pool->usable_bytes - m.total.expected}};
    if (m.host.expected > 0) item["host"] = range_json(m.host);
    item["devices"] = shares_json(m);
    item["assumptions"] = m.assumptions;
    rows.push_back(std::move(item));
  }
  json["dtypes"] = std::move(rows);
  if (!result.remedies.empty()) json["remedies"] = result.remedies;
  return json;
}

}  // namespace bigmodel::app
