// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/loaded_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/error.h"
#include "bigmodel/core/listed.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/hooks/align_devices_hook.h"
#include "bigmodel/engine/prefetched_weights.h"
#include "bigmodel/engine/read_memory.h"
#include "bigmodel/engine/weight_quantization.h"

namespace bigmodel {
namespace {

enum class Tier { ram, disk };

/// The tier of a name: the longest entry of the map that is the name or a prefix of it.
class TierOf {
 public:
  explicit TierOf(const DeviceMap& map) {
    for (const auto& [name, device] : map) {
      const std::string text = to_string(device);
      if (text != "cpu" && text != "disk") {
        throw DeviceError(fmt::format("device map: '{}' is placed on device '{}', but this build runs on the CPU", name, text), "use cpu and disk");
      }
      tiers_.emplace(name, text == "disk" ? Tier::disk : Tier::ram);
    }
  }
  Tier operator()(std::string_view name) const {
    std::string_view part = name;
    while (true) {
      if (const auto it = tiers_.find(std::string(part)); it != tiers_.end()) return it->second;
      if (part.empty()) throw UsageError(fmt::format("device map: it says nothing of '{}'", name), "add an entry \"\" for the rest");
      const std::size_t dot = part.rfind('.');
      part = dot == std::string_view::npos ? std::string_view{} : part.substr(0, dot);
    }
  }

 private:
  std::unordered_map<std::string, Tier> tiers_;
};

/// Tensors that come and go together, and the module whose hook does it.
struct Unit {
  Module* module = nullptr;
  std::vector<ModuleTensor*> tensors;
  bool whole = false;      ///< those of all modules below, too
};

class Units {
 public:
  Units(const MetaGraph& graph, const TierOf& tier_of) : graph_(graph), tier_of_(tier_of) {}

  /// Disk tensors below `module`, cut at layers.
  void cut(Module& module) {
    if (module.reads_below || is_layer(module, graph_)) {
      Unit unit{&module, {}, true};
      module.for_each([&](Module& m) {
        for (ModuleTensor& t : m.tensors()) {
          if (on_disk(t)) unit.tensors.push_back(&t);
        }
      });
      if (!unit.tensors.empty()) units.push_back(std::move(unit));
      return;
    }
    Unit own{&module, {}, false};
    for (ModuleTensor& t : module.tensors()) {
      if (on_disk(t)) own.tensors.push_back(&t);
    }
    if (!own.tensors.empty()) units.push_back(std::move(own));
    for (const auto& child : module.children()) cut(*child);
  }

  std::vector<Unit> units;

 private:
  /// Buffers that no state dict has are no weights: they stay.
  bool on_disk(const ModuleTensor& t) const { return t.meta->persistent && tier_of_(t.full_name) == Tier::disk; }

