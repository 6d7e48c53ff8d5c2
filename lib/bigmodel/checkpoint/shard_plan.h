// SPDX-License-Identifier: Apache-2.0
// Which tensor goes into which shard. Pure arithmetic on names and sizes: no disk.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

/// What the planner needs of a tensor.
struct ShardInput {
  std::string name;
  std::uint64_t storage_bytes = 0;       ///< of the whole storage, also where the tensor is a slice of it
  std::optional<std::uint64_t> storage;  ///< equal numbers share memory and are written once; empty: a storage of its own
};

enum class ShardPolicy {
  hf,        ///< huggingface_hub's next-fit, exactly
  balanced,  ///< as few shards of equal size as the limit allows; layers are not split where that is possible
};

struct PlannedShard {
  std::string file;
  std::vector<std::uint32_t> tensors;  ///< into the input, in the shard's order
  std::uint64_t size_bytes = 0;        ///< each storage once
};

struct ShardPlan {
  std::vector<PlannedShard> shards;
  std::uint64_t total_size = 0;  ///< index metadata: each storage once
  bool sharded() const noexcept { return shards.size() > 1; }
};

/// File names: stem + "-00001-of-00003" + suffix, the bare stem + suffix for one shard.
struct ShardNames {
  std::string stem = "model";
  std::string suffix = ".safetensors";
  std::string variant;  ///< "fp16": model.fp16.safetensors; empty: none
  std::string varied_stem() const { return variant.empty() ? stem : stem + "." + variant; }
  std::string one() const { return varied_stem() + suffix; }
  /// As huggingface_hub names it: model.fp16.safetensors.index.json.
  std::string index() const { return one() + ".index.json"; }
  /// As transformers names it: model.safetensors.index.fp16.json.
  std::string transformers_index() const { return variant.empty() ? index() : stem + suffix + ".index." + variant + ".json"; }
};
/// model.safetensors or pytorch_model.bin.
ShardNames usual_names(bool bin, std::string variant = {});

/// Reference: huggingface_hub split_state_dict_into_shards_factory. A tensor above the limit gets a shard of its own, which
/// is emitted before the shard being filled; later names of a storage join its first name's shard and cost nothing.
/// No tensors give no shards. Throws FormatError on overflow.
ShardPlan plan_shards(std::span<const ShardInput> tensors, std::uint64_t max_shard_size_bytes, const ShardNames& names = {},
                      ShardPolicy policy = ShardPolicy::hf);

/// A shard limit as text. KB MB GB TB are taken as huggingface_hub takes them: the product of two doubles, cut to whole bytes
/// ("0.00000192GB" is 1919 bytes), because one byte decides whether a tensor still fits. All else is parse_byte_size.
/// Throws UsageError naming `object`.
std::uint64_t parse_max_shard_size(std::string_view text, std::string_view object = "max_shard_size");

/// The module that must not be cut under the balanced policy: "model.layers.3" of "model.layers.3.mlp.up_proj.weight" (up to
/// the first number in the name), else the name without its last part.
std::string_view layer_of(std::string_view tensor_name);

}  // namespace bigmodel
