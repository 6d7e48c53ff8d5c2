// SPDX-License-Identifier: Apache-2.0
#include "commands/read_files.h"

#include <fmt/format.h>

#include <optional>

#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/core/error.h"

namespace bigmodel::app {

ReadFiles::ReadFiles(const Checkpoint& checkpoint) {
  for (const CheckpointFile& file : checkpoint.files) {
    if (file.container != Container::made) files_.emplace_back(file.path, file.identity);
  }
}

void ReadFiles::check() const {
  for (const auto& [path, was] : files_) {
    const std::optional<FileIdentity> now = find_file_identity(path);
    if (!now || now->device != was.device || now->inode != was.inode || *now == was) continue;
    throw IoError(fmt::format("{}: was changed while it was being read", path.string()), "what came out so far may be wrong; run again once the file rests");
  }
}

}  // namespace bigmodel::app
