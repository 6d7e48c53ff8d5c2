// SPDX-License-Identifier: Apache-2.0
#include "commands/run_text.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "commands/device_map_text.h"
#include "commands/model_json.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

/// Of this program alone: what getrusage says begins with what the process had before it became this program.
std::uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

double RunResult::tokens_per_second() const {
  std::size_t tokens = 0;
  for (const auto& row : generated.ids) tokens += std::max<std::size_t>(row.size(), 1) - 1;
  return generated.decode_s > 0 ? static_cast<double>(tokens) / generated.decode_s : 0;
}

void RunResult::describe(const RunModel& from, RunPlan planned) {
  model = from.found;
  dtype = from.dtype;
  if (from.casting) storage_dtype = from.casting->storage_dtype;
  assumptions = from.assumptions;
  if (!planned.assumed_speeds.empty()) assumptions.push_back(fmt::format("the prediction takes {}", planned.assumed_speeds));
  warnings = from.warnings;
  drawn_seed = from.drawn_seed;
  if (drawn_seed) assumptions.push_back(fmt::format("tokens are drawn with seed {}", *drawn_seed));
  load_s = from.load_s;
  plan = std::move(planned);
  if (from.loaded == nullptr) {
    placement = {static_cast<std::uint64_t>(plan.ram_bytes), static_cast<std::uint64_t>(plan.disk_bytes), static_cast<std::uint64_t>(plan.slot_bytes), {}};
    for (const auto& [device, bytes] : plan.gpu_bytes) placement.device_bytes[device] = static_cast<std::uint64_t>(bytes);
    device_map = plan.map;
  } else {
    placement = from.loaded->placement();
    device_map = from.loaded->hf_device_map();
  }
}

ExitStatus show_plan(const RunModel& model, RunPlan plan, const Options& options, Output& out) {
  const bool json = options.flag("json") || options.text("format") != "text";
  if (!json) {
    out.write(plan_text(plan));
    return ExitStatus::done;
  }
  RunResult result;
  result.describe(model, std::move(plan));
  out.line(json_text(run_json(result, model.graph), out.terminal().is_tty && options.text("format") != "jsonl"));
  return ExitStatus::done;
}

Json run_json(const RunResult& result, const MetaGraph& graph) {
  const GenerateResult& g = result.generated;
  Json json = model_json("run", result.model, graph);
  json["dtype"] = std::string(name(result.dtype));
  if (result.storage_dtype) json["storage_dtype"] = std::string(name(*result.storage_dtype));
  json["prompt_ids"] = result.prompt_ids;
  json["output_ids"] = g.ids;
  json["texts"] = result.texts;
  Json finish = Json::array();
  for (const FinishReason reason : g.finish) finish.push_back(std::string(to_string(reason)));
  json["finish"] = std::move(finish);
  if (!g.logprobs.empty()) json["logprobs"] = g.logprobs;
  if (!g.scores.empty()) json["scores"] = g.scores;
  if (!result.outputs.empty()) {
    Json outputs = Json::object();
    for (const auto& [name, tensor] : result.outputs) outputs[name] = {{"dtype", "float32"}, {"shape", tensor.shape()}};
    json["outputs"] = std::move(outputs);
  }
  if (!result.answers.empty()) json["answers"] = answers_json(result.answers);
  json["placement"] = {{"gpu_bytes", result.placement.device_bytes}, {"ram_bytes", result.placement.ram_bytes}, {"disk_bytes", result.placement.disk_bytes}};
  json["hf_device_map"] = device_map_json(result.device_map);
  json["timings"] = {{"load_ms", result.load_s * 1e3},
                     {"prefill_ms", g.prefill_s * 1e3},
                     {"decode_ms_per_token", g.decode_steps > 0 ? g.decode_s * 1e3 / static_cast<double>(g.decode_steps) : 0.0},
                     {"tokens_per_second", result.tokens_per_second()}};
  json["predicted"] = prediction_json(result.plan);
  json["kv_cache_bytes"] = g.cache_bytes;
  json["peak_rss_bytes"] = peak_rss_bytes();
  json["assumptions"] = result.assumptions;
  json["warnings"] = result.warnings;
  return json;
}

std::string run_summary(const RunResult& result) {
  const GenerateResult& g = result.generated;
  std::string out = "weights: ";
  for (const auto& [device, bytes] : result.placement.device_bytes) out += fmt::format("{} on {}, ", format_binary(bytes), device);
  out += fmt::format("{} in RAM", format_binary(result.placement.ram_bytes));
  if (result.placement.disk_bytes > 0) {
    out += fmt::format(", {} from disk in every pass{} through {} of slots", format_binary(result.placement.disk_bytes),
                       result.placement.sliced_bytes == 0 ? "" : fmt::format(" (of {} of them the rows and experts that it wants)", format_binary(result.placement.sliced_bytes)),
                       format_binary(result.placement.slot_bytes));
  }
  if (g.ids.empty()) return g.prefill_s > 0 ? fmt::format("{}; computed in {:.0f} ms", out, g.prefill_s * 1e3) : out;
  std::size_t longest = 0;
  for (const auto& prompt : result.prompt_ids) longest = std::max(longest, prompt.size());
  out += fmt::format("; prompt of {} in {:.0f} ms", longest, g.prefill_s * 1e3);
  if (const double speed = result.tokens_per_second(); speed > 0) {
    out += fmt::format(", then {:.1f} tokens/s", speed);
    if (const double predicted = result.plan.predicted.tokens_per_second; predicted > 0) out += fmt::format(" ({:.0f} % of the predicted)", 100 * speed / predicted);
  }
  if (result.drawn_seed) out += fmt::format("; drawn with seed {}", *result.drawn_seed);
  if (g.finish.size() == 1) {
    const char* const why = g.finish.front() == FinishReason::eos ? "its end-of-sequence token" : g.finish.front() == FinishReason::stop ? "a stop text" : "the limit";
    out += fmt::format("; {} tokens, ended by {}", g.ids.front().size(), why);
  }
  return out;
}

}  // namespace bigmodel::app
