// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json and pytorch_model.bin.index.json: which tensor lies in which shard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bigmodel {

struct IndexEntry {
  std::string tensor;
  std::uint32_t shard = 0;  ///< into CheckpointIndex::shards
};

struct CheckpointIndex {
  std::string name;                     ///< of the file, without folder
  std::vector<std::string> shards;      ///< in order of first mention
  std::vector<IndexEntry> weight_map;   ///< in the file's order
  std::optional<std::uint64_t> total_size;                    ///< absent where missing or no whole number
  std::vector<std::pair<std::string, std::string>> metadata;  ///< every key with its value as JSON text, total_size too
};

/// Refuses shard names that leave the folder (absolute, drive, "..", separators at odd places, NUL) as the Hub does, two
/// entries for one tensor, a file without weight_map or with an empty one, and in NAME.safetensors.index.json shards of another suffix. Throws FormatError, NotFoundError, IoError.
CheckpointIndex read_checkpoint_index(const std::filesystem::path& path);

/// Parses the text; `object` names it in errors.
CheckpointIndex parse_checkpoint_index(std::string_view text, const std::string& object);

/// How the JSON of an index is laid out; both indent by two and escape non-ASCII.
enum class IndexLayout {
  hub,           ///< huggingface_hub: the planner's order, no final newline
  transformers,  ///< keys sorted, final newline
};

/// Writes the text. `metadata` pairs are key and JSON text.
std::string checkpoint_index_text(const std::vector<std::pair<std::string, std::string>>& metadata,
                                  const std::vector<std::pair<std::string, std::string>>& weight_map, IndexLayout layout);

/// "..\evil", "/abs", "C:x", "" and the like are no shard names. Empty where fine, else what is wrong.
std::string shard_name_fault(std::string_view name);

}  // namespace bigmodel
