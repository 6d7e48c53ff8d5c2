// SPDX-License-Identifier: Apache-2.0
#include "engine/hook_trace.h"

#include <algorithm>
#include <map>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/big_modeling.h"
#include "bigmodel/model/graph_json.h"
#include "engine/trace_modules.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

class Recording : public ModelHook {
 public:
  Recording(std::string label, bool adds_one) : label_(std::move(label)), adds_one_(adds_one) {}
  void pre_forward(Module&, Arguments& arguments, ForwardState&) override {
    if (adds_one_) arguments.front() = changed(arguments.front(), 1.0F, 1.0F);
  }
  void post_forward(Module&, Tensor& output, ForwardState&) override {
    if (adds_one_) output = changed(output, 2.0F, 0.0F);
  }
  std::string describe() const override { return adds_one_ ? "AddOne" : "Recording"; }
  const std::string& label() const { return label_; }

 private:
  static Tensor changed(const Tensor& x, float times, float plus) {
    Tensor out(x.shape());
    for (std::int64_t i = 0; i < x.count(); ++i) out.f32()[i] = x.f32()[i] * times + plus;
    return out;
  }
  std::string label_;
  bool adds_one_;
};

std::string class_of(const ModelHook& hook) {
  const std::string text = hook.describe();
  return text.substr(0, text.find('('));
}

Json device_json(const Device* device) { return device == nullptr ? Json(nullptr) : Json(device->name()); }

Json hook_json(const ModelHook& hook) {
  Json out{{"class", class_of(hook)}};
  if (const auto* sequence = dynamic_cast<const SequentialHook*>(&hook)) {
    out["hooks"] = Json::array();
    for (const auto& part : sequence->hooks()) out["hooks"].push_back(hook_json(*part));
  } else if (const auto* align = dynamic_cast<const AlignDevicesHook*>(&hook)) {
    const AlignDevices& s = align->settings();
    out["execution_device"] = device_json(s.execution_device);
    out["offload"] = s.offload;
    out["io_same_device"] = s.io_same_device;
    out["offload_buffers"] = s.offload_buffers;
    out["place_submodules"] = s.place_submodules;
    out["skip_keys"] = s.skip_keys.empty() ? Json(nullptr) : s.skip_keys.size() == 1 ? Json(s.skip_keys.front()) : Json(s.skip_keys);
  } else if (const auto* casting = dynamic_cast<const LayerwiseCastingHook*>(&hook)) {
    out["storage_dtype"] = name(casting->storage_dtype());
    out["compute_dtype"] = name(casting->compute_dtype());
  } else if (const auto* offload = dynamic_cast<const CpuOffload*>(&hook)) {
    out["execution_device"] = offload->execution_device().name();
  } else if (const auto* recording = dynamic_cast<const Recording*>(&hook)) {
    out["label"] = recording->label();
  }
  return out;
}

/// Which events of which hook the reference's recorder saw: those that the class itself defines.
bool is_recorded(const std::string& hook, HookEvent event) {
  if (hook == "CpuOffload") return event == HookEvent::init || event == HookEvent::pre_forward;
  return hook != "LayerwiseCastingHook" || event != HookEvent::detach;
}

class Replay : public HookObserver {
 public:
  explicit Replay(const Json& trace) : trace_(trace) {
    for (const auto& [label, model] : trace.at("models").items()) {
      Json graph = model.at("graph_json");
      graph["ties"] = model.at("ties");
      auto root = build_module_tree(parse_graph_json(graph, "trace").graph, &make_trace_module);
      for (const auto& [name, values] : model.at("values").items()) fill(*root, name, values);
      root->set_observer(this);
      models_.emplace_back(label, std::move(root));
    }
  }

  TraceResult run() {
    if (const std::string d = difference("start", state(), trace_.at("start")); !d.empty()) return {d, false};
    int number = 0;
    for (const Json& step : trace_.at("steps")) {
      const std::string at = "step " + std::to_string(number++) + " " + step.at("call").get<std::string>() + ": ";
      if (is_reference_mistake(step)) {
        Outcome outcome = call(step);
        if (!outcome.error.empty()) return {at + "the reference fails by mistake, we fail too: " + outcome.error, true};
        outcome = call(Json{{"call", "forward"}});
        const bool equal = outcome.output ? rows(*outcome.output) == trace_.at("plain_output").at("") : outcome.error.find("is on meta") != std::string::npos;
        return {equal ? "" : at + "not what was meant: " + outcome.error, true};
      }
      if (std::string d = step_difference(step); !d.empty()) return {at + d, false};
      if (abandoned_) return {};
    }
    return {};
  }

