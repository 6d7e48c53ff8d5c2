// SPDX-License-Identifier: Apache-2.0
// The tensors of one weight file, whatever its container.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

struct TensorList {
  CheckpointFile file;                    ///< name is left empty
  std::vector<CheckpointTensor> tensors;  ///< file index 0
  std::vector<std::string> notes;
};

/// `under` as in OpenOptions. Throws NotFoundError, IoError, FormatError, UnsupportedError.
TensorList read_tensor_list(const Disk& disk, const std::filesystem::path& path, std::string_view under);

/// The identity of an open file. Throws IoError where it is no regular file.
FileIdentity file_identity(int fd, const std::filesystem::path& path);

}  // namespace bigmodel
