// SPDX-License-Identifier: Apache-2.0
// A hidden folder beside a target for what is only needed until the target is written.
#pragma once

#include <filesystem>
#include <string_view>

namespace bigmodel {

/// Removed with everything in it. One thread.
class ScratchFolder {
 public:
  /// `.NAME-PURPOSE-PID` beside `target`, whose parent is there. Throws IoError.
  ScratchFolder(const std::filesystem::path& target, std::string_view purpose);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace bigmodel
