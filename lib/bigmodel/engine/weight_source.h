// SPDX-License-Identifier: Apache-2.0
// Where the bytes of one memory tensor come from: one file tensor, or several put together as the description says.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/engine/packed_weight.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// A DiskForm whose leaves are tensors of a checkpoint.
struct SourceForm {
  DiskForm::Kind kind = DiskForm::Kind::name;
  const CheckpointTensor* tensor = nullptr;  ///< Kind::name
  int axis = 0, index = 0, count = 1;
  std::vector<std::int64_t> sizes;           ///< as DiskForm's
  std::vector<SourceForm> forms;
  PackedWeight packed;                       ///< Kind::name, instead of the tensor, where the file holds it quantised
};

struct WeightSource {
  std::string name;       ///< in memory
  Shape shape;            ///< in memory
  DType dtype = DType::float32;   ///< of the bytes in memory
  SourceForm form;
  /// Bytes of another dtype are made this one first, and then `dtype`: weights that are kept smaller than they are run in. None: at once.
  std::optional<DType> by_way_of;

  std::uint64_t size_bytes() const;
  /// The file tensor whose bytes are the tensor's, or null where bytes must be moved, converted or unpacked.
  const CheckpointTensor* plain() const;
};

/// Fills `out` (size_bytes() of it). Throws IoError, FormatError (the file changed or is cut), UnsupportedError (a conversion that
/// there is none of). Scratch memory: one file tensor where bytes are moved or converted; some rows where they go into blocks
/// as they lie.
void read_source(const WeightSource& source, TensorReader& reader, std::span<std::byte> out);

/// Whether entries along the first axis (rows of a matrix, matrices of a stack) can be read without the others.
bool can_slice(const WeightSource& source);
/// Where in its file the first byte of entry `number` lies, or 0 where bytes are converted or moved: memory of the same phase to a disk block saves a copy.
std::uint64_t slice_file_offset(const WeightSource& source, std::int64_t number);
/// Fills `out` with entries [first, first + count) along the first axis, of a source that can_slice(). Throws as read_source does.
void read_slices(const WeightSource& source, TensorReader& reader, std::int64_t first, std::int64_t count, std::span<std::byte> out);

}  // namespace bigmodel
