// SPDX-License-Identifier: Apache-2.0
#include "commands/inspect_checkpoint_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "commands/stored_checkpoint.h"
#include "render/digits.h"
#include "render/json_text.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

void add_statistics(Json& out, const TensorContent& content) {
  out["nan_count"] = content.nan_count;
  out["inf_count"] = content.inf_count;
  out["zero_count"] = content.statistics->zero_count;
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (value) out[key] = *value;
  };
  add("min", content.statistics->min);
  add("max", content.statistics->max);
  add("mean", content.statistics->mean);
  add("standard_deviation", content.statistics->standard_deviation);
}

Json tensor_json(const CheckpointInspection& result, std::size_t i) {
  const CheckpointTensor& tensor = result.checkpoint.tensors[i];
  Json out{{"name", tensor.name},
           {"kind", "tensor"},
           {"dtype", name(tensor.dtype)},
           {"shape", tensor.shape},
           {"file", result.checkpoint.files[tensor.file].name},
           {"offset", tensor.offset},
           {"size_bytes", tensor.size_bytes}};
  if (!tensor.contiguous()) out["strides"] = tensor.strides;
  if (const auto it = result.tied_to.find(tensor.name); it != result.tied_to.end()) out["tied_to"] = it->second;
  if (result.contents.empty()) return out;
  const TensorContent& content = result.contents[i];
  if (!content.sha256.empty()) out["sha256"] = content.sha256;
  if (content.statistics) add_statistics(out, content);
  return out;
}