  void hook_begins(const Module&, const ModelHook&, HookEvent) override {
    states_.push_back(state());
    sets_.push_back(Json::array());
  }
  void hook_ends(const Module& module, const ModelHook& hook, HookEvent event) override {
    const Json before = states_.back();
    const Json set = sets_.back();
    states_.pop_back();
    sets_.pop_back();
    const std::string kind = class_of(hook);
    if (!is_recorded(kind, event)) return;
    static constexpr const char* kNames[] = {"init", "pre_forward", "post_forward", "detach"};
    Json row{{"module", labelled(module, module.name())}, {"hook", kind}, {"event", kNames[static_cast<int>(event)]}};
    if (const auto* recording = dynamic_cast<const Recording*>(&hook); recording != nullptr && kind == "Recording") row["label"] = recording->label();
    if (const auto* align = dynamic_cast<const AlignDevicesHook*>(&hook); align != nullptr && align->settings().execution_device != nullptr) {
      row["execution_device"] = align->settings().execution_device->name();
    }
    if (!set.empty()) row["set"] = set;
    Json changed = Json::array();
    const Json after = state();
    for (std::size_t i = 0; i < after.size(); ++i) {
      if (after[i] != before[i]) changed.push_back({after[i][0], before[i][1], before[i][2], after[i][1], after[i][2]});
    }
    // The reference only pretended to move those models.
    if (!changed.empty() && kind != "CpuOffload") row["changed"] = changed;
    events_.push_back(row);
  }
  void forward_begins(const Module& module) override { events_.push_back({{"module", labelled(module, module.name())}, {"event", "forward"}}); }
  void tensor_set(const ModuleTensor& tensor, const Device* device, bool with_value) override {
    if (sets_.empty()) return;
    Json row{tensor.full_name, device_json(device)};
    if (with_value) row.push_back("value");
    sets_.back().push_back(row);
  }
  void moved(const Module& module, const Device& device) override {
    for (const auto& [label, root] : models_) {
      if (root.get() == &module && !label.empty()) events_.push_back({{"event", "move"}, {"model", label}, {"to", device.name()}});
    }
  }

 private:
  struct Outcome {
    std::string error;
    std::optional<Tensor> output;
    std::optional<Json> returns;
    std::vector<std::string> messages;
  };

  static void fill(Module& root, const std::string& name, const Json& values) {
    ModuleTensor& t = *find_tensor(root, name);
    std::vector<std::byte> bytes;
    for (const Json& v : values) {
      const auto put = [&](auto value) {
        const auto part = std::as_bytes(std::span(&value, 1));
        bytes.insert(bytes.end(), part.begin(), part.end());
      };
      if (t.view.dtype == DType::int64) {
        put(v.get<std::int64_t>());
      } else {
        put(v.get<float>());
      }
    }
    const StoredTensor filled = stored_tensor(t.view.dtype, t.view.shape, bytes);
    const auto token = t.tie;
    if (token == nullptr) return t.set(filled);
    root.for_each([&](Module& m) {
      for (ModuleTensor& other : m.tensors()) {
        if (other.tie == token) static_cast<StoredTensor&>(other) = filled;
      }
    });
  }

  Module& model(const std::string& label = "") {
    for (const auto& [l, root] : models_) {
      if (l == label) return *root;
    }
    throw UsageError("no model " + label);
  }

  std::string labelled(const Module& module, const std::string& name) const {
    const Module* top = &module;
    while (top->parent() != nullptr) top = top->parent();
    for (const auto& [label, root] : models_) {
      if (root.get() == top && !label.empty()) return label + "/" + name;
    }
    return name;
  }

  Json state() const {
    Json out = Json::array();
    for (const auto& [label, root] : models_) {
      for (const bool buffers : {false, true}) {
        std::as_const(*root).for_each([&](const Module& m) {
          for (const ModuleTensor& t : m.tensors()) {
            if (t.is_buffer == buffers) out.push_back({labelled(m, t.full_name), t.device->name(), name(t.view.dtype)});
          }
        });
      }
    }
    return out;
  }

