// SPDX-License-Identifier: Apache-2.0
#include "engine/loading_record.h"

#include <algorithm>
#include <array>
#include <set>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/sha256.h"
#include "bigmodel/model/graph_json.h"
#include "support/json_lines.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string hash_of(const StoredTensor& tensor) { return sha256_hex(bytes_of(tensor)); }

Json files_of(const fs::path& folder) {
  if (!fs::is_directory(folder)) return nullptr;
  Json out = Json::object();
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  for (const std::string& name : names) {
    const std::string text = read_maybe_xz(folder / name);
    out[name] = {{"bytes", text.size()}, {"sha256", sha256_hex(std::as_bytes(std::span(text)))}};
  }
  return out;
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what)) {
    out += text.substr(0, at);
    out += by;
    text.remove_prefix(at + what.size());
  }
  out += text;
  return out;
}

/// Errors of torch, safetensors and Python itself, where we do what was meant.
bool is_reference_mistake(const std::string& error) {
  return error.find("device disk is invalid") != std::string::npos || error.find("Default process group") != std::string::npos;
}

/// What is wrong with the call besides.
bool is_due(const std::string& error) {
  return std::ranges::any_of(std::array{"doesn't have any device set", "this looks incorrect", "Unexpected key(s)", "we need a `value` to put in on"},
                             [&](const char* text) { return error.find(text) != std::string::npos; });
}

class Replay {
 public:
  Replay(const Json& record, const fs::path& checkpoints) : record_(record), folder_(checkpoints / record.at("model").get<std::string>()) {
    Json model = read_json_file(folder_ / "model.json");
    Json graph = model.at("root");
    graph["ties"] = model.at("ties");
    ties_ = model.at("ties");
    root_ = build_module_tree(parse_graph_json(graph, "model.json").graph);
    values_ = std::make_shared<CheckpointWeights>(open_checkpoint(folder_ / "values.safetensors"), disk_);
    offload_ = temp_ / "off";
  }

  std::string difference() {
    const std::string function = record_.at("function");
    start(function == "disk_offload" ? "values" : function == "load_checkpoint_and_dispatch" ? "meta" : record_.at("start").get<std::string>());
    std::string error;
    Messages messages;
    try {
      if (function == "load_checkpoint_in_model") {
        load(messages);
      } else if (function == "disk_offload") {
        disk_offload(*root_, {.offload_dir = offload_, .execution_device = &cpu_device(), .offload_buffers = record_.at("offload_buffers")});
      } else {
        dispatch(messages);
      }
    } catch (const Error& e) {
      error = e.what();
    }
    const std::string wanted = record_.contains("error") ? record_.at("error")[1].get<std::string>() : std::string{};
    if (is_reference_mistake(wanted)) {
      return error.empty() ? meant() : is_due(error) ? "" : "the reference fails by mistake, we fail too: " + error;
    }
    // accelerate writes a weight of another shape to disk, and fails when it is wanted.
    if (wanted.empty() && record_.value("checkpoint", "") == "bad-shape" && error.find("this looks incorrect") != std::string::npos) return {};
    if (wanted.empty() != error.empty()) return "error '" + error + "', wanted '" + wanted + "'";
    if (!wanted.empty()) return error_difference(clean(error), wanted);
    if (std::string d = messages_difference(messages); !d.empty()) return d;
    if (std::string d = tensors_difference(); !d.empty()) return d;
    if (record_.contains("offload_files")) {
      const Json files = files_of(offload_);
      // accelerate's folder appears even where nothing is written into it.
      if (files != record_.at("offload_files")) return "offload files " + files.dump() + "\n wanted " + record_.at("offload_files").dump();
    }
    if (record_.contains("hooks")) {
      Json hooks = Json::object();
      root_->for_each([&](Module& m) {
        if (m.hook() != nullptr) hooks[m.name()] = m.hook()->describe();
      });
      for (const auto& [name, hook] : record_.at("hooks").items()) {
        const std::string text = hook;
        const std::string ours = hooks.value(name, "none");
        if (text.starts_with("AlignDevicesHook") ? ours != text : !ours.starts_with("SequentialHook")) return "hook of '" + name + "': " + ours + ", wanted " + text;
      }
      if (hooks.size() != record_.at("hooks").size()) return "hooks " + hooks.dump();
    }
    return {};
  }

 private:
  void start(const std::string& how) {
    root_->for_each([&](Module& m) {
      for (ModuleTensor& t : m.tensors()) {
        if (how == "meta" && !t.is_buffer) continue;
        const auto token = t.tie;
        std::string source = t.full_name;
        for (const Json& group : ties_) {
          if (std::ranges::find(group, Json(source)) != group.end()) source = group[0];
        }
        StoredTensor value = how == "values" ? values_->at(source) : stored_tensor(t.view.dtype, t.view.shape);
        if (token != nullptr) {
          auto& shared = shared_[token.get()];
          if (shared.is_meta()) shared = value;
          value = shared;
        }
        t.set(value);
        t.tie = token;
      }
    });
  }

  std::optional<DeviceMap> device_map() const {
    if (record_.at("device_map").is_null()) return std::nullopt;
    DeviceMap out;
    for (const Json& pair : record_.at("device_map")) out.emplace_back(pair[0], pair[1].get<std::string>());
    return out;
  }

