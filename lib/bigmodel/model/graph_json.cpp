// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/graph_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/template_pool.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

const Json* member(const Json& object, std::string_view key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string_view kind_of(const Json& value) { return value.type_name(); }

class Reader {
 public:
  explicit Reader(const std::string& object) : object_(object) {}

  std::shared_ptr<const ModuleTemplate> module(const Json& value, const std::string& path) {
    if (!value.is_object()) fail(path, fmt::format("expected a module as an object, got {}", kind_of(value)));
    ModuleTemplate out;
    if (const Json* name = member(value, "class")) {
      if (!name->is_string()) fail(path, fmt::format("class: expected text, got {}", kind_of(*name)));
      out.class_name = name->get<std::string>();
    } else {
      out.class_name = "Module";
    }
    std::unordered_set<std::string> names;
    const Json* parameters = member(value, "parameters");
    tensors(parameters != nullptr ? parameters : member(value, "params"), path, false, out.parameters, names);
    tensors(member(value, "buffers"), path, true, out.buffers, names);
    if (const Json* children = member(value, "children")) {
      if (!children->is_array()) fail(path, fmt::format("children: expected a list, got {}", kind_of(*children)));
      for (const Json& child : *children) {
        if (!child.is_object()) fail(path, fmt::format("expected a child as an object, got {}", kind_of(child)));
        const Json* name = member(child, "name");
        if (name == nullptr || !name->is_string()) fail(path, "a child without a name");
        const std::string& local = name->get_ref<const std::string&>();
        check_name(local, path, names);
        std::shared_ptr<const ModuleTemplate> built = module(child, path.empty() ? local : path + "." + local);
        out.module_count = checked_add(out.module_count, built->module_count, path);
        append_children(out.children, local, 1, std::move(built));
      }
    }
    return pool_.intern(std::move(out));
  }

 private:
  [[noreturn]] void fail(const std::string& path, const std::string& what) const {
    throw FormatError(fmt::format("{}: {}: {}", object_, path.empty() ? std::string("the root") : "module '" + path.substr(0, 200) + "'", what));
  }

  void check_name(const std::string& name, const std::string& path, std::unordered_set<std::string>& names) const {
    if (name.empty()) fail(path, "an empty name");
    if (name.find('.') != std::string::npos) fail(path, fmt::format("name '{}' has a dot", name.substr(0, 200)));
    if (!names.insert(name).second) fail(path, fmt::format("name '{}' is given twice", name.substr(0, 200)));
  }

  void tensors(const Json* list, const std::string& path, bool buffers, std::vector<TensorTemplate>& out, std::unordered_set<std::string>& names) const {
    if (list == nullptr) return;
    const std::string_view expected = buffers ? "[name, shape, dtype, persistent]" : "[name, shape, dtype]";
    if (!list->is_array()) fail(path, fmt::format("expected a list of {}, got {}", expected, kind_of(*list)));
    for (const Json& row : *list) {
      const bool whole = row.is_array() && row.size() >= 2 && row.size() <= (buffers ? 4U : 3U) && row[0].is_string() && row[1].is_array();
      if (!whole) fail(path, fmt::format("expected {}, got {}", expected, row.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 100)));
      TensorTemplate t;
      t.name = row[0].get<std::string>();
      check_name(t.name, path, names);
      for (const Json& dimension : row[1]) {
        if (!dimension.is_number_integer() || (dimension.is_number_unsigned() && dimension.get<std::uint64_t>() > INT64_MAX)) {
          fail(path, fmt::format("'{}': expected whole dimensions", t.name));
        }
        t.shape.push_back(dimension.get<std::int64_t>());
      }
      element_count(t.shape, fmt::format("{}: {}", object_, path.empty() ? t.name : path + "." + t.name));
      if (row.size() > 2 && !row[2].is_null()) {
        const std::optional<DType> dtype = row[2].is_string() ? find_dtype(row[2].get<std::string>()) : std::nullopt;
        if (!dtype) fail(path, fmt::format("'{}': expected a dtype, got {}", t.name, row[2].dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 100)));
        t.dtype = *dtype;
      }
      if (row.size() > 3 && !row[3].is_null()) {
        if (!row[3].is_boolean()) fail(path, fmt::format("'{}': persistent: expected true or false", t.name));
        t.persistent = row[3].get<bool>();
      }
      out.push_back(std::move(t));
    }
  }

  const std::string& object_;
  TemplatePool pool_;
};

