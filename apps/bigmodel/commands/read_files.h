// SPDX-License-Identifier: Apache-2.0
// The files that a run reads weights from, watched for changes.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel::app {

/// As they were when their headers were read.
class ReadFiles {
 public:
  ReadFiles() = default;
  explicit ReadFiles(const Checkpoint& checkpoint);

  /// Throws IoError where one was written to since. One that was replaced or removed is still read as it was.
  void check() const;

 private:
  std::vector<std::pair<std::filesystem::path, FileIdentity>> files_;
};

}  // namespace bigmodel::app
