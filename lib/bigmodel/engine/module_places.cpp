// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/module_places.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/forward_state.h"

namespace bigmodel {
namespace {

/// Around a module that computes elsewhere than the one that calls it.
class DeviceBorderHook : public ModelHook {
 public:
  /// `caller`: where outputs go; null: they stay, or go to where the first input was.
  DeviceBorderHook(const Device& own, const Device* caller, bool to_input) : own_(own), caller_(caller), to_input_(to_input) {}
  void pre_forward(Module&, Arguments& arguments, ForwardState&) override {
    input_ = arguments.empty() ? nullptr : &arguments.front().device();
    for (Tensor& t : arguments) t = t.to(own_);
  }
  void post_forward(Module&, Tensor& output, ForwardState& state) override {
    const Device* to = to_input_ ? input_ : caller_;
    if (own_.accelerator() == nullptr || (caller_ != nullptr && caller_->accelerator() == nullptr)) state.repeatable = false;
    if (to != nullptr) output = output.to(*to);
  }
  std::string describe() const override { return fmt::format("DeviceBorderHook(execution_device={})", own_.name()); }

 private:
  const Device& own_;
  const Device* caller_;
  bool to_input_;
  const Device* input_ = nullptr;
};

constexpr std::string_view kOtherAccelerators[] = {"mps", "xpu", "npu", "mlu", "musa", "hpu", "sdaa", "neuron"};

}  // namespace

ModulePlaces::ModulePlaces(Module& root, const DeviceMap& map, const DeviceTable& devices, const Device* main_device)
    : main_(main_device == &cpu_device() ? nullptr : main_device) {
  for (const auto& [name, key] : map) {
    const std::string text = to_string(key);
    Entry entry;
    if (text != "cpu" && text != "disk") {
      for (const std::string_view other : kOtherAccelerators) {
        if (text.starts_with(other)) throw DeviceError(fmt::format("device map: '{}' is placed on '{}', which can be planned for but not run on", name, text), "use cuda, cpu and disk");
      }
      entry.device = &devices.at(text);
      if (entry.device->is_meta()) throw DeviceError(fmt::format("device map: '{}' is placed on 'meta', where nothing can be computed", name), "use cuda, cpu and disk");
      if (entry.device == &cpu_device()) entry.device = nullptr;
    }
    entry.disk = text == "disk";
    if (main_ == nullptr) main_ = entry.device;
    entries_.emplace(name, entry);
  }
  place(root, nullptr, false);
}

const ModulePlaces::Entry* ModulePlaces::find_entry(std::string_view name) const {
  std::string_view part = name;
  while (true) {
    if (const auto it = entries_.find(std::string(part)); it != entries_.end()) return &it->second;
    if (part.empty()) return nullptr;
    const std::size_t dot = part.rfind('.');
    part = dot == std::string_view::npos ? std::string_view{} : part.substr(0, dot);
  }
}

void ModulePlaces::place(Module& module, const Device* reader, bool processor_only) {
  const BoundBlock* block = module.block();
  const Device* device = &cpu_device();
  if (main_ != nullptr && block != nullptr) {
    const bool able = block->runs_on_accelerators();
    if (!processor_only && !able && !block->only_calls_modules()) {
      processor_only = true;
      left_to_processor_.push_back(&module);
    }
    if (!processor_only && able) {
      // The root of a map that has entries for its parts alone computes nothing by itself, or where the first part lies.
      const Entry* own = find_entry(module.name());
      device = own != nullptr && own->device != nullptr ? own->device : main_;
    }
  } else if (reader != nullptr) {
    device = reader;   // tensors without a block of their own are read by the one above
  }
  devices_[&module] = device;
  const Device* below = block != nullptr ? device : reader;
  for (const auto& child : module.children()) place(*child, below, processor_only);
}

const Accelerator* ModulePlaces::only_accelerator() const {
  for (const auto& [module, device] : devices_) {
    if (module->block() != nullptr && device != main_) return nullptr;
  }
  return main_ == nullptr ? nullptr : main_->accelerator();
}

Tier ModulePlaces::tier(const Module& module, std::string_view tensor) const {
  const Entry* own = find_entry(tensor);
  if (own == nullptr) throw UsageError(fmt::format("device map: it says nothing of '{}'", tensor), "add an entry \"\" for the rest");
  const bool processor = device(module).accelerator() == nullptr;
  if (own->disk) return Tier::disk;
  return own->device == nullptr && !processor ? Tier::ram : Tier::resident;
}

void ModulePlaces::attach_input_hooks(Module& root) const {
  if (main_ == nullptr) return;
  // What computes on one device together with all below it needs none inside.
  const auto computes_on_one = [&](const Module& module) {
    bool one = true;
    module.for_each([&](const Module& m) { one = one && (m.block() == nullptr || &device(m) == &device(module)); });
    return one;
  };
  const auto attach = [&](const auto& self, Module& module, const Device& caller, bool first) -> void {
    const Device& own = device(module);
    if (module.block() != nullptr) {
      // From one accelerator to the next the stream of hidden states does not come back.
      const bool is_layer = module.meta().block && module.meta().block->kind.ends_with("_layer");
      const bool stays = first || (is_layer && own.accelerator() != nullptr && caller.accelerator() != nullptr);
      module.add_hook(std::make_shared<DeviceBorderHook>(own, stays ? nullptr : &caller, first), true);
      if (computes_on_one(module)) return;
    }
    const Device& below = module.block() != nullptr ? own : caller;
    for (const auto& child : module.children()) self(self, *child, below, false);
  };
  attach(attach, root, cpu_device(), true);
}

}  // namespace bigmodel
