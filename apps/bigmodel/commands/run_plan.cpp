// SPDX-License-Identifier: Apache-2.0
#include "commands/run_plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/auto_device_map.h"
#include "bigmodel/engine/infer.h"
#include "bigmodel/model/text_part.h"
#include "bigmodel/planning/activations.h"
#include "bigmodel/planning/optimal_map.h"
#include "bigmodel/planning/placement.h"
#include "commands/device_map_text.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

std::string size_text(std::int64_t bytes) { return format_binary(static_cast<std::uint64_t>(bytes)); }

/// The device of the nearest module above a part; RAM where the map names none.
std::string device_of(const DeviceMap& map, std::string_view name) {
  for (;;) {
    for (const auto& [module, device] : map) {
      if (module == name) return to_string(device);
    }
    if (name.empty()) return "cpu";
    const std::size_t dot = name.rfind('.');
    name = dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
  }
}

/// Code, stacks and small allocations that only a pass touches: 0.2 to 0.7 MiB over the run goldens (tests/benchmarks/bench_foresight).
constexpr std::int64_t kTouchedLaterBytes = 512 << 10;

/// What lies in memory of this process now; 0 where the system does not say.
std::int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::int64_t all_pages = 0, resident_pages = 0;
  if (!(in >> all_pages >> resident_pages)) return 0;
  return resident_pages * ::sysconf(_SC_PAGESIZE);
}

/// What decoding reaches of the memory's bandwidth, threads that wait for each other and attention included: 0.83 to 0.88 on one kind of processor and
/// 0.97 to 1.01 on another, where nothing else ran (docs/measurements.md).
constexpr double kReachedOfMemory = 0.92;

TierSpeeds reached(TierSpeeds speeds) {
  const DeviceKey cpu = std::string("cpu");
  const double rate = speeds.of(cpu) * kReachedOfMemory;
  std::erase_if(speeds.measured, [&](const auto& tier) { return tier.first == cpu; });
  speeds.measured.emplace_back(cpu, rate);
  return speeds;
}

/// "cuda:0" for 0.
std::string device_name(const DeviceKey& device) {
  const std::string text = to_string(device);
  return std::holds_alternative<std::int64_t>(device) ? "cuda:" + text : text;
}

/// "12 tokens/s, bound by cpu"; of passes "at least 1.5 s, bound by disk", or nothing.
std::string predicted_text(const RunPlan& plan) {
  const Prediction& p = plan.predicted;
  if (!plan.generates) return p.bound == "disk" ? fmt::format("at least {:.3g} s, bound by disk", p.seconds_per_step) : std::string();
  return fmt::format("{} tokens/s, bound by {}", p.tokens_per_second >= 10 ? fmt::format("{:.0f}", p.tokens_per_second) : fmt::format("{:.3g}", p.tokens_per_second), p.bound);
}

}  // namespace

std::vector<OptionSpec> plan_option_rows() {
  return {{.name = "plan", .help = "show what would lie where, which tier binds and the predicted speed, and stop there", .settable = false},
          {.name = "bandwidth",
           .kind = ValueKind::text,
           .value_name = "DEVICE=RATE",
           .help = "what RAM and disk deliver, for the prediction, such as cpu=34GB/s,disk=2GB/s",
           .list = ListStyle::commas,
           .more = "bigmodel doctor --probe measures it; cpu=50GB/s and disk=2GB/s are assumed."}};
}

