// SPDX-License-Identifier: Apache-2.0
// The tiny storyteller inside the program: what `bigmodel run` runs where no MODEL is named.
#pragma once

#include <filesystem>
#include <string_view>

#include "bigmodel/io/unique_fd.h"

namespace bigmodel::app {

/// A file of the embedded model ("config.json", "tokenizer.json", ...); empty where there is none.
std::string_view demo_file(std::string_view name);

/// Its checkpoint as a file that exists in memory only, for as long as this lives. Throws IoError.
class DemoCheckpoint {
 public:
  DemoCheckpoint();
  std::filesystem::path path() const;

 private:
  UniqueFd fd_;
};

}  // namespace bigmodel::app
