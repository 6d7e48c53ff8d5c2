// SPDX-License-Identifier: Apache-2.0
// Reads a tensor's elements as contiguous little-endian bytes, any range of them, in bounded memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/io/direct_reader.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {

/// Opens files as needed and keeps the last one open. One thread; each worker has its own. The checkpoint must outlive it.
class TensorReader {
 public:
  TensorReader(const Checkpoint& checkpoint, const Disk& disk) : checkpoint_(checkpoint), reader_(disk) {}

  /// Bytes [begin, begin + out.size()) of the tensor laid out row-major; strides are followed, conjugate and negative views
  /// are resolved. `begin` and the size are multiples of the element's size for tensors that are not plain().
  /// Large ranges are read past the page cache. Scratch memory stays below some 40 MiB whatever the tensor. Throws IoError, FormatError (the file shrank).
  void read(const CheckpointTensor& tensor, std::uint64_t begin, std::span<std::byte> out);

  /// The same bytes of the whole tensor, if it has at most `limit_bytes`. Throws CapacityError above.
  std::vector<std::byte> read_all(const CheckpointTensor& tensor, std::uint64_t limit_bytes = std::uint64_t{1} << 30);

  /// Bytes of a file, as they lie there.
  void read_file(std::uint32_t file, std::uint64_t offset, std::span<std::byte> out);

 private:
  void gather(const CheckpointTensor& tensor, std::uint64_t first, std::uint64_t count, std::byte* out);

  const Checkpoint& checkpoint_;
  DirectReader reader_;
  std::uint32_t open_file_ = ~std::uint32_t{0};
  std::vector<std::byte> scratch_;
};

}  // namespace bigmodel
