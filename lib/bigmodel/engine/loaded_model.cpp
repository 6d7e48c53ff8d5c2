// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/loaded_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/error.h"
#include "bigmodel/core/listed.h"
#include "bigmodel/device/accelerator.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/hooks/align_devices_hook.h"
#include "bigmodel/engine/module_places.h"
#include "bigmodel/engine/read_memory.h"
#include "bigmodel/engine/slab_weights.h"
#include "bigmodel/engine/weight_slices.h"
#include "bigmodel/engine/weight_quantization.h"

namespace bigmodel {
namespace {

/// Tensors that come and go together, and the module whose hook does it.
struct Unit {
  Module* module = nullptr;
  const Device* device = nullptr;   ///< that computes with them
  Tier tier = Tier::disk;
  std::vector<ModuleTensor*> tensors;
  bool whole = false;      ///< those of all modules below, too
};

/// What does not stay on the device that computes with it, cut at layers; of a layer, one unit for each device and tier.
class Units {
 public:
  Units(const MetaGraph& graph, const ModulePlaces& places) : graph_(graph), places_(places) {}

  void cut(Module& module) {
    const std::size_t first = units.size();
    if (module.reads_below || is_layer(module, graph_)) {
      module.for_each([&](Module& m) { add(m, module, true, first); });
      return;
    }
    add(module, module, false, first);
    for (const auto& child : module.children()) cut(*child);
  }

  std::vector<Unit> units;

 private:
  void add(Module& owner, Module& hooked, bool whole, std::size_t first) {
    for (ModuleTensor& t : owner.tensors()) {
      // Buffers that no state dict has are no weights: they stay.
      if (!t.meta->persistent) continue;
      const Tier tier = places_.tier(owner, t.full_name);
      if (tier == Tier::resident) continue;
      const Device* device = &places_.device(owner);
      auto it = std::find_if(units.begin() + static_cast<std::ptrdiff_t>(first), units.end(), [&](const Unit& u) { return u.device == device && u.tier == tier; });
      if (it == units.end()) it = units.insert(units.end(), Unit{&hooked, device, tier, {}, whole});
      it->tensors.push_back(&t);
    }
  }

  const MetaGraph& graph_;
  const ModulePlaces& places_;
};

[[noreturn]] void throw_missing(const std::vector<std::string>& names, const Checkpoint& checkpoint) {
  throw FormatError(fmt::format("{}: {} of the model's tensors are missing: {}", checkpoint.path.string(), names.size(), listed(names, 12)),
                    "the checkpoint belongs to another class or config");
}

/// A parameter that no block reads is a part of the model that would be left out of the computation.
void refuse_unread(Module& root, const MetaGraph& graph) {
  const std::unordered_map<std::string, std::string> first_names = tied_names(graph);
  std::unordered_set<std::string> read;
  const auto key = [&](const ModuleTensor& t) -> const std::string& {
    const auto it = first_names.find(t.full_name);
    return it == first_names.end() ? t.full_name : it->second;
  };
  root.for_each([&](Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (t.use != TensorUse::none) read.insert(key(t));
    }
  });
  std::vector<std::string> unread;
  root.for_each([&](Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (!t.is_buffer && !read.contains(key(t))) unread.push_back(t.full_name);
    }
  });
  if (unread.empty()) return;
  throw UnsupportedError(fmt::format("{}: cannot be run: no role of its description reads {} of its parameters: {}", graph.root->class_name, unread.size(), listed(unread, 4)));
}

void bind_root(Module& root, const MetaGraph& graph) {
  Binder binder;
  binder.bind(root);
  refuse_unread(root, graph);
}

}  // namespace

LoadedModel::LoadedModel(MetaGraph graph, Checkpoint checkpoint, std::optional<Checkpoint> initial)
    : graph_(std::move(graph)), checkpoint_(std::move(checkpoint)), initial_(std::move(initial)) {}

