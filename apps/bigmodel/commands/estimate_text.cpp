// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "commands/stored_checkpoint.h"
#include "render/accelerate_table.h"
#include "render/digits.h"
#include "render/json_text.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kInferenceNote =
    "Sizes are for loading, not inference: running a model takes up to 20 % more than the total";
constexpr std::string_view kInferenceSource =
    "https://huggingface.co/docs/accelerate/usage_guides/model_size_estimator";

std::string binary(std::int64_t size_bytes) { return format_binary(static_cast<std::uint64_t>(size_bytes)); }

std::string modules_text(const std::vector<std::string>& modules) {
  if (modules.empty()) return {};
  const std::string first = modules.front().empty() ? "(model)" : modules.front();
  return modules.size() == 1 ? first : fmt::format("{} and {} more", first, modules.size() - 1);
}

TextTable estimate_table(const EstimateResult& result) {
  TextTable table{{{"dtype"},
                   {"largest layer or residual group"},
                   {"total", Align::right},
                   {"training with Adam", Align::right}},
                  {}};
  for (const DtypeEstimate& row : result.estimate.dtypes) {
    table.rows.push_back({std::string(name(row.dtype)),
                          fmt::format("{}  {}", binary(row.largest_layer_bytes), modules_text(result.estimate.largest_modules)),
                          binary(row.total_bytes), binary(row.training_adam_bytes)});
  }
  return table;
}

/// "BertForMaskedLM: +2.6 MiB, --class auto"
std::string checkpoint_line(const EstimateResult& result) {
  const CheckpointClass& other = *result.checkpoint_class;
  const std::int64_t more = other.total_bytes - result.estimate.dtypes.front().total_bytes;
  if (more == 0) return fmt::format("{}: the same size, --class auto", other.class_name);
  return fmt::format("{}: {}{}{}, --class auto", other.class_name, more < 0 ? "-" : "+", binary(std::abs(more)),
                     result.estimate.dtypes.size() > 1 ? fmt::format(" in {}", name(result.estimate.dtypes.front().dtype)) : "");
}

std::string text_of(const EstimateResult& result, const Terminal& terminal) {
  if (result.components_only) {
    std::string out = fmt::format("{}\n{}", components_line(result.model.argument, *result.components), box_table(components_table(*result.components), terminal));
    return result.inference ? out + fmt::format("\n{}", inference_text(*result.inference, terminal)) : out;
  }
  std::string out = fmt::format("{}: {}, {} parameters\n", result.model.argument, result.class_name,
                                grouped_digits(result.parameters));
  out += box_table(estimate_table(result), terminal);
  if (result.checkpoint_class) out += checkpoint_line(result) + "\n";
  if (result.model.checkpoint != nullptr) out += stored_line(*result.model.checkpoint, result.stored.has_value()) + "\n";
  if (result.components) out += box_table(components_table(*result.components), terminal);
  if (result.stored) out += stored_weights_line(*result.stored) + "\n";
  if (result.prediction) out += prediction_line(*result.prediction) + "\n";
  if (result.inference) out += fmt::format("\n{}", inference_text(*result.inference, terminal));
  if (result.training) out += fmt::format("\n{}", training_text(*result.training, terminal));
  return out;
}

std::string markdown_of(const EstimateResult& result) {
  if (result.components_only) {
    std::string out = fmt::format("### {}\n\n{}\n", components_line(result.model.argument, *result.components), markdown_table(components_table(*result.components)));
    return result.inference ? out + fmt::format("\n{}", inference_markdown(*result.inference)) : out;
  }
  std::string out = fmt::format("### {}\n\n{}, {} parameters\n\n", result.model.argument, result.class_name,
                                grouped_digits(result.parameters));
  out += markdown_table(estimate_table(result));
  if (result.checkpoint_class) out += fmt::format("\n{}\n", checkpoint_line(result));
  if (result.model.checkpoint != nullptr) out += fmt::format("\n{}\n", stored_line(*result.model.checkpoint, result.stored.has_value()));
  if (result.components) out += fmt::format("\n{}", markdown_table(components_table(*result.components)));
  if (result.stored) out += fmt::format("\n{}\n", stored_weights_line(*result.stored));
  if (result.prediction) out += fmt::format("\n{}\n", prediction_line(*result.prediction));
  if (result.inference) out += fmt::format("\n{}", inference_markdown(*result.inference));
  if (result.training) out += fmt::format("\n{}", training_markdown(*result.training));
  return result.inference || result.training ? out : out + fmt::format("\n{} ([source]({})).\n", kInferenceNote, kInferenceSource);
}

std::string csv_of(const std::vector<EstimateResult>& results) {
  TextTable table{{{"model"}, {"class"}, {"dtype"}, {"largest_layer_bytes"}, {"largest_layer"}, {"total_bytes"},
                   {"training_adam_bytes"}},
                  {}};
  for (const EstimateResult& result : results) {
    if (result.components_only) {
      for (const Component& c : result.components->components) {
        table.rows.push_back({result.model.argument, c.class_name, "stored", "", c.name, fmt::format("{}", c.bytes), ""});
      }
      continue;
    }
    for (const DtypeEstimate& row : result.estimate.dtypes) {
      table.rows.push_back({result.model.argument, result.class_name, std::string(name(row.dtype)),
                            fmt::format("{}", row.largest_layer_bytes),
                            result.estimate.largest_modules.empty() ? "" : result.estimate.largest_modules.front(),
                            fmt::format("{}", row.total_bytes), fmt::format("{}", row.training_adam_bytes)});
    }
  }
  return csv_table(table);
}

