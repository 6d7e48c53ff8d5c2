// SPDX-License-Identifier: Apache-2.0
// The header of a GGUF file: its tensors by name, type and shape, and the few metadata that say what it is. Reads no weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/core/ggml_type.h"
#include "bigmodel/core/shape.h"

namespace bigmodel {

struct GgufTensor {
  std::string name;
  Shape shape;                   ///< outermost first (the file has them the other way round)
  GgmlType type;
  std::uint64_t offset = 0;      ///< from the start of the file
  std::uint64_t size_bytes = 0;
};

struct GgufHeader {
  std::uint32_t version = 0;
  std::string architecture;      ///< general.architecture
  std::string name;              ///< general.name
  std::string kind;              ///< general.type: "model", "mmproj", "adapter"; empty where not stated
  /// Whole numbers and truths, and lists of them, below the architecture's name and without it ("block_count"); "vocab_size" is the length of the
  /// list of tokens where it is not stated. Longer lists than a model has layers are left out.
  std::map<std::string, std::vector<std::int64_t>> facts;
  std::uint64_t split_count = 0; ///< split.count: of how many files this is one; 0: not split
  std::vector<GgufTensor> tensors;
  std::uint64_t file_bytes = 0;
};

/// Versions 2 and 3, little-endian. Throws NotFoundError, IoError, FormatError (cut off, sizes beyond the file, unknown types),
/// UnsupportedError (other versions, big-endian files).
GgufHeader read_gguf_header(const std::filesystem::path& path);

/// The same from the first bytes of a file that has `file_bytes`; nullopt where the header is longer than those. `where` names it in errors.
std::optional<GgufHeader> parse_gguf_header(std::span<const std::byte> first, std::uint64_t file_bytes, const std::string& where);

/// The names of the split set that a name belongs to, in order; the name alone where it is of none.
std::vector<std::string> gguf_set(const std::string& name);

}  // namespace bigmodel