  Json hooks() const {
    Json out = Json::array();
    for (const auto& [label, root] : models_) {
      std::as_const(*root).for_each([&](const Module& m) {
        if (m.hook() != nullptr) out.push_back({labelled(m, m.name()), hook_json(*m.hook())});
      });
    }
    return out;
  }

  static Json rows(const Tensor& tensor) {
    Json out = Json::array();
    for (std::int64_t r = 0; r < tensor.rows(); ++r) {
      Json row = Json::array();
      for (std::int64_t i = 0; i < tensor.width(); ++i) row.push_back(tensor.f32()[r * tensor.width() + i]);
      out.push_back(row);
    }
    return out;
  }

  const Device* device(const Json& value) const { return value.is_null() ? nullptr : &devices_.at(value.get<std::string>()); }
  static std::vector<std::string> strings(const Json& value) {
    if (value.is_null()) return {};
    if (value.is_string()) return {value.get<std::string>()};
    return value.get<std::vector<std::string>>();
  }

  AttachHooks attach_options(const Json& step) {
    AttachHooks out{.offload_buffers = step.at("offload_buffers"), .preload_module_classes = strings(step.at("preload_module_classes"))};
    if (step.contains("skip_keys")) out.skip_keys = strings(step.at("skip_keys"));
    if (!step.at("weights_map").is_null()) {
      StateDict copies;
      for (const auto& [name, tensor] : state_dict(model())) copies.emplace_back(name, stored_tensor(tensor.view.dtype, tensor.view.shape, bytes_of(tensor)));
      out.weights_map = std::make_shared<StateDictWeights>(copies);
    }
    return out;
  }

  std::shared_ptr<ModelHook> make_hook(const Json& h) {
    const std::string kind = h.at("class");
    if (kind == "Recording" || kind == "AddOne") return std::make_shared<Recording>(h.at("label"), kind == "AddOne");
    if (kind == "SequentialHook") {
      std::vector<std::shared_ptr<ModelHook>> parts;
      for (const Json& part : h.at("hooks")) parts.push_back(make_hook(part));
      return std::make_shared<SequentialHook>(std::move(parts));
    }
    return std::make_shared<AlignDevicesHook>(AlignDevices{.execution_device = device(h.at("execution_device")),
                                                           .offload = h.at("offload"),
                                                           .io_same_device = h.at("io_same_device"),
                                                           .offload_buffers = h.at("offload_buffers"),
                                                           .place_submodules = h.at("place_submodules")});
  }

  void attach_blocks(const Json& step) {
    const Json& execution = step.at("execution_device");
    const Json& offload = step.at("offload");
    if (!execution.is_array() && !offload.is_array()) {
      return attach_align_device_hook_on_blocks(model(), device(execution), offload.get<bool>(), attach_options(step));
    }
    BlockDevices blocks;
    for (const Json& pair : offload.is_array() ? offload : execution) {
      const std::string name = pair[0];
      if (!execution.is_array()) blocks.execution_device.emplace_back(name, device(execution));
      if (!offload.is_array()) blocks.offload.emplace_back(name, offload.get<bool>());
    }
    if (execution.is_array()) {
      for (const Json& pair : execution) blocks.execution_device.emplace_back(pair[0], device(pair[1]));
    }
    if (offload.is_array()) {
      for (const Json& pair : offload) blocks.offload.emplace_back(pair[0], pair[1].get<bool>());
    }
    attach_align_device_hook_on_blocks(model(), blocks, attach_options(step));
  }

  void dispatch(const Json& step, Outcome& out) {
    DispatchModelOptions o{.main_device = device(step.at("main_device")),
                           .offload_dir = step.at("offload_dir").get<bool>() ? temp_ / "off" : std::filesystem::path{},
                           .offload_buffers = step.at("offload_buffers"),
                           .preload_module_classes = strings(step.at("preload_module_classes")),
                           .force_hooks = step.at("force_hooks"),
                           .devices = devices_};
    for (const Json& pair : step.at("device_map")) o.device_map.emplace_back(pair[0], pair[1].get<std::string>());
    for (const DeviceMapMessage& m : dispatch_model(model(), o)) out.messages.push_back(m.text);
  }