/// The reference's own columns: sizes are those in float32 divided, whatever a quantiser would leave alone, and training
/// counts float32 masters for the 16-bit types and nothing for integers.
std::string accelerate_of(const EstimateResult& result) {
  std::vector<std::vector<std::string>> rows;
  for (const DtypeEstimate& row : result.estimate.dtypes) {
    const double factor = 32.0 / bit_size(row.dtype);
    // Only division makes Python's numbers floats, and float32 is not divided.
    const bool whole = row.dtype == DType::float32;
    std::string training = "N/A";
    if (row.dtype == DType::float32) training = accelerate_bytes(result.estimate.float32_total_bytes * 4, true);
    if (row.dtype == DType::float16 || row.dtype == DType::bfloat16) {
      training = accelerate_bytes(result.estimate.float32_total_bytes * 2, true);
    }
    rows.push_back({std::string(name(row.dtype)), accelerate_bytes(result.estimate.float32_largest_bytes / factor, whole),
                    accelerate_bytes(result.estimate.float32_total_bytes / factor, whole), training});
  }
  return accelerate_table(fmt::format("Memory Usage for loading `{}`", result.model.argument),
                          {"dtype", "Largest Layer", "Total Size", "Training using Adam"}, rows);
}

Json components_only_json(const EstimateResult& result) {
  const ComponentsResult& c = *result.components;
  Json json{{"schema", "bigmodel.estimate-memory/1"}, {"model", result.model.argument}, {"source", c.source}, {"library", c.library}};
  if (!c.class_name.empty()) json["class"] = c.class_name;
  json["parameters"] = c.parameters();
  json["tensors"] = c.tensors();
  json["total_bytes"] = c.bytes();
  json["components"] = components_json(c);
  if (result.inference) json["inference"] = inference_json(*result.inference);
  json["assumptions"] = result.assumptions;
  json["warnings"] = result.warnings;
  return json;
}

Json json_of(const EstimateResult& result) {
  if (result.components_only) return components_only_json(result);
  Json json{{"schema", "bigmodel.estimate-memory/1"},
            {"model", result.model.argument},
            {"source", result.model.source},
            {"library", result.model.config.library},
            {"model_type", result.model_type},
            {"class", result.class_name},
            {"parameters", result.parameters},
            {"buffers", result.buffers},
            {"tensors", result.tensors}};
  Json rows = Json::array();
  for (const DtypeEstimate& row : result.estimate.dtypes) {
    rows.push_back({{"dtype", name(row.dtype)},
                    {"largest_layer", {{"bytes", row.largest_layer_bytes}, {"modules", result.estimate.largest_modules}}},
                    {"total_bytes", row.total_bytes},
                    {"training_adam_bytes", row.training_adam_bytes}});
  }
  json["dtypes"] = std::move(rows);
  if (result.checkpoint_class) {
    json["checkpoint_class"] = {{"class", result.checkpoint_class->class_name},
                                {"parameters", result.checkpoint_class->parameters},
                                {"total_bytes", result.checkpoint_class->total_bytes}};
  }
  if (result.model.checkpoint != nullptr) json["checkpoint"] = stored_json(*result.model.checkpoint, result.stored.has_value());
  if (result.components) json["components"] = components_json(*result.components);
  if (result.stored) json["stored"] = stored_weights_json(*result.stored);
  if (result.prediction) json["prediction_layers"] = prediction_json(*result.prediction);
  if (result.inference) json["inference"] = inference_json(*result.inference);
  if (result.training) json["training"] = training_json(*result.training);
  json["assumptions"] = result.assumptions;
  json["warnings"] = result.warnings;
  if (!result.incomplete.empty()) json["incomplete"] = result.incomplete;
  return json;
}

}  // namespace

std::string estimate_markdown(const EstimateResult& result) { return markdown_of(result); }

void print_estimates(const std::vector<EstimateResult>& results, Format format, bool quiet, Output& out) {
  switch (format) {
    case Format::json: {
      if (results.size() == 1) {
        out.line(json_text(json_of(results.front()), out.terminal().is_tty));
        return;
      }
      Json array = Json::array();
      for (const EstimateResult& result : results) array.push_back(json_of(result));
      out.line(json_text(array, out.terminal().is_tty));
      return;
    }
    case Format::jsonl:
      for (const EstimateResult& result : results) out.line(json_text(json_of(result), false));
      return;
    case Format::csv: out.write(csv_of(results)); return;
    case Format::accelerate:
      for (const EstimateResult& result : results) out.write(accelerate_of(result));
      return;
    case Format::markdown:
      for (std::size_t i = 0; i < results.size(); ++i) out.write((i == 0 ? "" : "\n") + markdown_of(results[i]));
      return;
    case Format::table: break;
  }
  if (quiet) {
    for (const EstimateResult& result : results) {
      out.print("{}\n", result.components_only ? result.components->bytes() : result.estimate.dtypes.front().total_bytes);
    }
    return;
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    out.write((i == 0 ? "" : "\n") + text_of(results[i], out.terminal()));
  }
  // Where the call asked what running takes, the tables say it better than a rule of thumb.
  const EstimateResult& first = results.front();
  if (!first.inference && !first.training && !first.components_only) out.print("{}\n({}).\n", kInferenceNote, kInferenceSource);
}

}  // namespace bigmodel::app
