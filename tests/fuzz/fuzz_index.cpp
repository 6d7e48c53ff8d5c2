// SPDX-License-Identifier: Apache-2.0
// Any bytes as the index of a sharded checkpoint. Only a bigmodel::Error may come out, and no shard lies outside the folder.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  try {
    const CheckpointIndex index = parse_checkpoint_index({reinterpret_cast<const char*>(data), size}, "model.safetensors.index.json");
    for (const std::string& shard : index.shards) {
      const std::string path = (std::filesystem::path("/folder") / shard).lexically_normal().string();
      if (!path.starts_with("/folder/")) std::abort();
    }
    for (const IndexEntry& entry : index.weight_map) {
      if (entry.shard >= index.shards.size()) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
