// SPDX-License-Identifier: Apache-2.0
// A hidden folder beside a target for what is only needed until the target is written.
#pragma once

#include <filesystem>
#include <string_view>

#include "bigmodel/io/unique_fd.h"

namespace bigmodel {

/// Removed with everything in it. Locked while it is in use, so that the next one for the same target and purpose can tell what a process that was
/// killed left behind, and removes it. One thread.
class ScratchFolder {
 public:
  /// What making one would remove first, where none is made.
  static void remove_leftovers(const std::filesystem::path& target, std::string_view purpose);
  /// `.NAME-PURPOSE-PID` beside `target`, whose parent is there. Throws IoError. Leftovers are kept where the file system has no locks.
  ScratchFolder(const std::filesystem::path& target, std::string_view purpose);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  UniqueFd lock_;
};

}  // namespace bigmodel
