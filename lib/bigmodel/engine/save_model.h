// SPDX-License-Identifier: Apache-2.0
// A model of modules back into a checkpoint, also where part of it sleeps: accelerate's save_model, the weights of save_pretrained.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/core/progress.h"
#include "bigmodel/engine/weights_map.h"

namespace bigmodel {

class Module;

/// The state dict with the values of offloaded weights, each read when it is asked for by `visit`. Throws UsageError for a tensor that is on
/// meta and that no hook has; what the hook's weights map throws.
void for_each_weight(Module& model, const std::function<void(const std::string& name, const StoredTensor& tensor)>& visit);

struct SaveModelOptions {
  std::uint64_t max_shard_size_bytes = 10'000'000'000;
  OutputFormat format = OutputFormat::safetensors;   ///< or bin
  bool force = false;                                ///< the weights of an existing folder are replaced
  const Disk* disk = nullptr;                        ///< null: the real one
  WorkContext work;
};

/// Writes model.safetensors (or pytorch_model.bin), or shards and their index, into `folder`, which appears whole or not at all. Of names that
/// are tied the first is kept. The weights pass through a folder beside it, which needs as much room again and is removed.
/// Throws UsageError (the folder exists), IoError, UnsupportedError, CancelledError.
ShardReport save_model(Module& model, const std::filesystem::path& folder, const SaveModelOptions& options = {});

}  // namespace bigmodel
