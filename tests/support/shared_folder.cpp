// SPDX-License-Identifier: Apache-2.0
#include "support/shared_folder.h"

#include <cstdio>
#include <string>

namespace bigmodel::test {

std::filesystem::path source_root() { return BIGMODEL_SOURCE_DIR; }

std::filesystem::path golden_path(std::string_view name) { return source_root() / "tests" / "golden" / name; }

std::optional<std::filesystem::path> shared_path(std::string_view name) {
  const std::filesystem::path path = source_root() / ".." / "shared" / name;
  if (std::filesystem::exists(path)) return path;
  std::fprintf(stderr, "SKIPPED: ../shared/%s is not here, so its records were not checked\n", std::string(name).c_str());
  return std::nullopt;
}

}  // namespace bigmodel::test
