// SPDX-License-Identifier: Apache-2.0
// Which files of a folder make up its checkpoint, by the order of preference of transformers.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/io/disk.h"

namespace bigmodel {

struct ChosenFiles {
  std::filesystem::path folder;
  std::filesystem::path index;                ///< index.json of a sharded checkpoint; empty: none
  std::filesystem::path offload_index;        ///< accelerate's index.json; empty: none
  std::vector<std::filesystem::path> files;   ///< without an index: the weight files, in order
  std::vector<std::string> notes;             ///< what else lies there and was not chosen
};

struct WeightName {
  std::string name;
  bool is_index = false;
};
/// What the weights of a checkpoint are called, in the order of preference of transformers, then as diffusers calls them. `variant`
/// as in "model.fp16.safetensors"; its index is "model.safetensors.index.fp16.json", or "model.fp16.safetensors.index.json" where
/// huggingface_hub wrote it. Empty: none.
std::vector<WeightName> weight_names(std::string_view variant);
/// "model.fp16.safetensors", "pytorch_model.fp16-00001-of-00002.bin", "model-00001-of-00002.fp16.safetensors" and their indexes ->
/// "fp16"; empty for all other names.
std::string_view variant_of(std::string_view name);

/// `path` is a file (weights or index) or a folder. Throws NotFoundError where nothing is there, UnsupportedError for what
/// is recognised and not readable (TensorFlow, Flax, GGUF, distributed checkpoints, adapters, pipelines), UsageError where
/// the choice is not clear.
ChosenFiles choose_files(const Disk& disk, const std::filesystem::path& path, std::string_view variant);

/// "model-00002-of-00003.safetensors" -> stem "model", 2, 3, suffix ".safetensors".
struct NumberedShard {
  std::string stem;
  unsigned long number = 0;
  unsigned long count = 0;
  std::string suffix;
};
bool parse_numbered_shard(std::string_view name, NumberedShard& out);

}  // namespace bigmodel