namespace {

/// Layers of a bound tree whose weights casting keeps small.
std::vector<Module*> cast_layers(Module& root, const LayerwiseCasting& casting) {
  std::vector<Module*> out = layerwise_casting_modules(root, casting);
  std::erase_if(out, [](const Module* m) {
    return m->block() == nullptr || std::ranges::any_of(m->tensors(), [](const ModuleTensor& t) { return t.tie != nullptr; });
  });
  return out;
}

std::unordered_set<std::string> weights_of(const std::vector<Module*>& layers) {
  std::unordered_set<std::string> out;
  for (const Module* layer : layers) {
    for (const ModuleTensor& t : layer->tensors()) {
      if (is_floating_point(t.view.dtype)) out.insert(t.full_name);
    }
  }
  return out;
}

std::shared_ptr<const ModuleTemplate> in_storage(const std::shared_ptr<const ModuleTemplate>& module, const std::string& name, const std::unordered_set<std::string>& names, DType storage) {
  const auto full = [&](const std::string& own) { return name.empty() ? own : name + "." + own; };
  auto out = std::make_shared<ModuleTemplate>(*module);
  for (auto* list : {&out->parameters, &out->buffers}) {
    for (TensorTemplate& t : *list) {
      if (names.contains(full(t.name))) t.dtype = storage;
    }
  }
  out->children.clear();
  for (const ModuleChild& child : module->children) {
    for (std::int64_t k = 0; k < child.count; ++k) {
      const std::string own = child.name_at(k);
      out->children.push_back({.name = own, .first_index = child.first_index + k, .count = 1, .module = in_storage(child.module, full(own), names, storage)});
    }
  }
  return out;
}

}  // namespace

std::unordered_set<std::string> layerwise_cast_weights(const MetaGraph& graph, const LayerwiseCasting& casting) {
  const std::unique_ptr<Module> root = build_module_tree(graph);
  bind_root(*root, graph);
  return weights_of(cast_layers(*root, casting));
}

MetaGraph with_layerwise_casting(const MetaGraph& graph, const LayerwiseCasting& casting) {
  MetaGraph out = graph;
  out.root = in_storage(graph.root, "", layerwise_cast_weights(graph, casting), casting.storage_dtype);
  return out;
}

void check_runnable(const MetaGraph& graph) { bind_root(*build_module_tree(graph), graph); }

namespace {

/// Of a bound module: tensors that nobody else reads. Empty where one of those that its block wants together is not so.
std::vector<ModuleTensor*> sliceable(Module& module) {
  if (module.block() == nullptr) return {};
  std::vector<ModuleTensor*> out = module.block()->sliced(module);
  if (!std::ranges::all_of(out, [](const ModuleTensor* t) { return t->readers == 1; })) out.clear();
  return out;
}

}  // namespace

std::vector<std::string> sliceable_weights(const MetaGraph& graph) {
  const std::unique_ptr<Module> root = build_module_tree(graph);
  bind_root(*root, graph);
  std::vector<std::string> out;
  root->for_each([&](Module& m) {
    for (const ModuleTensor* t : sliceable(m)) out.push_back(t->full_name);
  });
  return out;
}

void LoadedModel::bring_back(ForwardState& state) {
  for (auto& [name, tensor] : state.outputs) {
    if (tensor.device().accelerator() != nullptr) tensor = tensor.to(cpu_device());
  }
  if (state.hidden_states == nullptr) return;
  for (Tensor& t : *state.hidden_states) {
    if (t.device().accelerator() != nullptr) t = t.to(cpu_device());
  }
}

/// Brings a model's weights to where its map says.
class Dispatcher {
 public:
  Dispatcher(LoadedModel& model, const DispatchOptions& options, const Disk& disk) : model_(model), options_(options), disk_(disk), places_(*model.root_, options.device_map, devices(), options.main_device) {}