  void act(const Json& step, Outcome& out) {
    const std::string what = step.at("call");
    if (what == "forward") {
      const Json& input = trace_.at("input");
      Tensor x({2, 3});
      for (std::size_t i = 0; i < 6; ++i) x.f32()[i] = input[i / 3][i % 3].get<float>();
      out.output = model(step.value("model", ""))(x);
    } else if (what == "cpu_offload") {
      cpu_offload(model(), {.execution_device = device(step.at("execution_device")),
                            .offload_buffers = step.at("offload_buffers"),
                            .preload_module_classes = strings(step.at("preload_module_classes"))});
    } else if (what == "disk_offload") {
      disk_offload(model(), {.offload_dir = temp_ / "off",
                             .execution_device = device(step.at("execution_device")),
                             .offload_buffers = step.at("offload_buffers"),
                             .preload_module_classes = strings(step.at("preload_module_classes"))});
    } else if (what == "dispatch_model") {
      dispatch(step, out);
    } else if (what == "to") {
      model().to(*device(step.at("device")), &out.messages);
    } else if (what == "has_offloaded_params") {
      out.returns = Json::array();
      model().for_each([&](Module& m) {
        if (has_offloaded_params(m)) out.returns->push_back(m.name());
      });
    } else if (what == "align_module_device") {
      const std::string name = step.at("module");
      AlignedModule aligned(model().get_submodule(name), device(step.at("execution_device")));
      Json inside = Json::array();
      for (const Json& row : state()) {
        if (row[0].get<std::string>().starts_with(name)) inside.push_back(row);
      }
      events_.push_back({{"event", "inside"}, {"state", inside}});
      aligned.restore();
    } else if (what == "remove_hook_from_submodules") {
      remove_hook_from_submodules(model().get_submodule(step.at("module").get<std::string>()));
    } else if (what == "remove_hook_from_module") {
      remove_hook_from_module(model().get_submodule(step.at("module").get<std::string>()), step.at("recurse"));
    } else if (what == "attach_align_device_hook") {
      attach_align_device_hook(model(), device(step.at("execution_device")), step.at("offload"), attach_options(step));
    } else if (what == "attach_align_device_hook_on_blocks") {
      attach_blocks(step);
    } else if (what == "add_hook_to_module") {
      add_hook_to_module(model().get_submodule(step.at("module").get<std::string>()), make_hook(step.at("hook")), step.at("append"));
    } else if (what == "attach_layerwise_casting_hooks") {
      attach_layerwise_casting_hooks(model(), {.storage_dtype = *find_dtype(step.at("storage_dtype").get<std::string>()),
                                               .compute_dtype = *find_dtype(step.at("compute_dtype").get<std::string>()),
                                               .skip_modules_pattern = strings(step.at("skip_modules_pattern")),
                                               .skip_modules_classes = strings(step.at("skip_modules_classes"))});
    } else if (what == "cpu_offload_with_hook") {
      const Json& previous = step.at("prev_module_hook");
      user_hooks_[step.at("model")] = cpu_offload_with_hook(model(step.at("model")), cuda_, previous.is_null() ? nullptr : user_hooks_[previous]);
    } else if (what == "offload") {
      user_hooks_.at(step.at("model"))->offload();
    } else if (what == "remove") {
      user_hooks_.at(step.at("model"))->remove();
    } else {
      throw UsageError("unknown call " + what);
    }
  }

  Outcome call(const Json& step) {
    Outcome out;
    events_ = Json::array();
    try {
      act(step, out);
    } catch (const Error& e) {
      out.error = e.what();
    }
    return out;
  }

  /// accelerate asks for a non-persistent buffer below the module under its bare name, and for the index of a folder in which it wrote nothing.
  static bool is_reference_mistake(const Json& step) {
    if (!step.contains("error")) return false;
    const std::string text = step.at("error")[1];
    return text.find("does not have a parameter or a buffer named") != std::string::npos || text.find("index.json") != std::string::npos;
  }

  static void on_cpu(Json& events) {
    for (Json& event : events) {
      if (event.at("event") != "inside") continue;
      for (Json& row : event["state"]) row[1] = row[1].get<std::string>().starts_with("cpu:") ? Json("cpu") : row[1];
    }
  }

