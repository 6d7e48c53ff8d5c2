// SPDX-License-Identifier: Apache-2.0
#include "commands/inspect_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/disk_names.h"
#include "commands/model_json.h"
#include "commands/module_tree.h"
#include "commands/stored_checkpoint.h"
#include "render/digits.h"
#include "render/json_text.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

/// Where a checkpoint whose headers were read has each name.
class Places {
 public:
  explicit Places(const Checkpoint* checkpoint) : checkpoint_(checkpoint) {
    if (checkpoint == nullptr) return;
    for (const CheckpointTensor& tensor : checkpoint->tensors) tensors_.emplace(tensor.name, &tensor);
  }
  void add(Json& out, const std::string& name) const {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) return;
    out["file"] = checkpoint_->files[it->second->file].name;
    out["offset"] = it->second->offset;
    out["size_bytes"] = it->second->size_bytes;
  }

 private:
  const Checkpoint* checkpoint_;
  std::unordered_map<std::string_view, const CheckpointTensor*> tensors_;
};

Json tensor_json(const TensorVisit& visit, DType model_dtype, const Places& places) {
  Json out{{"name", visit.name},
           {"kind", visit.is_buffer ? "buffer" : "parameter"},
           {"dtype", name(resolved_dtype(visit.tensor, model_dtype))},
           {"shape", visit.tensor.shape}};
  if (visit.is_buffer) out["persistent"] = visit.tensor.persistent;
  if (!visit.tied_to.empty()) out["tied_to"] = visit.tied_to;
  places.add(out, visit.name);
  return out;
}

TextTable tensor_table(const InspectResult& result) {
  TextTable table{{{"name"}, {"kind"}, {"dtype"}, {"shape"}, {"bytes", Align::right}, {"note"}}, {}};
  for_each_tensor(result.graph, [&](const TensorVisit& visit) {
    const DType dtype = resolved_dtype(visit.tensor, result.dtype);
    std::string note;
    if (!visit.tied_to.empty()) note = fmt::format("tied to {}", visit.tied_to);
    if (visit.is_buffer && !visit.tensor.persistent) note = "not in the checkpoint";
    table.rows.push_back({visit.name, visit.is_buffer ? "buffer" : "parameter", std::string(name(dtype)),
                          to_string(visit.tensor.shape),
                          fmt::format("{}", byte_count(dtype, element_count(visit.tensor.shape, visit.name))), note});
  });
  return table;
}

Json tree_json(const TreeNode& node) {
  Json out{{"name", node.name}, {"class", node.class_name}, {"count", node.count}, {"parameters", node.parameters},
           {"bytes", node.size_bytes}};
  if (!node.children.empty()) {
    Json children = Json::array();
    for (const TreeNode& child : node.children) children.push_back(tree_json(child));
    out["children"] = std::move(children);
  }
  return out;
}

void tree_rows(const TreeNode& node, std::int64_t depth, const std::string& indent, const std::string& branch,
               bool unicode, TextTable& table) {
  const std::string label = node.name.empty() ? node.class_name
                            : node.count == 1 ? fmt::format("{}{}", branch, node.name)
                                              : fmt::format("{}{} x{}", branch, node.name, node.count);
  const auto size = [&](std::int64_t bytes) { return format_binary(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0))); };
  table.rows.push_back({label, node.name.empty() ? "" : node.class_name, grouped_digits(node.parameters), size(node.size_bytes),
                        node.count == 1 ? "" : "each"});
  if (depth <= 0) return;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const bool last = i + 1 == node.children.size();
    const std::string mark = unicode ? (last ? "└─ " : "├─ ") : (last ? "`- " : "|- ");
    const std::string below = unicode ? (last ? "   " : "│  ") : (last ? "   " : "|  ");
    tree_rows(node.children[i], depth - 1, indent + below, indent + mark, unicode, table);
  }
}

TextTable tree_table(const InspectResult& result, std::int64_t depth, bool unicode) {
  TextTable table{{{"module"}, {"class"}, {"parameters", Align::right}, {"size", Align::right}, {""}}, {}};
  tree_rows(module_tree(result.graph, result.dtype), depth, "", "", unicode, table);
  return table;
}

Json disk_json(const InspectResult& result) {
  Json disk = Json::array();
  for (const DiskTensor& tensor : disk_tensors(result.graph, result.dtype)) {
    disk.push_back(Json::array({tensor.name, tensor.shape, name(tensor.dtype)}));
  }
  return disk;
}

