// SPDX-License-Identifier: Apache-2.0
// Weights that sleep in files: accelerate's offload folder (index.json and one NAME.dat per tensor) written, and any checkpoint read.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/engine/weights_map.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {

/// What index.json says of tensors that were written, in order.
using OffloadIndex = std::vector<TensorInfo>;

/// Writes NAME.dat into the folder, which is there, and adds to the index. An older file of that name is overwritten.
/// Throws IoError, UsageError for a name that is no file name or a tensor on meta.
void offload_weight(const StoredTensor& weight, const std::string& name, const std::filesystem::path& folder, OffloadIndex& index, const Disk& disk);

/// Merges into the folder's index.json, whose other entries stay; nothing happens for an empty index. The file changes whole or not at
/// all. Throws IoError, FormatError where the index that is there cannot be read.
void save_offload_index(const OffloadIndex& index, const std::filesystem::path& folder);

/// Makes the folder and writes everything, the index last.
void offload_state_dict(const std::filesystem::path& folder, const StateDict& tensors, const Disk& disk);

/// Bytes of a .dat file, of which an index says dtype and shape. Throws IoError, FormatError (another size).
StoredTensor load_offloaded_weight(const std::filesystem::path& file, const TensorInfo& info, const Disk& disk);

/// A checkpoint of any kind as a map of weights; each is read when it is asked for.
class CheckpointWeights : public WeightsMap {
 public:
  /// `disk` must outlive it.
  CheckpointWeights(Checkpoint checkpoint, const Disk& disk);
  ~CheckpointWeights() override;
  std::optional<StoredTensor> find(const std::string& name) const override;
  /// What its header says, or null.
  const CheckpointTensor* info(const std::string& name) const;

 private:
  struct Reader;
  Checkpoint checkpoint_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::unique_ptr<Reader> reader_;
};

/// The offload folder's tensors. Throws NotFoundError, FormatError, IoError: every entry is checked against its file.
std::shared_ptr<const CheckpointWeights> open_offload_folder(const std::filesystem::path& folder, const Disk& disk);

/// Tensors in memory first, then another map: accelerate's OffloadedWeightsLoader.
class OffloadedWeightsLoader : public WeightsMap {
 public:
  OffloadedWeightsLoader(const StateDict& state_dict, std::shared_ptr<const WeightsMap> stored) : memory_(state_dict), stored_(std::move(stored)) {}
  std::optional<StoredTensor> find(const std::string& name) const override;

 private:
  StateDictWeights memory_;
  std::shared_ptr<const WeightsMap> stored_;   ///< may be null
};

}  // namespace bigmodel
