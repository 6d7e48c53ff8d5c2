// SPDX-License-Identifier: Apache-2.0
// Files that the build puts into the binary (bigmodel_embed in cmake/sources.cmake), so that the program reads none at start.
#pragma once

#include <string_view>
#include <vector>

namespace bigmodel {

/// Name without folder, and content. Both live as long as the process.
struct EmbeddedFile {
  std::string_view name;
  std::string_view content;
};

}  // namespace bigmodel