RunPlan plan_run(RunModel& model, const Options& options, const RunSize& size, Session& session) {
  RunPlan out;
  out.size = size;
  AutoMap found = run_device_map(model, options, size);
  out.map = std::move(found.device_map);
  model.reads_ahead = out.reads_ahead = found.reads_ahead;
  const std::size_t told = model.warnings.size();
  if (const std::int64_t stated = stated_context(model.found.config.data); stated > 0 && size.tokens > stated) {
    model.warnings.push_back(fmt::format("{} tokens are more than the {} positions that the config states: answers may make no sense", size.tokens, stated));
  }
  for (std::size_t i = told; i < model.warnings.size(); ++i) session.notes.warning(model.warnings[i]);
  TierSpeeds speeds;
  if (options.given("bandwidth")) speeds = parse_tier_speeds(options.list("bandwidth"));
  AutoMapRequest request = map_request(model, size);
  if (model.devices != nullptr) {
    speeds = model.devices->with_stated(std::move(speeds));
    for (const std::int64_t number : model.devices->needed(out.map)) request.accelerator_bytes.emplace_back(number, 0);
  }
  out.predicted = predict_time(placement_parts(model.planned(), engine_placement(request)), out.map, reached(speeds), size.sequences, out.reads_ahead);
  std::vector<DeviceKey> devices;
  for (const TierLoad& tier : out.predicted.tiers) {
    devices.push_back(tier.device);
    out.cache_bytes += tier.cache_bytes;
    if (is_accelerator(tier.device)) {
      out.gpu_bytes.emplace_back(device_name(tier.device), tier.weights_bytes);
    } else {
      (to_string(tier.device) == "disk" ? out.disk_bytes : out.ram_bytes) += tier.weights_bytes;
    }
  }
  out.generates = generates(model.graph);
  if (out.generates || out.predicted.bound == "disk") out.assumed_speeds = speeds.assumed(devices);
  // Layers are streamed whole.
  PlacementRequest whole = engine_placement(request);
  whole.no_split = model.graph.no_split_modules;
  std::int64_t streamed = 0, largest = 0;
  for (const PlacementPart& part : placement_parts(model.planned(), whole)) {
    if (part.slot_bytes == 0 || device_of(out.map, part.names.front()) != "disk") continue;
    ++streamed;
    largest = std::max(largest, part.slot_bytes);
  }
  out.slot_bytes = std::min(streamed, out.reads_ahead ? OptimalRequest{}.streaming_slots : 1) * largest;
  out.workspace_bytes = activation_size(activation_widths(model.graph), {.tokens = std::max<std::int64_t>(size.prompt_tokens * size.sequences, 1),
                                                                         .sequences = std::max<std::int64_t>(size.sequences, 1),
                                                                         .context = std::max<std::int64_t>(size.tokens, 1),
                                                                         .dtype = DType::float32,
                                                                         .all_logits = options.given("logits")})
                            .peak_bytes +
                        model.cast_bytes;
  out.program_bytes = resident_bytes() + kTouchedLaterBytes;
  return out;
}

std::string plan_line(const RunPlan& plan) {
  std::string out = "plan: weights ";
  for (const auto& [device, bytes] : plan.gpu_bytes) out += fmt::format("{} on {}, ", size_text(bytes), device);
  out += fmt::format("{} in RAM", size_text(plan.ram_bytes));
  if (plan.disk_bytes > 0) out += fmt::format(", {} from disk{}", size_text(plan.disk_bytes), plan.reads_ahead ? "" : " and not ahead (there is room for one slot)");
  out += fmt::format(", peak {}", size_text(plan.peak_bytes()));
  const std::string predicted = predicted_text(plan);
  return predicted.empty() ? out : out + "; predicted " + predicted;
}

std::string plan_text(const RunPlan& plan) {
  std::string out;
  for (const auto& [device, bytes] : plan.gpu_bytes) out += fmt::format("{:<17}{}\n", "on " + device, size_text(bytes));
  out += fmt::format("weights in RAM   {}\n", size_text(plan.ram_bytes));
  out += fmt::format("weights on disk  {}{}\n", size_text(plan.disk_bytes), plan.disk_bytes > 0 ? fmt::format(", read in every pass through {} of slots{}", size_text(plan.slot_bytes), plan.reads_ahead ? "" : ", none of them ahead: there is room for one") : "");
  out += fmt::format("KV cache         {} for {} tokens of {} sequence{}\n", size_text(plan.cache_bytes), plan.size.tokens, plan.size.sequences, plan.size.sequences == 1 ? "" : "s");
  out += fmt::format("activations      {}\n", size_text(plan.workspace_bytes));
  out += fmt::format("peak             {}, beside the program itself ({})\n", size_text(plan.peak_bytes()), size_text(plan.program_bytes));
  if (const std::string predicted = predicted_text(plan); !predicted.empty()) {
    out += "predicted        " + predicted;
    if (!plan.assumed_speeds.empty()) out += fmt::format("; {} assumed, bigmodel doctor --probe measures", plan.assumed_speeds);
    out += "\n";
  }
  return out + fmt::format("device map       {}\n", json_text(device_map_json(plan.map), false));
}

nlohmann::ordered_json prediction_json(const RunPlan& plan) {
  // The keys are always there; null is what nobody can tell.
  nlohmann::ordered_json out = {{"tokens_per_second", nullptr}, {"bound", nullptr}};
  if (plan.generates) out["tokens_per_second"] = plan.predicted.tokens_per_second;
  if (!predicted_text(plan).empty()) out["bound"] = plan.predicted.bound;
  out["peak_bytes"] = plan.peak_bytes();
  out["kv_cache_bytes"] = plan.cache_bytes;
  out["workspace_bytes"] = plan.workspace_bytes;
  out["slot_bytes"] = plan.slot_bytes;
  out["program_bytes"] = plan.program_bytes;
  return out;
}

}  // namespace bigmodel::app