  void run() {
    find_resident();
    read_resident();
    set_resident();
    // Before the hooks that bring weights, which move inputs as well: this one must know where they came from.
    places_.attach_input_hooks(*model_.root_);
    stream();
    // After the hooks that bring a layer's weights, so that they run inside of those.
    for (Module* m : casts_) m->add_hook(std::make_shared<LayerwiseCastingHook>(options_.casting->storage_dtype, options_.casting->compute_dtype), true);
    if (!streams_) model_.only_accelerator_ = places_.only_accelerator();
    for (const Module* m : places_.left_to_processor()) model_.left_to_processor_.push_back(m->name());
  }

  /// Layers that casting keeps small, whose hooks come last.
  void set_casts(std::vector<Module*> casts) { casts_ = std::move(casts); }

 private:
  using Key = std::pair<const WeightSource*, const Device*>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept { return std::hash<const void*>()(key.first) * 31 + std::hash<const void*>()(key.second); }
  };

  const DeviceTable& devices() const {
    static const DeviceTable kNone;
    return options_.devices == nullptr ? kNone : *options_.devices;
  }

  /// Resident tensors first: one of them may be tied to a streamed one, which then needs no reading.
  void find_resident() {
    std::vector<std::string> missing;
    model_.root_->for_each([&](Module& m) {
      for (ModuleTensor& t : m.tensors()) {
        const WeightSource* source = model_.store_->find(t.full_name);
        if (source == nullptr) {
          if (t.use == TensorUse::read && t.meta->persistent) missing.push_back(t.full_name);
        } else if (!t.meta->persistent || places_.tier(m, t.full_name) == Tier::resident) {
          want(source, places_.device(m));
        }
      }
    });
    if (!missing.empty()) throw_missing(missing, model_.checkpoint_);
  }

  void want(const WeightSource* source, const Device& device) {
    if (wanted_keys_.insert({source, &device}).second) wanted_[&device].push_back(source);
  }

  void read_resident() {
    for (const auto& [device, sources] : wanted_) {
      for (const WeightSource* s : sources) total_ += s->size_bytes();
    }
    for (auto& [device, sources] : wanted_) {
      // In pieces, so that progress shows and a stop is heeded; each piece is one run of the file where its tensors are neighbours.
      std::ranges::sort(sources, {}, [](const WeightSource* s) {
        const CheckpointTensor* t = s->plain();
        return t == nullptr ? std::pair(~std::uint32_t{0}, std::uint64_t{0}) : std::pair(t->file, t->offset);
      });
      std::vector<Slab> pieces;
      for (std::size_t i = 0; i < sources.size();) {
        std::vector<const WeightSource*> piece;
        std::uint64_t bytes = 0;
        while (i < sources.size() && (piece.empty() || bytes + sources[i]->size_bytes() <= kPieceBytes)) {
          bytes += sources[i]->size_bytes();
          piece.push_back(sources[i++]);
        }
        pieces.push_back(plan_slab(piece));
      }
      if (device == &cpu_device()) {
        read_to_ram(pieces);
      } else {
        read_to_device(pieces, *device);
      }
    }
  }

  void read_to_ram(const std::vector<Slab>& pieces) {
    TensorReader reader(model_.checkpoint_, disk_);
    NextReadMemory next;
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      report();
      const Slab& slab = pieces[k];
      model_.resident_.push_back(next.take(0, slab.size_bytes));
      // The next piece's pages are made while this one is read.
      if (k + 1 < pieces.size()) next.prepare(0, pieces[k + 1].size_bytes);
      std::byte* const memory = model_.resident_.back().get();
      read_slab(slab, reader, {memory, static_cast<std::size_t>(slab.size_bytes)});
      for (const auto& [source, offset] : slab.offsets) {
        held_.emplace(Key{source, &cpu_device()}, memory + offset);
        done_ += source->size_bytes();
      }
      model_.placement_.ram_bytes += slab.size_bytes;
    }
  }

  /// By way of two pieces of RAM: one is read into while the other goes to the device.
  void read_to_device(const std::vector<Slab>& pieces, const Device& device) {
    TensorReader reader(model_.checkpoint_, disk_);
    const Accelerator* gpu = device.accelerator();
    std::uint64_t most = 0;
    for (const Slab& slab : pieces) most = std::max(most, slab.size_bytes);
    struct Staging {
      std::shared_ptr<std::byte[]> memory;
      std::shared_ptr<DeviceEvent> done;
    };
    Staging staging[2];
    for (Staging& s : staging) s.memory = gpu != nullptr ? pinned_slab_memory(*gpu, most) : read_memory(0, most);
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      report();
      Staging& s = staging[k % 2];
      if (s.done != nullptr) s.done->wait();
      const Slab& slab = pieces[k];
      const std::span<std::byte> bytes(s.memory.get(), static_cast<std::size_t>(slab.size_bytes));
      read_slab(slab, reader, bytes);
      const DeviceSlab there = plan_device_slab(slab);
      model_.resident_.push_back(device.allocate(there.size_bytes));
      std::byte* const memory = model_.resident_.back().get();
      if (gpu != nullptr) {
        queue_slab(there, *gpu, Lane::compute, bytes.data(), memory);
        s.done = gpu->record(Lane::compute);
      } else {
        for (const DeviceSlab::Piece& p : there.pieces) {
          device.copy_in(memory + p.device_offset, bytes.subspan(static_cast<std::size_t>(p.slab_offset), static_cast<std::size_t>(p.size_bytes)));
        }
      }
      for (const auto& [source, offset] : there.offsets) {
        held_.emplace(Key{source, &device}, memory + offset);
        done_ += source->size_bytes();
      }
      model_.placement_.device_bytes[device.name()] += there.size_bytes;
    }
    if (gpu != nullptr) gpu->finish(Lane::compute);
  }

  void report() const {
    options_.work.throw_if_stopped();
    options_.work.report("loading", done_, total_);
  }

  void set_resident() {
    model_.root_->for_each([&](Module& m) {
      for (ModuleTensor& t : m.tensors()) {
        const WeightSource* source = model_.store_->find(t.full_name);
        if (source == nullptr) continue;
        t.view.dtype = source->dtype;
        const auto it = held_.find({source, &places_.device(m)});
        if (it == held_.end()) continue;
        t.view.data = it->second;
        t.device = &places_.device(m);
      }
    });
  }

  void stream() {
    Units units(model_.graph_, places_);
    units.cut(*model_.root_);
    for (Unit& unit : units.units) {
      // A tensor that is tied to a resident one of the same device is there.
      std::erase_if(unit.tensors, [&](const ModuleTensor* t) {
        const WeightSource* source = model_.store_->find(t->full_name);
        return source == nullptr || held_.contains({source, unit.device});
      });
    }
    streams_ = std::ranges::any_of(units.units, [](const Unit& u) { return !u.tensors.empty(); });
    for (Unit& unit : units.units) leave_to_slices(unit);
    std::erase_if(units.units, [](const Unit& u) { return u.tensors.empty(); });
    // One is computed with while the next is read.
    model_.placement_.slot_bytes += 2 * slice_bytes_;
    stream_to_processor(units.units);
    stream_to_accelerators(units.units);
  }

  /// Takes the tensors out of which the processor wants parts, not known before it computes: rows of embeddings, experts.
  void leave_to_slices(Unit& unit) {
    if (unit.device->accelerator() != nullptr) return;
    std::unordered_set<const ModuleTensor*> sliced;
    unit.module->for_each([&](Module& m) {
      const std::vector<ModuleTensor*> asked = sliceable(m);
      const auto can = [&](ModuleTensor* t) {
        const WeightSource* source = model_.store_->find(t->full_name);
        return std::ranges::find(unit.tensors, t) != unit.tensors.end() && source != nullptr && can_slice(*source);
      };
      if (!std::ranges::all_of(asked, can)) return;
      std::uint64_t of_module = 0;
      for (ModuleTensor* t : asked) {
        const WeightSource& source = *model_.store_->find(t->full_name);
        t->slices = std::make_shared<WeightSlices>(source, slices_);
        t->tie = nullptr;
        sliced.insert(t);
        if (source.shape.size() > 2) of_module += source.size_bytes() / static_cast<std::uint64_t>(source.shape.front());
        model_.placement_.disk_bytes += source.size_bytes();
        model_.placement_.sliced_bytes += source.size_bytes();
      }
      slice_bytes_ = std::max(slice_bytes_, of_module);
    });
    std::erase_if(unit.tensors, [&](const ModuleTensor* t) { return sliced.contains(t); });
  }

  std::vector<const WeightSource*> sources_of(const Unit& unit) const {
    std::vector<const WeightSource*> out;
    for (const ModuleTensor* t : unit.tensors) {
      const WeightSource* source = model_.store_->find(t->full_name);
      if (std::ranges::find(out, source) == out.end()) out.push_back(source);
    }
    return out;
  }

  /// How many units are there at once: one that is computed with, and those of modules around it that hold tensors of their own.
  static std::size_t held_at_once(const std::vector<Unit>& units) {
    std::size_t held = 1;
    for (const Unit& unit : units) {
      std::size_t depth = 0;
      for (const Unit& other : units) {
        const std::string& outer = other.module->name();
        if (other.module == unit.module || outer.empty() || unit.module->name().starts_with(outer + ".")) ++depth;
      }
      held = std::max(held, depth);
    }
    return held;
  }

  void stream_to_processor(const std::vector<Unit>& all) {
    std::vector<Unit> units;
    std::ranges::copy_if(all, std::back_inserter(units), [](const Unit& u) { return u.device->accelerator() == nullptr; });
    if (units.empty()) return;
    std::vector<Slab> slabs;
    for (const Unit& unit : units) {
      slabs.push_back(plan_slab(sources_of(unit)));
      model_.placement_.disk_bytes += slabs.back().read_bytes;
    }
    // One slot is computed on while the next is read.
    const std::size_t slots = held_at_once(units) + (options_.reads_ahead ? 1 : 0);
    model_.prefetcher_ = std::make_unique<Prefetcher>(std::move(slabs), slots, model_.checkpoint_, disk_);
    model_.placement_.slot_bytes += model_.prefetcher_->slot_bytes();
    auto weights = std::make_shared<PrefetchedWeights>(*model_.prefetcher_);
    for (std::size_t i = 0; i < units.size(); ++i) {
      for (ModuleTensor* t : units[i].tensors) {
        weights->add(t->full_name, *model_.store_->find(t->full_name), i);
        // Each name asks for its bytes by itself, also where two are one tensor.
        t->tie = nullptr;
      }
    }
    for (const Unit& unit : units) attach(unit, weights, [weights](const ModuleTensor& t) { return weights->contains(t.full_name); });
  }

  void attach(const Unit& unit, std::shared_ptr<const WeightsMap> weights, std::function<bool(const ModuleTensor&)> only) {
    Module& module = *unit.module;
    module.add_hook(std::make_shared<AlignDevicesHook>(AlignDevices{.execution_device = unit.device,
                                                                    .offload = true,
                                                                    .weights_map = std::make_shared<PrefixedWeights>(std::move(weights), module.name().empty() ? "" : module.name() + "."),
                                                                    .offload_buffers = true,
                                                                    .place_submodules = unit.whole,
                                                                    .only = std::move(only)}),
                    true);
  }

  void stream_to_accelerators(const std::vector<Unit>& all) {
    std::map<const Accelerator*, std::vector<Unit>> by_device;
    for (const Unit& unit : all) {
      if (const Accelerator* gpu = unit.device->accelerator()) by_device[gpu].push_back(unit);
    }
    TensorReader reader(model_.checkpoint_, disk_);
    for (const auto& [gpu, units] : by_device) {
      std::vector<StreamedSlab> slabs;
      for (const Unit& unit : units) {
        StreamedSlab slab{plan_device_slab(plan_slab(sources_of(unit))), nullptr};
        const Slab& in_ram = slab.layout.slab;
        if (unit.tier == Tier::ram) {
          report();
          slab.pinned = pinned_slab_memory(*gpu, in_ram.size_bytes);
          read_slab(in_ram, reader, {slab.pinned.get(), static_cast<std::size_t>(in_ram.size_bytes)});
          model_.placement_.ram_bytes += in_ram.size_bytes;
        } else {
          model_.placement_.disk_bytes += in_ram.read_bytes;
        }
        slabs.push_back(std::move(slab));
      }
      model_.streamers_.push_back(std::make_unique<DeviceStreamer>(*gpu, std::move(slabs), held_at_once(units) + 1, model_.checkpoint_, disk_));
      DeviceStreamer& streamer = *model_.streamers_.back();
      model_.placement_.slot_bytes += streamer.staging_bytes();
      model_.placement_.device_bytes[gpu->name()] += streamer.slot_bytes();
      auto weights = std::make_shared<DeviceStreamedWeights>(streamer);
      for (std::size_t i = 0; i < units.size(); ++i) {
        for (ModuleTensor* t : units[i].tensors) {
          weights->add(t->full_name, *model_.store_->find(t->full_name), i);
          t->tie = nullptr;
        }
      }
      for (const Unit& unit : units) attach(unit, weights, [weights](const ModuleTensor& t) { return weights->contains(t.full_name); });
    }
  }

  static constexpr std::uint64_t kPieceBytes = std::uint64_t{128} << 20;

  LoadedModel& model_;
  const DispatchOptions& options_;
  const Disk& disk_;
  ModulePlaces places_;
  std::vector<Module*> casts_;
  std::map<const Device*, std::vector<const WeightSource*>> wanted_;
  std::unordered_set<Key, KeyHash> wanted_keys_;
  std::unordered_map<Key, const std::byte*, KeyHash> held_;
  std::shared_ptr<SlicePool> slices_ = std::make_shared<SlicePool>(model_.checkpoint_, disk_);
  std::uint64_t slice_bytes_ = 0;    ///< of the largest module's stacks, one slice each
  std::uint64_t total_ = 0, done_ = 0;
  bool streams_ = false;
};

