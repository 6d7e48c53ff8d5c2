// SPDX-License-Identifier: Apache-2.0
// The tensors of one weight file, whatever its container.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/safetensors_header.h"

namespace bigmodel {

struct TensorList {
  CheckpointFile file;                    ///< name is left empty
  std::vector<CheckpointTensor> tensors;  ///< file index 0
  std::vector<std::string> notes;
};

/// `under` as in OpenOptions. Throws NotFoundError, IoError, FormatError, UnsupportedError.
TensorList read_tensor_list(const Disk& disk, const std::filesystem::path& path, std::string_view under);

/// What a safetensors header says, as the tensors of its file. Sets the container of `list.file`, not its name or identity.
void take_safetensors_header(SafetensorsHeader header, TensorList& list);

/// The identity of an open file. Throws IoError where it is no regular file.
FileIdentity file_identity(int fd, const std::filesystem::path& path);
/// Of the file that the path leads to now; nothing where there is none to be seen.
std::optional<FileIdentity> find_file_identity(const std::filesystem::path& path);

}  // namespace bigmodel
