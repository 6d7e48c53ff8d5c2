// SPDX-License-Identifier: Apache-2.0
// Files written by torch.save: the zip container (since 1.6) and the legacy stream of pickles and storages (before).
#pragma once

#include <string_view>

#include "bigmodel/checkpoint/read_tensor_list.h"

namespace bigmodel {

/// Fills the list's tensors and container; identity and path are set already. `under` as in OpenOptions.
/// Throws UnsupportedError for TorchScript, compressed or big-endian files and for whatever is no plain tensor; FormatError.
void read_pytorch_zip(const Disk& disk, int fd, std::string_view under, TensorList& list);
void read_pytorch_legacy(const Disk& disk, int fd, std::string_view under, TensorList& list);

}  // namespace bigmodel
