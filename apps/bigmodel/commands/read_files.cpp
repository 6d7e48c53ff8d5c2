// SPDX-License-Identifier: Apache-2.0
#include "commands/read_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "bigmodel/core/error.h"

namespace bigmodel::app {

ReadFiles::ReadFiles(const Checkpoint& checkpoint) {
  for (const CheckpointFile& file : checkpoint.files) {
    if (file.container != Container::made) files_.emplace_back(file.path, file.identity);
  }
}

void ReadFiles::check() const {
  for (const auto& [path, was] : files_) {
    struct stat now {};
    if (::stat(path.c_str(), &now) != 0 || now.st_dev != was.device || now.st_ino != was.inode) continue;
    const std::int64_t modified_ns = static_cast<std::int64_t>(now.st_mtim.tv_sec) * 1'000'000'000 + now.st_mtim.tv_nsec;
    if (modified_ns == was.modified_ns && static_cast<std::uint64_t>(now.st_size) == was.size_bytes) continue;
    throw IoError(fmt::format("{}: was changed while it was being read", path.string()), "what came out so far may be wrong; run again once the file rests");
  }
}

}  // namespace bigmodel::app