  void load(Messages& messages) {
    LoadCheckpointOptions o{.device_map = device_map(),
                            .offload_state_dict = record_.value("offload_state_dict", false),
                            .offload_buffers = record_.value("offload_buffers", false),
                            .strict = record_.value("strict", false)};
    if (record_.at("offload_folder").get<bool>()) o.offload_folder = offload_;
    if (record_.contains("dtype") && !record_.at("dtype").is_null()) o.dtype = find_dtype(record_.at("dtype").get<std::string>());
    if (record_.contains("keep_in_fp32_modules") && !record_.at("keep_in_fp32_modules").is_null()) o.keep_in_fp32_modules = record_.at("keep_in_fp32_modules");
    messages = load_checkpoint_in_model(*root_, folder_ / record_.at("checkpoint").get<std::string>(), o).messages;
  }

  void dispatch(Messages& messages) {
    LoadAndDispatchOptions o{.device_map = *device_map(), .offload_folder = offload_, .offload_buffers = record_.at("offload_buffers")};
    messages = load_checkpoint_and_dispatch(*root_, folder_ / record_.at("checkpoint").get<std::string>(), o).messages;
  }

  /// What the reference would have done: every weight is in its place.
  std::string meant() {
    std::shared_ptr<const CheckpointWeights> stored;
    if (fs::exists(offload_ / "index.json")) stored = open_offload_folder(offload_, disk_);
    std::string out;
    root_->for_each([&](Module& m) {
      for (const ModuleTensor& t : m.tensors()) {
        if (!t.is_buffer && t.is_meta() && (stored == nullptr || !stored->find(t.full_name)) && record_.at("checkpoint") != "missing-key") {
          out = "not what was meant: " + t.full_name + " is nowhere";
        }
      }
    });
    return out;
  }

  static std::string error_difference(const std::string& error, std::string wanted) {
    // What a strict load says of a name too many is Python's complaint about a missing attribute.
    if (wanted.ends_with("has no attribute 'not'")) return error.find("Unexpected key(s)") != std::string::npos ? "" : error;
    wanted = replaced(wanted, "\n\t", " ");
    if (wanted.ends_with('.')) wanted.pop_back();
    return error.find(wanted) == std::string::npos ? "error '" + error + "'\n wanted '" + wanted + "'" : "";
  }

  std::string clean(std::string text) const {
    text = replaced(text, folder_.string(), "CHECKPOINTS");
    text = replaced(text, offload_.string(), "OFFLOAD");
    // The order comes from a Python set.
    return replaced(text, "the disk and cpu.", "the cpu and disk.");
  }

  std::string messages_difference(const Messages& messages) const {
    std::multiset<std::string> ours, wanted;
    for (const DeviceMapMessage& m : messages) ours.insert(clean(m.text));
    for (const char* kind : {"warnings", "log"}) {
      if (!record_.contains(kind)) continue;
      for (const Json& m : record_.at(kind)) wanted.insert(clean(m[1]));
    }
    return ours == wanted ? "" : "messages " + Json(ours).dump() + "\n wanted " + Json(wanted).dump();
  }

  std::string tensors_difference() const {
    for (const Json& row : record_.at("tensors")) {
      const ModuleTensor& t = *find_tensor(*root_, row.at("name").get<std::string>());
      Json ours{{"name", t.full_name}, {"dtype", name(t.view.dtype)}, {"shape", t.view.shape}, {"device", t.device->name()}, {"sha256", nullptr}};
      if (!t.is_meta()) ours["sha256"] = hash_of(t);
      if (ours == row) continue;
      // A buffer of a "disk" module keeps the value that it was made with in accelerate; here it is loaded.
      const bool forgotten = t.is_buffer && row.at("device") == "cpu" && row.at("sha256") == hash_of(stored_tensor(t.view.dtype, t.view.shape));
      if (!forgotten) return "tensor " + ours.dump() + "\n wanted " + row.dump();
    }
    for (const Json& group : ties_) {
      const bool tied = find_tensor(*root_, group[0].get<std::string>())->is_same_parameter(*find_tensor(*root_, group[1].get<std::string>()));
      const bool wanted = record_.contains("tied") && std::ranges::find(record_.at("tied"), group) != record_.at("tied").end();
      if (record_.contains("tied") && tied != wanted) return "tied " + group.dump();
    }
    return {};
  }

  const Json& record_;
  fs::path folder_;
  TempFolder temp_;
  Disk disk_;
  fs::path offload_;
  Json ties_;
  std::map<const char*, StoredTensor> shared_;
  std::shared_ptr<const CheckpointWeights> values_;
  std::unique_ptr<Module> root_;
};

}  // namespace

std::string loading_difference(const Json& record, const fs::path& checkpoints) { return Replay(record, checkpoints).difference(); }

std::string state_dict_difference(const Json& record, const fs::path& folder) {
  const Disk disk;
  const TempFolder temp;
  if (record.contains("error") || !record.contains("tensors") || record.at("tensors").empty()) return {};
  const std::shared_ptr<const CheckpointWeights> stored = open_offload_folder(folder, disk);
  StateDict tensors;
  for (const Json& row : record.at("tensors")) {
    std::optional<StoredTensor> t = stored->find(row.at("name"));
    if (!t) return "not read: " + row.dump();
    if (name(t->view.dtype) != row.at("dtype") || Json(t->view.shape) != row.at("shape") || hash_of(*t) != row.at("sha256")) return "read otherwise: " + row.dump();
    tensors.emplace_back(row.at("name"), std::move(*t));
  }
  offload_state_dict(temp / "out", tensors, disk);
  const Json files = files_of(temp / "out");
  return files == record.at("files") ? "" : "files " + files.dump() + "\n wanted " + record.at("files").dump();
}

}  // namespace bigmodel::test
