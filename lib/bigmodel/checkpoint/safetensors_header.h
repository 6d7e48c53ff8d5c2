// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: parsed with every check of the reference, and the few that it leaves out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/core/tensor_info.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {

/// Longest header that the reference accepts.
inline constexpr std::uint64_t kSafetensorsHeaderLimit = 100'000'000;
/// Longest header that the Hub and huggingface_hub's tools read.
inline constexpr std::uint64_t kHubHeaderLimit = 25'000'000;

struct SafetensorsEntry : TensorInfo {
  std::uint64_t begin = 0;  ///< from the end of the header
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::uint64_t header_bytes = 0;         ///< 8 + length of the JSON: where the data begins
  std::vector<SafetensorsEntry> tensors;  ///< in the header's order
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::string> notes;         ///< accepted oddities
};

/// `json` is the header without its length, `data_bytes` what follows it in the file. Throws FormatError naming `object`.
/// Refuses, beyond the reference: one name twice, a key twice in __metadata__, a tensor that is no object.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes, const std::string& object);

/// Reads and parses the header of an open file of `file_bytes`; recognises what is commonly found instead of a
/// safetensors file (a Git LFS pointer, a web page, a pickle) and says so. Throws FormatError, IoError.
SafetensorsHeader read_safetensors_header(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path);

}  // namespace bigmodel