void read_ties(MetaGraph& graph, const Json& ties, const std::string& object) {
  const auto fail = [&object](const std::string& what) { throw FormatError(fmt::format("{}: ties: {}", object, what)); };
  if (!ties.is_array()) fail(fmt::format("expected a list of lists of names, got {}", kind_of(ties)));
  if (ties.empty()) return;
  struct Place {
    std::int64_t at;
    const TensorTemplate* tensor;
  };
  std::unordered_map<std::string, Place> places;
  std::int64_t next = 0;
  for_each_tensor(graph, [&](const TensorVisit& v) {
    if (!v.is_buffer) places.emplace(v.name, Place{next++, &v.tensor});
  });
  std::unordered_set<std::string> used;
  for (const Json& group : ties) {
    if (!group.is_array() || group.size() < 2) fail("expected groups of at least two names");
    std::vector<std::string> names;
    for (const Json& name : group) {
      if (!name.is_string()) fail(fmt::format("expected names, got {}", kind_of(name)));
      const std::string text = name.get<std::string>();
      const auto it = places.find(text);
      if (it == places.end()) fail(fmt::format("'{}' is no parameter", text.substr(0, 200)));
      if (!used.insert(text).second) fail(fmt::format("'{}' stands in two places", text.substr(0, 200)));
      const TensorTemplate& first = *places.at(group[0].get<std::string>()).tensor;
      if (it->second.tensor->shape != first.shape || it->second.tensor->dtype != first.dtype) {
        fail(fmt::format("'{}' and '{}' differ in shape or dtype", group[0].get<std::string>().substr(0, 200), text.substr(0, 200)));
      }
      names.push_back(text);
    }
    std::ranges::sort(names, {}, [&places](const std::string& name) { return places.at(name).at; });
    graph.tied.push_back(std::move(names));
  }
  std::ranges::sort(graph.tied, {}, [&places](const std::vector<std::string>& g) { return places.at(g.front()).at; });
  for (const std::vector<std::string>& group : graph.tied) graph.tie_sources.push_back(group.front());
}

Json tensor_rows(const std::vector<TensorTemplate>& tensors, bool buffers, DType model_dtype) {
  Json rows = Json::array();
  for (const TensorTemplate& t : tensors) {
    Json row = {t.name, t.shape, name(resolved_dtype(t, model_dtype))};
    if (buffers) row.push_back(t.persistent);
    rows.push_back(std::move(row));
  }
  return rows;
}

Json module_json(const std::string& name, const ModuleTemplate& module, DType model_dtype) {
  Json out = {{"name", name},
              {"class", module.class_name},
              {"parameters", tensor_rows(module.parameters, false, model_dtype)},
              {"buffers", tensor_rows(module.buffers, true, model_dtype)}};
  Json children = Json::array();
  for (const ModuleChild& child : module.children) {
    for (std::int64_t k = 0; k < child.count; ++k) children.push_back(module_json(child.name_at(k), *child.module, model_dtype));
  }
  out["children"] = std::move(children);
  return out;
}

}  // namespace

GraphJson parse_graph_json(const Json& value, const std::string& object) {
  if (!value.is_object()) throw FormatError(fmt::format("{}: expected a module tree as an object, got {}", object, kind_of(value)));
  const Json* wrapped = member(value, "graph_json");
  if (wrapped == nullptr) wrapped = member(value, "graph");
  const Json& root = wrapped != nullptr ? *wrapped : value;
  GraphJson out;
  out.graph.root = Reader(object).module(root, "");
  out.graph.class_name = out.graph.root->class_name;
  if (const Json* type = member(value, "model_type"); type != nullptr && type->is_string()) out.graph.model_type = type->get<std::string>();
  const Json* ties = member(value, "ties");
  if (ties == nullptr && root.is_object()) ties = member(root, "ties");
  if (ties != nullptr) read_ties(out.graph, *ties, object);
  if (const Json* classes = member(value, "no_split_modules")) {
    if (!classes->is_array()) throw FormatError(fmt::format("{}: no_split_modules: expected a list, got {}", object, kind_of(*classes)));
    for (const Json& c : *classes) {
      if (!c.is_string()) throw FormatError(fmt::format("{}: no_split_modules: expected class names, got {}", object, kind_of(c)));
      out.graph.no_split_modules.push_back(c.get<std::string>());
    }
    std::ranges::sort(out.graph.no_split_modules);
  }
  if (const Json* tied = member(value, "config_says_tied"); tied != nullptr && tied->is_boolean()) out.config_says_tied = tied->get<bool>();
  return out;
}

Json to_graph_json(const MetaGraph& graph, DType model_dtype) {
  Json out = module_json("", *graph.root, model_dtype);
  if (!graph.tied.empty()) out["ties"] = graph.tied;
  return out;
}

}  // namespace bigmodel
