// SPDX-License-Identifier: Apache-2.0
// Archives of goldens, unpacked; the folders of a golden set once per process.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace bigmodel::test {

/// A .tar.xz (or plain tar) of files and folders into a folder that is there.
void unpack_archive(const std::filesystem::path& archive, const std::filesystem::path& into);

/// Unpacks ../shared/goldens/AREA/folders.tar.xz into a folder that disappears at exit; nullopt where the set is absent.
std::optional<std::filesystem::path> golden_folders(std::string_view area);

/// The small set in the repository, then the large one beside it where that is laid out: `planner` and `reshard` rows and folders.
struct CheckpointGoldens {
  std::filesystem::path folders;  ///< holds folders/index.json
  std::filesystem::path rows;     ///< holds planner.jsonl.xz and reshard.jsonl.xz
};
std::vector<CheckpointGoldens> checkpoint_goldens();

}  // namespace bigmodel::test
