// SPDX-License-Identifier: Apache-2.0
#include "support/graph_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/disk_names.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::string>;

std::string first_difference(std::string_view kind, const Rows& want, const Rows& got) {
  for (std::size_t i = 0; i < std::min(want.size(), got.size()); ++i) {
    if (want[i] != got[i]) return fmt::format("{} #{}: expected {}, got {}", kind, i, want[i], got[i]);
  }
  if (want.size() == got.size()) return {};
  return fmt::format("{}: expected {}, got {}; {}", kind, want.size(), got.size(),
                     want.size() > got.size() ? "missing " + want[got.size()] : "extra " + got[want.size()]);
}

std::string row(std::string_view name, const Shape& shape, std::string_view dtype, std::string_view more = {}) {
  return fmt::format("{} {} {}{}", name, to_string(shape), dtype, more);
}

std::string plain_dtype(const Json& tensor) {
  if (tensor.size() < 3) return "float32";
  std::string name = tensor[2].get<std::string>();
  return name.starts_with("torch.") ? name.substr(6) : name;
}

std::string rows_difference(const Json& record, const MetaGraph& graph, bool each_name) {
  Rows want_params, want_buffers, got_params, got_buffers;
  for (const Json& p : record.at("params")) want_params.push_back(row(p[0].get<std::string>(), p[1].get<Shape>(), plain_dtype(p)));
  bool persistence = false;
  for (const Json& b : record.at("buffers")) {
    persistence = persistence || b.size() > 3;
    want_buffers.push_back(row(b[0].get<std::string>(), b[1].get<Shape>(), plain_dtype(b), b.size() > 3 ? (b[3].get<bool>() ? " saved" : " unsaved") : ""));
  }
  for_each_tensor(graph, [&](const TensorVisit& t) {
    const std::string_view dtype = name(resolved_dtype(t.tensor, DType::float32));
    if (t.is_buffer) {
      got_buffers.push_back(row(t.name, t.tensor.shape, dtype, !persistence ? "" : t.tensor.persistent ? " saved" : " unsaved"));
    } else if (each_name || t.tied_to.empty()) {
      got_params.push_back(row(t.name, t.tensor.shape, dtype));
    }
  });
  std::string out = first_difference("parameter", want_params, got_params);
  return out.empty() ? first_difference("buffer", want_buffers, got_buffers) : out;
}

std::string ties_difference(const Json& record, const MetaGraph& graph, bool each_name) {
  std::set<std::string> want, got;
  // The reference also shares buffers, computed ones at that; a graph ties parameters only.
  std::set<std::string> buffers;
  for (const Json& b : record.value("buffers", Json::array())) buffers.insert(b[0].get<std::string>());
  for (const Json& group : record.at("tied")) {
    if (buffers.contains(group[0].get<std::string>())) continue;
    if (each_name) {
      std::vector<std::string> names = group.get<std::vector<std::string>>();
      std::ranges::sort(names);
      want.insert(fmt::format("{}", fmt::join(names, " = ")));
    } else {
      want.insert(group[0].get<std::string>() + " = " + group[1].get<std::string>());
    }
  }
  for (std::vector<std::string> group : graph.tied) {
    if (each_name) {
      std::ranges::sort(group);
      got.insert(fmt::format("{}", fmt::join(group, " = ")));
    } else {
      for (std::size_t i = 1; i < group.size(); ++i) got.insert(group[i] + " = " + group[0]);
    }
  }
  return first_difference("tie", Rows(want.begin(), want.end()), Rows(got.begin(), got.end()));
}

/// The names on disk of a record that states none: each parameter under the first of its names, and the persistent buffers.
Json plain_disk(const Json& record) {
  std::set<std::string> copies;
  for (const Json& group : record.at("tied")) {
    for (std::size_t i = 1; i < group.size(); ++i) copies.insert(group[i].get<std::string>());
  }
  Json out = Json::array();
  for (const Json& p : record.at("params")) {
    if (!copies.contains(p[0].get<std::string>())) out.push_back(p);
  }
  for (const Json& b : record.at("buffers")) {
    if (b[3].get<bool>()) out.push_back(b);
  }
  return out;
}

std::string disk_difference(const Json& disk, const MetaGraph& graph) {
  Rows want, got;
  for (const Json& d : disk) want.push_back(fmt::format("{} {}", d[0].get<std::string>(), to_string(d[1].get<Shape>())));
  for (const DiskTensor& d : disk_tensors(graph, DType::float32)) got.push_back(fmt::format("{} {}", d.name, to_string(d.shape)));
  std::ranges::sort(want);
  std::ranges::sort(got);
  return first_difference("disk", want, got);
}

}  // namespace

std::string graph_difference(spec::SpecLibrary& library, const Json& record) {
  try {
    const Config config = parse_config(record.at("config").dump(), "config.json");
    const MetaGraph graph = build_meta_graph(library, config, {.class_name = record.at("class").get<std::string>()});
    // arch_mutations has pairs [name, kept name] and module classes; transformers has groups and every name.
    const bool each_name = !record.contains("modules") && !record.contains("each_tensor_once");
    std::string out;
    if (record.contains("params")) out = rows_difference(record, graph, each_name);
    if (out.empty() && record.contains("tied") && !record["tied"].is_null()) out = ties_difference(record, graph, each_name);
    if (out.empty() && record.contains("no_split") && !record["no_split"].is_null()) {
      Rows want = record["no_split"].get<Rows>();
      std::ranges::sort(want);
      out = first_difference("no_split", want, graph.no_split_modules);
    }
    if (out.empty() && record.contains("modules")) {
      Rows want, got;
      for (const Json& m : record["modules"]) want.push_back(m[0].get<std::string>() + " " + m[1].get<std::string>());
      for_each_module(graph, [&](const std::string& module, const ModuleTemplate& t) { got.push_back(module + " " + t.class_name); });
      out = first_difference("module", want, got);
    }
    if (out.empty() && record.contains("disk")) {
      const bool unknown = record["disk"].is_null() && (!record.contains("auto_class") || record.contains("disk_error") || record.contains("disk_prefix"));
      if (!unknown) out = disk_difference(record["disk"].is_array() ? record["disk"] : plain_disk(record), graph);
    }
    return out;
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace bigmodel::test
