// SPDX-License-Identifier: Apache-2.0
// How the running part of `estimate-memory` is shown: tables, bars, and the object `inference` of the JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "commands/estimate_inference.h"
#include "render/bars.h"
#include "render/digits.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kBarCells = 40, kDeviceBarCells = 16;

std::string binary(std::int64_t size_bytes) {
  if (size_bytes < 0) return fmt::format("-{}", binary(-size_bytes));
  return format_binary(static_cast<std::uint64_t>(size_bytes));
}

std::string range_text(const ByteRange& range) {
  if (range.exact()) return binary(range.expected);
  return fmt::format("{} ({} to {})", binary(range.expected), binary(range.low), binary(range.high));
}

TextTable need_table(const InferenceResult& result) {
  TextTable table{{{"dtype"}, {"weights", Align::right}, {"KV cache", Align::right}, {"activations", Align::right},
                   {"overhead", Align::right}, {"total", Align::right}, {"between"}},
                  {}};
  for (const InferenceRow& row : result.rows) {
    const InferenceMemory& m = row.memory;
    table.rows.push_back({row.label, binary(m.weights_bytes), binary(m.cache.total_bytes),
                          binary(m.activations().expected), binary(m.overhead.expected), binary(m.total.expected),
                          fmt::format("{} and {}", binary(m.total.low), binary(m.total.high))});
  }
  return table;
}

std::string headline(const InferenceResult& result) {
  std::string out = fmt::format("to run {}: {} tokens, batch {}", result.class_name, grouped_digits(result.request.context),
                                grouped_digits(result.request.batch));
  if (result.request.beams > 1) out += fmt::format(", {} beams", result.request.beams);
  return out + fmt::format(", engine {}", result.engine);
}

/// "KV cache in bfloat16: 128.00 KiB a token and sequence, 24.00 KiB after 128 tokens, 12.00 KiB of states"
std::string cache_line(const InferenceRow& row) {
  const CacheSize& cache = row.memory.cache;
  std::string out = fmt::format("KV cache in {}: {} a token and sequence", row.memory.kv_format.name, binary(cache.bytes_per_token));
  if (cache.windows_full_at > 0) {
    out += fmt::format(", {} after {} tokens", binary(cache.bytes_per_token_when_full), grouped_digits(cache.windows_full_at));
  }
  if (cache.fixed_bytes_per_sequence > 0) out += fmt::format(", {} a sequence whatever its length", binary(cache.fixed_bytes_per_sequence));
  return out;
}

std::string solved_lines(const InferenceResult& result) {
  std::string out;
  const auto line = [&](const InferenceRow& row, std::string_view what, const std::optional<std::int64_t>& value, bool at_most) {
    const std::string found = value ? fmt::format("{}{}", grouped_digits(*value), at_most ? " or more" : "") : "none fits";
    out += fmt::format("{}: {} ({})\n", what, found, row.label);
  };
  for (const std::string& what : result.solve) {
    if (what == "dtype") {
      out += fmt::format("first dtype that fits: {}\n", result.widest_dtype ? *result.widest_dtype : "none");
      continue;
    }
    for (const InferenceRow& row : result.rows) {
      if (what == "context") {
        line(row, "largest context", row.solved_context, row.solved_context == result.most_context && result.most_context == kMostTokens);
      }
      if (what == "batch") line(row, "largest batch", row.solved_batch, false);
      if (what == "devices") line(row, "fewest devices", row.solved_devices, false);
    }
  }
  return out;
}

std::int64_t free_on(const Fit& fit, const DeviceShare& share) {
  return fit.usable_bytes - share.bytes() - fit.activations.expected - fit.overhead.expected;
}

