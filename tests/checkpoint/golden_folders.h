// SPDX-License-Identifier: Apache-2.0
// The folders of a golden set, unpacked once per process.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace bigmodel::test {

/// Unpacks ../shared/goldens/AREA/folders.tar.xz into a folder that disappears at exit; nullopt where the set is absent.
std::optional<std::filesystem::path> golden_folders(std::string_view area);

}  // namespace bigmodel::test
