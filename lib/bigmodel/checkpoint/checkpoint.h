// SPDX-License-Identifier: Apache-2.0
// A checkpoint's tensors as byte ranges of files, whatever container holds them. Reads headers only, never tensor data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/checkpoint/finding.h"
#include "bigmodel/core/tensor_info.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {

enum class Container {
  safetensors,
  pytorch_zip,     ///< torch.save since 1.6
  pytorch_legacy,  ///< torch.save before 1.6, or with _use_new_zipfile_serialization=False
  raw,             ///< accelerate's offload folder: one .dat of bare elements per tensor
  made,            ///< no file: the elements are made up (random_tensors.h)
};
/// "safetensors", "pytorch zip", "pytorch legacy", "offload", "made".
std::string_view to_string(Container container) noexcept;

/// How the elements of a made-up tensor come about.
struct TensorFill {
  enum class Kind { zeros, ones, normal, arange };
  Kind kind = Kind::zeros;
  float deviation = 1;        ///< normal: around 0
  std::uint64_t period = 1;   ///< arange: 0, 1, ... period - 1, again
  std::uint64_t seed = 0;
};

/// Name, dtype and shape come from TensorInfo. Elements are little-endian.
struct CheckpointTensor : TensorInfo {
  std::uint32_t file = 0;            ///< into Checkpoint::files
  std::uint64_t offset = 0;          ///< of element [0, ..., 0] from the start of the file, in bytes
  std::uint64_t size_bytes = 0;      ///< of the elements laid out contiguously
  std::vector<std::int64_t> strides; ///< in elements, one per dimension; empty: contiguous, row-major
  std::uint64_t storage = 0;         ///< tensors of one file with the same number share memory
  std::uint64_t storage_offset = 0;  ///< of the whole storage from the start of the file, in bytes
  std::uint64_t storage_bytes = 0;
  bool conjugate = false;            ///< the elements are the complex conjugates of the bytes
  bool negative = false;             ///< the elements are the negated bytes
  std::optional<TensorFill> made;    ///< the elements lie nowhere

  bool contiguous() const noexcept { return strides.empty(); }
  /// The file's bytes are the tensor's bytes.
  bool plain() const noexcept { return strides.empty() && !conjugate && !negative && !made; }
};

/// What says that a file is still the one that was read.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// A part of a file whose writer left a checksum of it.
struct CheckedRecord {
  std::string name;  ///< of the zip archive's entry
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
  std::uint32_t crc32 = 0;
};

struct CheckpointFile {
  std::filesystem::path path;  ///< to open it
  std::string name;            ///< relative to the checkpoint's folder
  Container container = Container::safetensors;
  FileIdentity identity;
  std::uint64_t header_bytes = 0;                             ///< safetensors: 8 + length of the JSON
  std::vector<std::pair<std::string, std::string>> metadata;  ///< safetensors' __metadata__, in the file's order
  std::vector<CheckedRecord> records;                         ///< PyTorch zip: storages with a checksum
};

struct Checkpoint {
  std::filesystem::path path;             ///< as given
  std::filesystem::path folder;           ///< that holds the files
  std::vector<CheckpointFile> files;      ///< in the order in which the tensors first name them
  std::vector<CheckpointTensor> tensors;  ///< the index's weight_map order, else each file's own order
  std::optional<CheckpointIndex> index;
  std::vector<std::string> notes;         ///< what was seen and not carried over

  const CheckpointTensor* find(std::string_view name) const;
  /// Sum of size_bytes, every name counted.
  std::uint64_t tensor_bytes() const;
};

struct OpenOptions {
  /// A key of a nested PyTorch dictionary ("state_dict", "model", "optimizer.state"): only tensors below it, without the
  /// prefix. Empty: everything, with dotted names.
  std::string under;
  /// "fp16": model.fp16.safetensors and its index are chosen in a folder.
  std::string variant;
  /// Where given, faults that leave the rest readable are listed here instead of thrown (what `verify` does).
  std::vector<Finding>* findings = nullptr;
  const Disk* disk = nullptr;  ///< nullptr: the real one
};

/// Opens a file (safetensors, .bin/.pt/.pth, index.json) or a folder of a checkpoint. In a folder the choice is as in
/// transformers: model.safetensors, its index, pytorch_model.bin, its index; else the only index, the only weight file, a
/// complete numbered set; else accelerate's offload index.json. The container is told by content, never by suffix.
/// Throws NotFoundError, IoError, FormatError, UnsupportedError. Thread-safe.
Checkpoint open_checkpoint(const std::filesystem::path& path, const OpenOptions& options = {});

}  // namespace bigmodel
