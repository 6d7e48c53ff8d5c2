// SPDX-License-Identifier: Apache-2.0
// The descriptions that are built into the program.
#pragma once

#include "bigmodel/core/embedded_file.h"

namespace bigmodel::embedded {

/// Every .arch file of this folder.
std::vector<EmbeddedFile> architectures_files();

/// One file: the names of all types that the reference builds, one a line, `#` for comments.
std::vector<EmbeddedFile> reference_types_files();

}  // namespace bigmodel::embedded
