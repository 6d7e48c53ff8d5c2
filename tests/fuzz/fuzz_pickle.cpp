// SPDX-License-Identifier: Apache-2.0
// Any bytes as a pickle, its tensors placed in storages of the sizes that it names. Only a bigmodel::Error may come out, and every tensor lies
// inside its storage.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bigmodel/checkpoint/pytorch_tensors.h"
#include "bigmodel/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  constexpr std::uint64_t kMostStorage = std::uint64_t{1} << 40;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const PickleDocument document = read_pickle(bytes, "x.bin");
    std::vector<StoragePlace> places;
    std::uint64_t at = 64;
    for (const PickledStorage& storage : document.storages) {
      places.push_back({at, std::min(storage.count, kMostStorage)});
      at += places.back().size_bytes;
    }
    std::vector<std::string> notes;
    for (const CheckpointTensor& tensor : tensors_of_pickle(document, places, "", "x.bin", notes)) {
      if (tensor.size_bytes == 0) continue;
      if (tensor.offset < tensor.storage_offset || tensor.offset - tensor.storage_offset >= tensor.storage_bytes) std::abort();
      if (tensor.contiguous() && tensor.size_bytes > tensor.storage_bytes - (tensor.offset - tensor.storage_offset)) std::abort();
    }
  } catch (const Error&) {
  } catch (const PickleEnds&) {
  }
  return 0;
}
