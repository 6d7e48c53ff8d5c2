// SPDX-License-Identifier: Apache-2.0
// From a pickle's values to named tensors: walks nested containers, checks every view against its storage.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/pickle_machine.h"

namespace bigmodel {

/// Where a storage lies in the file.
struct StoragePlace {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

/// Names are the keys on the way, joined by '.'; a lone tensor is named "". A container met twice is read once.
/// `places` has one entry per storage of the document. Throws FormatError (a view outside its storage, two tensors of one
/// name, a shape that expands a few bytes to more than memory holds), NotFoundError where nothing lies below `under`.
std::vector<CheckpointTensor> tensors_of_pickle(const PickleDocument& document, const std::vector<StoragePlace>& places,
                                                std::string_view under, const std::string& object, std::vector<std::string>& notes);

}  // namespace bigmodel