/// What each device holds; one row for neighbours that hold the same.
TextTable device_table(const InferenceResult& result, const Terminal& terminal) {
  TextTable table{{{"dtype"}, {"device"}, {"layers"}, {"weights", Align::right}, {"KV cache", Align::right}, {"activations", Align::right},
                   {"overhead", Align::right}, {"free", Align::right}, {"use"}},
                  {}};
  for (const InferenceRow& row : result.rows) {
    const Fit& fit = *row.fit;
    for (const DeviceShare& share : fit.shares) {
      const std::int64_t left = free_on(fit, share);
      const double used = static_cast<double>(fit.usable_bytes - left) / static_cast<double>(std::max<std::int64_t>(fit.usable_bytes, 1));
      table.rows.push_back({row.label, number_range(share.first_device, share.devices), layers_text(share, result.request.split), binary(share.weights_bytes),
                            binary(share.cache_bytes), binary(fit.activations.expected), binary(fit.overhead.expected), binary(left),
                            fmt::format("{} {:3.0f} %", bar(used, kDeviceBarCells, terminal), 100 * used)});
    }
  }
  return table;
}

std::string fit_lines(const InferenceResult& result, const Terminal& terminal) {
  std::string out = pool_line(*result.pool);
  for (const InferenceRow& row : result.rows) out += fit_line(row.label, row.fit->verdict, row.fit->needed, row.fit->usable_bytes, terminal);
  if (result.pool->count > 1) out += box_table(device_table(result, terminal), terminal);
  if (!result.remedies.empty()) out += fmt::format("what would make it fit: {}\n", fmt::join(result.remedies, "; "));
  return out;
}

std::string parameters_line(const InferenceResult& result) {
  if (result.active_parameters == result.parameters) return {};
  return fmt::format("{} parameters lie in memory, {} work on each token\n", grouped_digits(result.parameters),
                     grouped_digits(result.active_parameters));
}

}  // namespace

std::string number_range(std::int64_t first, std::int64_t count) {
  return count == 1 ? fmt::format("{}", first) : fmt::format("{}-{}", first, first + count - 1);
}

std::string layers_text(const DeviceShare& share, SplitMode mode) {
  if (mode == SplitMode::tensor) return fmt::format("part of {}", share.layers);
  if (share.layers == 0) return "-";
  const std::string all = number_range(share.first_layer, share.layers * share.devices);
  return share.devices == 1 ? all : fmt::format("{}, {} each", all, share.layers);
}

std::string pool_line(const DevicePool& pool) {
  return fmt::format("on {}{} ({} usable{}):\n", pool.count > 1 ? fmt::format("{} x ", pool.count) : "", pool.name, binary(pool.usable_bytes),
                     pool.count > 1 ? " each" : "");
}

/// "bfloat16  [#####   ]  fits: 17.32 GiB of 23.28 GiB, 5.96 GiB free"
std::string fit_line(std::string_view label, FitVerdict verdict, const ByteRange& needed, std::int64_t usable_bytes, const Terminal& terminal) {
  const double share = static_cast<double>(needed.expected) / static_cast<double>(std::max<std::int64_t>(usable_bytes, 1));
  const Style style = verdict == FitVerdict::fits ? Style::green : verdict == FitVerdict::tight ? Style::yellow : Style::red;
  const std::int64_t free_bytes = usable_bytes - needed.expected;
  return fmt::format("  {:<9} {} {}: {}, {} {}\n", label, bar(share, kBarCells, terminal), styled(to_string(verdict), style, terminal),
                     range_text(needed), binary(std::abs(free_bytes)), free_bytes >= 0 ? "free" : "missing");
}

Json pool_json(const DevicePool& pool) {
  Json json{{"name", pool.name}, {"count", pool.count}, {"usable_bytes", pool.usable_bytes}, {"source", pool.source}};
  if (pool.bytes_per_second > 0) json["bytes_per_second"] = pool.bytes_per_second;
  return json;
}

Json range_json(const ByteRange& range) { return {{"low", range.low}, {"expected", range.expected}, {"high", range.high}}; }

std::string inference_text(const InferenceResult& result, const Terminal& terminal) {
  std::string out = fmt::format("{}\n{}{}\n{}", headline(result), box_table(need_table(result), terminal), cache_line(result.rows.front()),
                                parameters_line(result));
  if (result.pool) out += fit_lines(result, terminal);
  return out + solved_lines(result);
}