  static std::string difference(const std::string& what, const Json& ours, const Json& wanted) {
    return ours == wanted ? std::string{} : what + "\n    ours:   " + ours.dump().substr(0, 1500) + "\n    wanted: " + wanted.dump().substr(0, 1500);
  }

  std::string step_difference(const Json& step) {
    const Outcome out = call(step);
    // PyTorch multiplies with a weight on meta without complaint, and gives what lies in memory by chance.
    if (out.error.find("is on meta") != std::string::npos && !step.value("equals_plain", true)) return {};
    if (step.contains("error") != !out.error.empty()) return "error: '" + out.error + "', wanted " + (step.contains("error") ? step.at("error").dump() : "none");
    if (step.contains("error") && step.at("error")[0] == "ValueError") {
      std::string wanted = step.at("error")[1];
      if (wanted.ends_with('.')) wanted.pop_back();
      if (out.error.find(wanted) == std::string::npos) return difference("error", out.error, wanted);
    }
    Json said = Json::array(), messages = out.messages;
    for (const char* kind : {"warnings", "log"}) {
      if (!step.contains(kind)) continue;
      for (const Json& m : step.at(kind)) said.push_back(m[1]);
    }
    for (Json* list : {&said, &messages}) {
      for (Json& text : *list) {
        // The order comes from a Python set.
        if (std::string s = text; s.ends_with("to the disk and cpu.")) text = s.substr(0, s.size() - 13) + "cpu and disk.";
      }
    }
    Json wanted_events = step.at("events");
    // The reference takes a pretended accelerator for the CPU itself where it asks whether a parameter must move there.
    if (step.value("execution_device", Json()) == "cpu" && step.at("call") == "align_module_device") {
      on_cpu(events_);
      on_cpu(wanted_events);
    }
    for (const auto& [what, ours] : {std::pair<const char*, Json>("events", events_), {"messages", messages}}) {
      const Json& wanted = what == std::string("events") ? wanted_events : said;
      if (std::string d = difference(what, ours, wanted); !d.empty()) {
        for (std::size_t i = 0; i < std::min(ours.size(), wanted.size()); ++i) {
          if (ours[i] != wanted[i]) return difference(std::string(what) + " " + std::to_string(i), ours[i], wanted[i]);
        }
        return d;
      }
    }
    if (step.contains("returns") && out.returns != step.at("returns")) return difference("returns", out.returns.value_or(Json()), step.at("returns"));
    if (out.output && step.contains("output")) {
      if (std::string d = difference("output", rows(*out.output), step.at("output")); !d.empty()) return d;
      const bool equal = rows(*out.output) == trace_.at("plain_output").at(step.value("model", ""));
      if (equal != step.at("equals_plain").get<bool>()) return "equals_plain";
    }
    if (step.contains("hooks")) {
      if (std::string d = difference("hooks", hooks(), step.at("hooks")); !d.empty()) return d;
    }
    if (step.contains("state")) {
      const Json ours = state(), &wanted = step.at("state");
      for (std::size_t i = 0; i < ours.size(); ++i) {
        // Where a forward fails, weights go back to sleep here; there they stay on the device.
        const bool sleeps = step.contains("error") && ours[i][1] == "meta";
        if (ours[i] != wanted[i] && !sleeps) return difference("state", ours[i], wanted[i]);
        abandoned_ = abandoned_ || ours[i] != wanted[i];
      }
    }
    if (step.contains("devices")) {
      Json where = Json::array();
      for (const auto& [label, root] : models_) {
        where.push_back({label, named_module_tensors(*root, {.recurse = true}).front().tensor->device->name()});
      }
      if (std::string d = difference("devices", where, step.at("devices")); !d.empty()) return d;
    }
    return {};
  }

  const Json& trace_;
  TempFolder temp_;
  RamDevice first_{"cpu:0"}, second_{"cpu:1"}, cuda_{"cuda:0"};
  DeviceTable devices_{{&first_, &second_, &cuda_}};
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> models_;
  std::map<std::string, std::shared_ptr<UserCpuOffloadHook>> user_hooks_;
  Json events_ = Json::array();
  std::vector<Json> states_, sets_;
  bool abandoned_ = false;   ///< the states of the two differ from here on
};

}  // namespace

TraceResult replay_trace(const Json& trace) { return Replay(trace).run(); }

}  // namespace bigmodel::test
