// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/save_model.h"

#include <fmt/format.h>

#include <unordered_set>

#include "bigmodel/checkpoint/offload_folder.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/hooks/align_devices_hook.h"
#include "bigmodel/engine/offload.h"
#include "bigmodel/engine/weight_slices.h"
#include "bigmodel/io/scratch_folder.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// A hook on the module, or one part of a sequence.
void collect(const ModelHook* hook, std::vector<const AlignDevicesHook*>& out) {
  if (const auto* sequence = dynamic_cast<const SequentialHook*>(hook)) {
    for (const auto& part : sequence->hooks()) collect(part.get(), out);
  } else if (const auto* align = dynamic_cast<const AlignDevicesHook*>(hook); align != nullptr && align->settings().offload) {
    out.push_back(align);
  }
}

/// Where a tensor on meta sleeps: the hook of its module, or of one above that loads everything below it.
StoredTensor sleeping(const Module& owner, const ModuleTensor& tensor) {
  if (tensor.slices != nullptr) return cast(tensor.slices->read_all(), tensor.view.dtype);
  for (const Module* at = &owner; at != nullptr; at = at->parent()) {
    std::vector<const AlignDevicesHook*> hooks;
    collect(at->hook(), hooks);
    for (const AlignDevicesHook* hook : hooks) {
      if ((at != &owner && !hook->settings().place_submodules) || hook->settings().weights_map == nullptr) continue;
      const std::string name = at->name().empty() ? tensor.full_name : tensor.full_name.substr(at->name().size() + 1);
      if (std::optional<StoredTensor> found = hook->settings().weights_map->find(name)) return cast(*found, tensor.view.dtype);
    }
  }
  throw UsageError(fmt::format("'{}': is on meta, and no hook knows where it sleeps", tensor.full_name), "load a checkpoint first");
}

}  // namespace

void for_each_weight(Module& model, const std::function<void(const std::string& name, const StoredTensor& tensor)>& visit) {
  model.for_each([&](Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (t.meta->persistent) visit(t.full_name, t.is_meta() ? sleeping(m, t) : StoredTensor(t));
    }
  });
}

ShardReport save_model(Module& model, const fs::path& folder, const SaveModelOptions& options) {
  static const Disk kReal;
  const Disk& disk = options.disk == nullptr ? kReal : *options.disk;
  const ScratchFolder scratch(folder, "weights");
  std::unordered_set<std::string> aliases;
  for (const auto& group : graph_of(model).tied) aliases.insert(group.begin() + 1, group.end());
  OffloadIndex index;
  for_each_weight(model, [&](const std::string& name, const StoredTensor& tensor) {
    options.work.throw_if_stopped();
    if (!aliases.contains(name)) offload_weight(tensor, name, scratch.path(), index, disk);
  });
  if (index.empty()) throw UsageError(fmt::format("{}: has no weights to save", model.class_name()));
  save_offload_index(index, scratch.path());

  Checkpoint checkpoint;
  checkpoint.path = checkpoint.folder = scratch.path();
  read_offload_folder(disk, scratch.path() / "index.json", checkpoint);
  const ShardJob job = plan_shard_job(checkpoint, {.max_shard_size_bytes = options.max_shard_size_bytes, .format = options.format, .side_files = false});
  return write_shards(checkpoint, job, {.output = folder, .force = options.force, .disk = options.disk}, options.work);
}

}  // namespace bigmodel