TextTable tensor_table(const CheckpointInspection& result) {
  const bool digests = !result.contents.empty() && !result.contents.front().sha256.empty();
  const bool statistics = std::ranges::any_of(result.contents, [](const TensorContent& content) { return content.statistics.has_value(); });
  TextTable table{{{"name"}, {"dtype"}, {"shape"}, {"file"}, {"offset", Align::right}, {"bytes", Align::right}}, {}};
  if (statistics) {
    for (const char* title : {"min", "max", "mean", "deviation", "zeros", "NaN", "inf"}) table.columns.push_back({title, Align::right});
  }
  if (digests) table.columns.push_back({"sha256"});
  table.columns.push_back({"note"});
  const auto number = [](const std::optional<double>& value) { return value ? fmt::format("{:.6g}", *value) : std::string(); };
  for (std::size_t i = 0; i < result.checkpoint.tensors.size(); ++i) {
    const CheckpointTensor& tensor = result.checkpoint.tensors[i];
    std::vector<std::string> row{tensor.name,
                                 std::string(name(tensor.dtype)),
                                 to_string(tensor.shape),
                                 result.checkpoint.files[tensor.file].name,
                                 fmt::format("{}", tensor.offset),
                                 fmt::format("{}", tensor.size_bytes)};
    if (statistics) {
      const TensorContent& content = result.contents[i];
      const ValueStatistics values = content.statistics.value_or(ValueStatistics{});
      for (const std::optional<double>& value : {values.min, values.max, values.mean, values.standard_deviation}) row.push_back(number(value));
      row.push_back(content.statistics ? fmt::format("{}", values.zero_count) : "");
      row.push_back(fmt::format("{}", content.nan_count));
      row.push_back(fmt::format("{}", content.inf_count));
    }
    if (digests) row.push_back(result.contents[i].sha256);
    std::string note;
    if (!tensor.contiguous()) note = fmt::format("strides {}", to_string(tensor.strides));
    if (const auto it = result.tied_to.find(tensor.name); it != result.tied_to.end()) note = fmt::format("the same as {}", it->second);
    row.push_back(note);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Json layers_json(const CheckpointTotals& totals) {
  Json out = Json::array();
  for (const LayerTotal& layer : totals.layers) {
    out.push_back({{"name", layer.name}, {"count", layer.count}, {"tensors", layer.tensors}, {"parameters", layer.parameters}, {"bytes", layer.size_bytes}, {"dtypes", dtypes_json(layer.dtypes)}});
  }
  return out;
}

TextTable layer_table(const CheckpointTotals& totals) {
  TextTable table{{{"layer"}, {"tensors", Align::right}, {"parameters", Align::right}, {"size", Align::right}, {"dtypes"}, {""}}, {}};
  for (const LayerTotal& layer : totals.layers) {
    const bool several = layer.count > 1;
    table.rows.push_back({several ? fmt::format("{} x{}", layer.name, layer.count) : layer.name, fmt::format("{}", layer.tensors), grouped_digits(layer.parameters),
                          format_binary(layer.size_bytes), dtype_names(layer.dtypes), several ? "each" : ""});
  }
  return table;
}

std::vector<std::uint64_t> tensors_of_files(const Checkpoint& checkpoint) {
  std::vector<std::uint64_t> out(checkpoint.files.size());
  for (const CheckpointTensor& tensor : checkpoint.tensors) ++out[tensor.file];
  return out;
}

Json files_json(const Checkpoint& checkpoint) {
  const std::vector<std::uint64_t> tensors = tensors_of_files(checkpoint);
  Json out = Json::array();
  for (std::size_t i = 0; i < checkpoint.files.size(); ++i) {
    const CheckpointFile& file = checkpoint.files[i];
    Json row{{"name", file.name}, {"container", to_string(file.container)}, {"size_bytes", file.identity.size_bytes}, {"tensors", tensors[i]}};
    if (!file.metadata.empty()) {
      row["metadata"] = Json::object();
      for (const auto& [key, value] : file.metadata) row["metadata"][key] = value;
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string summary_text(const CheckpointInspection& result) {
  const Checkpoint& checkpoint = result.checkpoint;
  const std::vector<std::uint64_t> tensors = tensors_of_files(checkpoint);
  TextTable files{{{"file"}, {"container"}, {"tensors", Align::right}, {"size", Align::right}}, {}};
  for (std::size_t i = 0; i < checkpoint.files.size(); ++i) {
    const CheckpointFile& file = checkpoint.files[i];
    files.rows.push_back({file.name, std::string(to_string(file.container)), fmt::format("{}", tensors[i]), format_binary(file.identity.size_bytes)});
  }
  TextTable dtypes{{{"dtype"}, {"tensors", Align::right}, {"parameters", Align::right}, {"size", Align::right}}, {}};
  for (const DTypeTotal& total : result.totals.dtypes) {
    dtypes.rows.push_back({std::string(name(total.dtype)), fmt::format("{}", total.tensors), grouped_digits(total.parameters), format_binary(total.size_bytes)});
  }
  std::string out = fmt::format("{}: {} tensors, {} parameters, {}\n", result.argument, result.totals.tensors, grouped_digits(result.totals.parameters), format_binary(result.totals.size_bytes));
  if (checkpoint.index) {
    out += fmt::format("index: {}{}\n", checkpoint.index->name, checkpoint.index->total_size ? fmt::format(", total_size {}", *checkpoint.index->total_size) : "");
  }
  return out + "\n" + plain_table(files) + "\n" + plain_table(dtypes);
}

Json head_json(const CheckpointInspection& result) {
  Json out{{"schema", "bigmodel.inspect/1"}, {"model", result.argument}, {"source", result.source}, {"checkpoint", stored_json(result.totals, result.checkpoint.files.size())}};
  if (result.checkpoint.index) {
    out["index"] = result.checkpoint.index->name;
    if (result.checkpoint.index->total_size) out["total_size"] = *result.checkpoint.index->total_size;
  }
  out["files"] = files_json(result.checkpoint);
  return out;
}

}  // namespace

void print_checkpoint(const CheckpointInspection& result, const CheckpointView& view, Format format, Output& out) {
  const std::size_t count = result.checkpoint.tensors.size();
  if (format == Format::jsonl && view.tensors) {
    for (std::size_t i = 0; i < count; ++i) out.line(json_text(tensor_json(result, i), false));
    return;
  }
  if (format == Format::json || format == Format::jsonl) {
    Json json = head_json(result);
    if (view.layers) json["layers"] = layers_json(result.totals);
    if (view.tensors) {
      json["tensors"] = Json::array();
      for (std::size_t i = 0; i < count; ++i) json["tensors"].push_back(tensor_json(result, i));
    }
    json["assumptions"] = Json::array();
    json["warnings"] = result.checkpoint.notes;
    out.line(json_text(json, format == Format::json && out.terminal().is_tty));
    return;
  }
  if (format == Format::csv || format == Format::markdown) {
    if (!view.tensors && !view.layers) throw UsageError("--format: the summary is no table", "use table or json");
    const TextTable table = view.tensors ? tensor_table(result) : layer_table(result.totals);
    out.write(format == Format::csv ? csv_table(table) : markdown_table(table));
    return;
  }
  if (view.tensors) return out.write(plain_table(tensor_table(result)));
  if (view.summary) out.write(summary_text(result));
  if (view.summary && view.layers) out.write("\n");
  if (view.layers) out.write(plain_table(layer_table(result.totals)));
}

}  // namespace bigmodel::app
