// SPDX-License-Identifier: Apache-2.0
// An output file before it exists: which bytes come from where. Everything is known from headers; data are never read here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

/// A run of bytes of the output.
struct OutputPiece {
  enum class Kind {
    text,        ///< the bytes of `text`
    range,       ///< bytes of a source file, unchanged
    tensor,      ///< a tensor's elements, gathered and perhaps converted
    descriptor,  ///< a zip record's checksum and sizes, known once its payload has passed
    directory,   ///< the zip archive's end: directory and end records
  };
  Kind kind = Kind::text;
  std::uint64_t offset = 0;      ///< in the output
  std::uint64_t size_bytes = 0;
  std::string text;
  std::uint32_t file = 0;        ///< range: into Checkpoint::files
  std::uint64_t from = 0;        ///< range: in that file
  std::uint32_t tensor = 0;      ///< tensor: into Checkpoint::tensors
  DType dtype = DType::float32;  ///< tensor: as written
  std::uint32_t record = kNoRecord;  ///< zip payload and descriptor: into OutputFile::records

  static constexpr std::uint32_t kNoRecord = ~std::uint32_t{0};
};

struct ZipRecord {
  std::string name;
  std::uint64_t header_offset = 0;
  std::uint64_t size_bytes = 0;
};

struct OutputFile {
  std::string name;
  std::uint64_t size_bytes = 0;
  std::vector<OutputPiece> pieces;      ///< in order, without gaps
  std::vector<std::uint32_t> tensors;   ///< into Checkpoint::tensors, as they lie in the file
  std::vector<ZipRecord> records;       ///< .bin only
};

struct LayoutOptions {
  std::optional<DType> dtype;           ///< convert floating-point tensors to it
  bool canonical = false;               ///< safetensors: the reference writer's order and padding, byte for byte
  std::vector<std::pair<std::string, std::string>> metadata;  ///< safetensors' __metadata__
};

/// What a tensor becomes: dtype after conversion; not changed where it is no convertible float.
DType written_dtype(const CheckpointTensor& tensor, const LayoutOptions& options);

/// Without `canonical`, tensors lie as in their source file and the header is padded so that the longest run of unchanged
/// bytes keeps its place within a 4096-byte block: then file systems can share it instead of copying.
OutputFile layout_safetensors(const Checkpoint& checkpoint, std::span<const std::uint32_t> tensors, std::string name, const LayoutOptions& options);

/// A zip that torch.load(weights_only=True) reads. Views of one storage stay views of one storage, unless converted.
OutputFile layout_pytorch_zip(const Checkpoint& checkpoint, std::span<const std::uint32_t> tensors, std::string name, const LayoutOptions& options);

}  // namespace bigmodel