std::string inference_markdown(const InferenceResult& result) {
  std::string out = fmt::format("{}:\n\n{}\n{}.\n", headline(result), markdown_table(need_table(result)), cache_line(result.rows.front()));
  if (result.pool) {
    TextTable table{{{"dtype"}, {"device"}, {"verdict"}, {"needed", Align::right}, {"free", Align::right}}, {}};
    for (const InferenceRow& row : result.rows) {
      table.rows.push_back({row.label, fmt::format("{} x {}", result.pool->count, result.pool->name),
                            std::string(to_string(row.fit->verdict)), binary(row.fit->needed.expected), binary(row.fit->free_bytes)});
    }
    out += fmt::format("\n{}", markdown_table(table));
    if (result.pool->count > 1) out += fmt::format("\n{}", markdown_table(device_table(result, {})));
  }
  return out;
}

Json inference_json(const InferenceResult& result) {
  const auto devices_json = [](const Fit& fit) {
    Json out = Json::array();
    for (const DeviceShare& share : fit.shares) {
      out.push_back({{"first", share.first_device}, {"count", share.devices}, {"first_layer", share.first_layer}, {"layers", share.layers},
                     {"weights_bytes", share.weights_bytes}, {"kv_cache_bytes", share.cache_bytes}, {"activations", range_json(fit.activations)},
                     {"overhead", range_json(fit.overhead)}, {"free_bytes", free_on(fit, share)}});
    }
    return out;
  };
  Json json{{"class", result.class_name},
            {"context", result.request.context},
            {"batch", result.request.batch},
            {"beams", result.request.beams},
            {"engine", result.engine},
            {"attention", result.request.eager_attention ? "eager" : "flash"},
            {"parameters", result.parameters},
            {"active_parameters", result.active_parameters}};
  if (result.pool) json["device"] = pool_json(*result.pool);
  if (result.pool && result.pool->count > 1) json["split"] = result.request.split == SplitMode::tensor ? "tensor" : "layers";
  Json rows = Json::array();
  for (const InferenceRow& row : result.rows) {
    const InferenceMemory& m = row.memory;
    Json cache{{"dtype", m.kv_format.name},
               {"bytes", m.cache.total_bytes},
               {"bytes_per_token", m.cache.bytes_per_token},
               {"bytes_per_token_when_full", m.cache.bytes_per_token_when_full},
               {"fixed_bytes_per_sequence", m.cache.fixed_bytes_per_sequence},
               {"windows_full_at", m.cache.windows_full_at}};
    Json item{{"dtype", row.label},
              {"weights_bytes", m.weights_bytes},
              {"kv_cache", std::move(cache)},
              {"activations", {{"prefill_tokens", m.prefill_tokens}, {"prefill", range_json(m.prefill_activations)},
                               {"decode", range_json(m.decode_activations)}}},
              {"overhead", range_json(m.overhead)},
              {"phases", {{"load", range_json(m.load)}, {"prefill", range_json(m.prefill)}, {"decode", range_json(m.decode)}}},
              {"total", range_json(m.total)}};
    if (row.fit) {
      item["fit"] = {{"verdict", to_string(row.fit->verdict)}, {"weights_bytes", row.fit->weights_bytes},
                     {"kv_cache_bytes", row.fit->cache_bytes}, {"needed", range_json(row.fit->needed)}, {"free_bytes", row.fit->free_bytes},
                     {"devices", devices_json(*row.fit)}};
    }
    Json solved = Json::object();
    if (row.solved_context) solved["context"] = *row.solved_context;
    if (row.solved_batch) solved["batch"] = *row.solved_batch;
    if (row.solved_devices) solved["devices"] = *row.solved_devices;
    if (!solved.empty()) item["solve"] = std::move(solved);
    item["assumptions"] = m.assumptions;
    rows.push_back(std::move(item));
  }
  json["dtypes"] = std::move(rows);
  if (result.pool && std::ranges::find(result.solve, "dtype") != result.solve.end() && result.widest_dtype) {
    json["first_dtype_that_fits"] = *result.widest_dtype;
  }
  if (!result.remedies.empty()) json["remedies"] = result.remedies;
  return json;
}

}  // namespace bigmodel::app
