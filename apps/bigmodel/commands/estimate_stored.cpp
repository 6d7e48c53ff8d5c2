// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_stored.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint_totals.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "render/digits.h"

namespace bigmodel::app {
namespace {

/// Above this the config and the headers are said to disagree.
constexpr double kTolerance = 0.01;

std::string binary(std::int64_t size_bytes) { return format_binary(static_cast<std::uint64_t>(size_bytes)); }

std::shared_ptr<const Checkpoint> headers_of(const FoundModel& model) {
  if (model.checkpoint != nullptr || !model.folder) return model.checkpoint;
  try {
    return std::make_shared<const Checkpoint>(open_checkpoint(checkpoint_folder(model)));
  } catch (const NotFoundError&) {
    return nullptr;  // no weights here
  }
}

/// What files hold takes the place of what the config lets expect; `beside_bytes` may be there too.
void take_headers(StoredEstimate& out, const Checkpoint& checkpoint, std::int64_t beside_bytes) {
  const std::int64_t expected = out.weights.bytes;
  out.from = "headers";
  out.weights.parts.clear();
  out.weights.elements = 0;
  const CheckpointTotals totals = checkpoint_totals(checkpoint);
  for (const DTypeTotal& total : totals.dtypes) {
    out.weights.parts.push_back({std::string(name(total.dtype)), 0, static_cast<std::int64_t>(total.size_bytes)});
    out.weights.elements += static_cast<std::int64_t>(total.parameters);
  }
  out.weights.bytes = static_cast<std::int64_t>(totals.size_bytes);
  const bool known = out.weights.unknown.empty();
  // Bytes in files need no knowledge of the method.
  out.weights.unknown.clear();
  const auto differs = [&](std::int64_t from) { return std::abs(static_cast<double>(out.weights.bytes - from)) > kTolerance * static_cast<double>(from); };
  if (known && differs(expected) && differs(expected + beside_bytes)) {
    out.warnings.push_back(fmt::format("the checkpoint holds {}, the config lets expect {}; the headers count", binary(out.weights.bytes), binary(expected)));
  }
}

}  // namespace

std::optional<StoredEstimate> estimate_stored(spec::SpecLibrary& library, const FoundModel& model) {
  const std::optional<QuantizationConfig> quantization = quantization_of(model.config);
  if (!quantization) return std::nullopt;
  const MetaGraph graph = build_checkpoint_graph(library, model.config);
  StoredEstimate out{.weights = price_stored_weights(graph, *quantization), .from = "config", .warnings = {}};
  out.compute_dtype = graph.stored_dtype.value_or(DType::bfloat16);
  out.warnings = out.weights.warnings;
  try {
    if (const auto checkpoint = headers_of(model)) {
      const std::optional<PredictionEstimate> beside = estimate_prediction(library, model.config);
      take_headers(out, *checkpoint, beside ? beside->weights.bytes : 0);
    }
  } catch (const Error& e) {
    out.warnings.push_back(fmt::format("the checkpoint beside the config cannot be read: {}", e.what()));
  }
  return out;
}

std::optional<PredictionEstimate> estimate_prediction(spec::SpecLibrary& library, const Config& config) {
  const std::optional<MetaGraph> graph = build_prediction_graph(library, config);
  if (!graph) return std::nullopt;
  const QuantizationConfig quantization = quantization_of(config).value_or(QuantizationConfig{});
  PredictionEstimate out{prediction_layers(config), price_stored_weights(*graph, quantization)};
  if (out.weights.parameters == 0) return std::nullopt;  // the config does not tell what they are
  return out;
}

std::string prediction_line(const PredictionEstimate& prediction) {
  return fmt::format("beside it {} of multi-token prediction: {} parameters, {} stored; not loaded",
                     prediction.layers == 1 ? "1 layer" : fmt::format("{} layers", prediction.layers), grouped_digits(prediction.weights.parameters), binary(prediction.weights.bytes));
}

nlohmann::ordered_json prediction_json(const PredictionEstimate& prediction) {
  return {{"layers", prediction.layers}, {"parameters", prediction.weights.parameters}, {"elements", prediction.weights.elements}, {"bytes", prediction.weights.bytes}};
}

std::string stored_weights_line(const StoredEstimate& stored) {
  std::string parts;
  for (const StoredWeights::Part& part : stored.weights.parts) parts += fmt::format("{}{} {}", parts.empty() ? "" : "; ", part.form, binary(part.bytes));
  return fmt::format("stored as {}: {} (from the {}: {}){}", stored.weights.method, binary(stored.weights.bytes), stored.from, parts,
                     stored.weights.unknown.empty() ? "" : ", incomplete");
}

nlohmann::ordered_json stored_weights_json(const StoredEstimate& stored) {
  nlohmann::ordered_json parts = nlohmann::ordered_json::array();
  for (const StoredWeights::Part& part : stored.weights.parts) {
    nlohmann::ordered_json row{{"form", part.form}, {"bytes", part.bytes}};
    if (stored.from == "config") row["parameters"] = part.parameters;
    parts.push_back(std::move(row));
  }
  nlohmann::ordered_json out{{"method", stored.weights.method}, {"from", stored.from}, {"parameters", stored.weights.parameters}, {"elements", stored.weights.elements},
                             {"bytes", stored.weights.bytes}, {"complete", stored.weights.unknown.empty()}, {"parts", std::move(parts)}};
  return out;
}

}  // namespace bigmodel::app
