// SPDX-License-Identifier: Apache-2.0
// Where tests find their data: goldens in this repository, and the large sets beside it where they are laid out.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace bigmodel::test {

/// tests/golden/NAME of this repository.
std::filesystem::path golden_path(std::string_view name);

/// The repository's root.
std::filesystem::path source_root();

/// ../shared/NAME beside the repository; nullopt where it is absent, which it then says loudly on stderr.
std::optional<std::filesystem::path> shared_path(std::string_view name);

}  // namespace bigmodel::test
