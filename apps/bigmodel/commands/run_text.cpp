// SPDX-License-Identifier: Apache-2.0
#include "commands/run_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "commands/model_json.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

double tokens_per_second(const GenerateResult& g, std::int64_t rows) {
  return g.decode_s > 0 ? static_cast<double>(g.decode_steps * rows) / g.decode_s : 0;
}

Json prompt_json(const TokenBatch& prompt) {
  Json rows = Json::array();
  if (!prompt.encoder_input.empty() && prompt.encoder_input.dtype() == DType::int64) {
    const TokenBatch source{prompt.rows, prompt.encoder_input.width(), {prompt.encoder_input.i64(), prompt.encoder_input.i64() + prompt.encoder_input.count()},
                            prompt.encoder_valid, {}, {}};
    return prompt_json(source);
  }
  for (std::int64_t r = 0; r < prompt.rows; ++r) {
    Json row = Json::array();
    for (std::int64_t c = 0; c < prompt.length; ++c) {
      const auto at = static_cast<std::size_t>(r * prompt.length + c);
      if (prompt.valid.empty() || prompt.valid[at] != 0) row.push_back(prompt.ids[at]);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

void print_run_json(const RunResult& result, const MetaGraph& graph, Output& out) {
  const GenerateResult& g = result.generated;
  Json json = model_json("run", result.model, graph);
  json["dtype"] = std::string(name(result.dtype));
  json["prompt_ids"] = prompt_json(result.prompt);
  json["output_ids"] = g.ids;
  json["texts"] = result.texts;
  Json finish = Json::array();
  for (const FinishReason reason : g.finish) finish.push_back(std::string(to_string(reason)));
  json["finish"] = std::move(finish);
  if (!result.outputs.empty()) {
    Json outputs = Json::object();
    for (const auto& [name, tensor] : result.outputs) outputs[name] = {{"dtype", "float32"}, {"shape", tensor.shape()}};
    json["outputs"] = std::move(outputs);
  }
  json["placement"] = {{"gpu_bytes", Json::object()}, {"ram_bytes", result.placement.ram_bytes}, {"disk_bytes", result.placement.disk_bytes}};
  Json map = Json::object();
  for (const auto& [module, device] : result.device_map) {
    if (const auto* number = std::get_if<std::int64_t>(&device)) {
      map[module] = *number;
    } else {
      map[module] = std::get<std::string>(device);
    }
  }
  json["hf_device_map"] = std::move(map);
  json["timings"] = {{"load_ms", result.load_s * 1e3},
                     {"prefill_ms", g.prefill_s * 1e3},
                     {"decode_ms_per_token", g.decode_steps > 0 ? g.decode_s * 1e3 / static_cast<double>(g.decode_steps) : 0.0},
                     {"tokens_per_second", tokens_per_second(g, result.prompt.rows)}};
  json["kv_cache_bytes"] = g.cache_bytes;
  json["peak_rss_bytes"] = result.peak_rss_bytes;
  json["assumptions"] = result.assumptions;
  json["warnings"] = result.warnings;
  out.line(json_text(json, out.terminal().is_tty));
}

std::string run_summary(const RunResult& result) {
  const GenerateResult& g = result.generated;
  std::string out = fmt::format("weights: {} in RAM", format_binary(result.placement.ram_bytes));
  if (result.placement.disk_bytes > 0) {
    out += fmt::format(", {} from disk in every pass through {} of slots", format_binary(result.placement.disk_bytes), format_binary(result.placement.slot_bytes));
  }
  if (result.generated.ids.empty()) return out;
  out += fmt::format("; prompt of {} in {:.0f} ms", result.prompt.length, g.prefill_s * 1e3);
  if (g.decode_steps > 0) out += fmt::format(", then {:.1f} tokens/s", tokens_per_second(g, result.prompt.rows));
  return out;
}

}  // namespace bigmodel::app