std::unique_ptr<LoadedModel> load_checkpoint_and_dispatch(MetaGraph graph, Checkpoint checkpoint, const DispatchOptions& options) {
  static const Disk kRealDisk;
  const Disk& disk = options.disk == nullptr ? kRealDisk : *options.disk;
  std::unique_ptr<LoadedModel> out(new LoadedModel(std::move(graph), std::move(checkpoint), options.initial));
  out->device_map_ = options.device_map;
  out->dtype_ = options.dtype;
  out->config_text_ = options.config_text;
  out->cpu_ = {options.pool, options.isa, options.dtype == DType::bfloat16};
  out->root_ = build_module_tree(out->graph_);
  Module& root = *out->root_;
  bind_root(root, out->graph_);
  out->accelerator_cache_ = options.dtype == DType::bfloat16 || options.dtype == DType::float16 ? options.dtype : DType::float32;
  // A rounded score can send a token to another expert: models with routers keep products and caches of float32.
  root.for_each([&](const Module& m) {
    if (!m.meta().block || m.meta().block->kind != "moe") return;
    out->cpu_.bf16_products = false;
    out->accelerator_cache_ = DType::float32;
  });
  std::vector<Module*> casts;
  StorageCast storage;
  if (options.casting) {
    casts = cast_layers(root, *options.casting);
    storage = {options.casting->storage_dtype, weights_of(casts)};
  }
  out->store_ = std::make_unique<WeightStore>(out->graph_, out->checkpoint_, options.dtype, options.quantization, out->initial_ ? &*out->initial_ : nullptr, storage);
  if (options.quantize) out->store_->quantize(*options.quantize, quantizable_weights(root, out->graph_));
  Dispatcher dispatcher(*out, options, disk);
  dispatcher.set_casts(std::move(casts));
  dispatcher.run();
  return out;
}

}  // namespace bigmodel
