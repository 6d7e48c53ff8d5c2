// SPDX-License-Identifier: Apache-2.0
// Any bytes as a weight file: its tensors listed, those of moderate size read. Only a bigmodel::Error may come out, and what is listed lies
// inside the file.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "bigmodel/checkpoint/checkpoint_totals.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "fuzz/memory_file.h"

namespace bigmodel::test {

inline void read_weights(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kMostRead = 1 << 20;
  const MemoryFile file(data, size);
  const Disk disk;
  try {
    TensorList list = read_tensor_list(disk, file.path(), {});
    Checkpoint checkpoint;
    checkpoint.files.push_back(std::move(list.file));
    checkpoint.tensors = std::move(list.tensors);
    static_cast<void>(checkpoint_totals(checkpoint));
    TensorReader reader(checkpoint, disk);
    std::uint64_t left = kMostRead;
    for (const CheckpointTensor& tensor : checkpoint.tensors) {
      if (tensor.contiguous() && tensor.size_bytes != 0 && (tensor.offset > size || tensor.size_bytes > size - tensor.offset)) std::abort();
      if (tensor.size_bytes > left) continue;
      left -= tensor.size_bytes;
      static_cast<void>(reader.read_all(tensor));
    }
  } catch (const Error&) {
  }
}

}  // namespace bigmodel::test