  const MetaGraph& graph_;
  const TierOf& tier_of_;
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

std::unique_ptr<LoadedModel> load_checkpoint_and_dispatch(MetaGraph graph, Checkpoint checkpoint, const DispatchOptions& options) {
  static const Disk kRealDisk;
  const Disk& disk = options.disk == nullptr ? kRealDisk : *options.disk;
  std::unique_ptr<LoadedModel> out(new LoadedModel(std::move(graph), std::move(checkpoint), options.initial));
  out->device_map_ = options.device_map;
  out->dtype_ = options.dtype;
  out->config_text_ = options.config_text;
  out->cpu_ = {options.pool, options.isa, options.dtype == DType::bfloat16};
  const TierOf tier_of(options.device_map);
  out->root_ = build_module_tree(out->graph_);
  Module& root = *out->root_;
  bind_root(root, out->graph_);
  // A rounded score can send a token to another expert: models with routers keep products of float32.
  root.for_each([&](const Module& m) {
    if (m.meta().block && m.meta().block->kind == "moe") out->cpu_.bf16_products = false;
  });
  std::vector<Module*> casts;
  StorageCast storage;
  if (options.casting) {
    casts = cast_layers(root, *options.casting);
    storage = {options.casting->storage_dtype, weights_of(casts)};
  }
  out->store_ = std::make_unique<WeightStore>(out->graph_, out->checkpoint_, options.dtype, options.quantization, out->initial_ ? &*out->initial_ : nullptr, storage);
  if (options.quantize) out->store_->quantize(*options.quantize, quantizable_weights(root, out->graph_));
  const WeightStore& store = *out->store_;

  // Resident tensors first: one of them may be tied to a streamed one, which then needs no reading.
  std::vector<std::string> missing;
  std::vector<const WeightSource*> resident;
  std::unordered_set<const WeightSource*> is_resident;
  root.for_each([&](Module& m) {
    for (ModuleTensor& t : m.tensors()) {
      const WeightSource* source = store.find(t.full_name);
      if (source == nullptr) {
        if (t.use == TensorUse::read && t.meta->persistent) missing.push_back(t.full_name);
      } else if ((tier_of(t.full_name) == Tier::ram || !t.meta->persistent) && is_resident.insert(source).second) {
        resident.push_back(source);
      }
    }
  });
  if (!missing.empty()) throw_missing(missing, out->checkpoint_);

  std::uint64_t total = 0;
  for (const WeightSource* s : resident) total += s->size_bytes();
  std::unordered_map<const WeightSource*, const std::byte*> places;
  TensorReader reader(out->checkpoint_, disk);
  // In pieces, so that progress shows and a stop is heeded; each piece is one run of the file where its tensors are neighbours.
  constexpr std::uint64_t kPieceBytes = std::uint64_t{128} << 20;
  std::ranges::sort(resident, {}, [](const WeightSource* s) {
    const CheckpointTensor* t = s->plain();
    return t == nullptr ? std::pair(~std::uint32_t{0}, std::uint64_t{0}) : std::pair(t->file, t->offset);
  });
  std::vector<Slab> pieces;
  for (std::size_t i = 0; i < resident.size();) {
    std::vector<const WeightSource*> piece;
    std::uint64_t bytes = 0;
    while (i < resident.size() && (piece.empty() || bytes + resident[i]->size_bytes() <= kPieceBytes)) {
      bytes += resident[i]->size_bytes();
      piece.push_back(resident[i++]);
    }
    pieces.push_back(plan_slab(piece));
  }
  std::uint64_t done = 0;
  NextReadMemory next;
  for (std::size_t k = 0; k < pieces.size(); ++k) {
    options.work.throw_if_stopped();
    options.work.report("loading", done, total);
    const Slab& slab = pieces[k];
    out->resident_.push_back(next.take(0, slab.size_bytes));
    // The next piece's pages are made while this one is read.
    if (k + 1 < pieces.size()) next.prepare(0, pieces[k + 1].size_bytes);
    std::byte* const memory = out->resident_.back().get();
    read_slab(slab, reader, {memory, static_cast<std::size_t>(slab.size_bytes)});
    for (const auto& [source, offset] : slab.offsets) {
      places.emplace(source, memory + offset);
      done += source->size_bytes();
    }
    out->placement_.ram_bytes += slab.size_bytes;
  }

  root.for_each([&](Module& m) {
    for (ModuleTensor& t : m.tensors()) {
      const WeightSource* source = store.find(t.full_name);
      if (source == nullptr) continue;
      t.view.dtype = source->dtype;
      const auto it = places.find(source);
      if (it == places.end()) continue;
      t.view.data = it->second;
      t.device = &cpu_device();
    }
  });

  Units units(out->graph_, tier_of);
  units.cut(root);
  std::vector<Slab> slabs;
  std::vector<Unit> streamed;
  for (Unit& unit : units.units) {
    std::vector<const WeightSource*> sources;
    for (const ModuleTensor* t : unit.tensors) {
      const WeightSource* source = store.find(t->full_name);
      if (source != nullptr && !is_resident.contains(source) && std::ranges::find(sources, source) == sources.end()) sources.push_back(source);
    }
    if (sources.empty()) continue;
    slabs.push_back(plan_slab(sources));
    out->placement_.disk_bytes += slabs.back().read_bytes;
    streamed.push_back(std::move(unit));
  }
  // After the hooks that bring a layer's weights, so that they run inside of those.
  const auto attach_casts = [&] {
    for (Module* m : casts) m->add_hook(std::make_shared<LayerwiseCastingHook>(options.casting->storage_dtype, options.casting->compute_dtype), true);
  };
  if (slabs.empty()) {
    attach_casts();
    return out;
  }
  // One slot is computed on while the next is read; modules around a layer that hold tensors of their own hold theirs meanwhile.
  std::size_t held = 1;
  for (const Unit& unit : streamed) {
    std::size_t depth = 1;
    for (const Unit& other : streamed) {
      const std::string& outer = other.module->name();
      if (&other != &unit && (outer.empty() || unit.module->name().starts_with(outer + "."))) ++depth;
    }
    held = std::max(held, depth);
  }
  out->prefetcher_ = std::make_unique<Prefetcher>(std::move(slabs), held + 1, out->checkpoint_, disk);
  out->placement_.slot_bytes = out->prefetcher_->slot_bytes();
  auto weights = std::make_shared<PrefetchedWeights>(*out->prefetcher_);
  for (std::size_t i = 0; i < streamed.size(); ++i) {
    for (ModuleTensor* t : streamed[i].tensors) {
      const WeightSource* source = store.find(t->full_name);
      if (source == nullptr || !out->prefetcher_->slab(i).offsets.contains(source)) continue;
      weights->add(t->full_name, *source, i);
      // Each name asks for its bytes by itself, also where two are one tensor.
      t->tie = nullptr;
    }
  }
  for (const Unit& unit : streamed) {
    Module& module = *unit.module;
    module.add_hook(std::make_shared<AlignDevicesHook>(AlignDevices{
        .execution_device = &cpu_device(),
        .offload = true,
        .weights_map = std::make_shared<PrefixedWeights>(weights, module.name().empty() ? "" : module.name() + "."),
        .offload_buffers = true,
        .place_submodules = unit.whole,
        .only = [weights](const ModuleTensor& t) { return weights->contains(t.full_name); }}));
  }
  attach_casts();
  return out;
}

}  // namespace bigmodel
