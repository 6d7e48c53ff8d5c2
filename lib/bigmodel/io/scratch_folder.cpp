// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/scratch_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "bigmodel/core/error.h"

namespace bigmodel {

namespace fs = std::filesystem;

ScratchFolder::ScratchFolder(const fs::path& target, std::string_view purpose) {
  fs::path whole = fs::absolute(target).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  path_ = whole.parent_path() / fmt::format(".{}-{}-{}", whole.filename().string(), purpose, ::getpid());
  std::error_code error;
  // What a process of this number left behind is of no use to anybody.
  fs::remove_all(path_, error);
  if (!fs::create_directory(path_, error)) throw_errno(path_.string(), "create the folder", error ? error.value() : EEXIST);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace bigmodel