std::string summary_text(const InspectResult& result) {
  const GraphTotals totals = graph_totals(result.graph);
  const TreeNode tree = module_tree(result.graph, result.dtype);
  std::string out = fmt::format("{}: {} ({}, {})\n", result.model.argument, result.graph.class_name,
                                result.graph.model_type, result.model.config.library);
  const auto row = [&](std::string_view title, const std::string& value) {
    out += fmt::format("  {:<14}{}\n", title, value);
  };
  row("parameters", grouped_digits(totals.parameters));
  row("buffers", fmt::format("{} elements", grouped_digits(totals.buffers)));
  row("tensors", grouped_digits(totals.tensors));
  row("modules", grouped_digits(result.graph.root->module_count));
  row("size", fmt::format("{} ({} bytes) in {}", format_binary(static_cast<std::uint64_t>(tree.size_bytes)),
                          grouped_digits(tree.size_bytes), name(result.dtype)));
  row("not split", result.graph.no_split_modules.empty() ? "nothing named"
                                                         : fmt::format("{}", fmt::join(result.graph.no_split_modules, ", ")));
  for (const std::vector<std::string>& group : result.graph.tied) row("tied", fmt::format("{}", fmt::join(group, " = ")));
  if (result.model.checkpoint != nullptr) row("checkpoint", stored_line(*result.model.checkpoint, !result.model.config.quantization_method.empty()).substr(12));
  return out;
}

}  // namespace

void print_tensors(const InspectResult& result, Format format, Output& out) {
  const Places places(result.model.checkpoint.get());
  switch (format) {
    case Format::jsonl:
      for_each_tensor(result.graph, [&](const TensorVisit& visit) {
        out.line(json_text(tensor_json(visit, result.dtype, places), false));
      });
      return;
    case Format::json: {
      Json json = model_json("inspect", result.model, result.graph);
      json["dtype"] = name(result.dtype);
      Json tensors = Json::array();
      for_each_tensor(result.graph, [&](const TensorVisit& visit) { tensors.push_back(tensor_json(visit, result.dtype, places)); });
      json["tensors"] = std::move(tensors);
      json["assumptions"] = result.assumptions;
      json["warnings"] = result.warnings;
      out.line(json_text(json, out.terminal().is_tty));
      return;
    }
    case Format::csv: out.write(csv_table(tensor_table(result))); return;
    case Format::markdown: out.write(markdown_table(tensor_table(result))); return;
    case Format::table:
    case Format::accelerate: out.write(plain_table(tensor_table(result))); return;
  }
}

void print_overview(const InspectResult& result, const OverviewParts& parts, Format format, Output& out) {
  if (format == Format::csv || format == Format::markdown) {
    if (!parts.tree) throw UsageError("--format: the summary is no table", "use table or json");
    const TextTable table = tree_table(result, parts.depth, true);
    out.write(format == Format::csv ? csv_table(table) : markdown_table(table));
    return;
  }
  if (format == Format::json || format == Format::jsonl) {
    const GraphTotals totals = graph_totals(result.graph);
    Json json = model_json("inspect", result.model, result.graph);
    json["dtype"] = name(result.dtype);
    json["parameters"] = totals.parameters;
    json["buffers"] = totals.buffers;
    json["tensors"] = totals.tensors;
    json["modules"] = result.graph.root->module_count;
    if (parts.summary) {
      json["no_split_modules"] = result.graph.no_split_modules;
      json["tied"] = result.graph.tied;
      json["disk"] = disk_json(result);
    }
    if (result.model.checkpoint != nullptr) json["checkpoint"] = stored_json(*result.model.checkpoint, !result.model.config.quantization_method.empty());
    if (parts.tree) json["tree"] = tree_json(module_tree(result.graph, result.dtype));
    json["assumptions"] = result.assumptions;
    json["warnings"] = result.warnings;
    out.line(json_text(json, format == Format::json && out.terminal().is_tty));
    return;
  }
  if (parts.summary) out.write(summary_text(result));
  if (parts.summary && parts.tree) out.write("\n");
  if (parts.tree) out.write(plain_table(tree_table(result, parts.depth, out.terminal().unicode)));
}

}  // namespace bigmodel::app
