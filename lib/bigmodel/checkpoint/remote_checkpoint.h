// SPDX-License-Identifier: Apache-2.0
// What the headers of a checkpoint say that lies elsewhere: read by byte ranges, without the weights.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "bigmodel/checkpoint/checkpoint.h"

namespace bigmodel {

/// What the files are called.
struct RemoteNames {
  std::string stem;     ///< empty: any of weight_names()
  std::string variant;  ///< as OpenOptions
};

struct RemoteFiles {
  /// Bytes [first, first + size) of a file, fewer where it ends before; `file_bytes` is set to its size. nullopt where there is
  /// no such file. Called from several threads.
  std::function<std::optional<std::string>(const std::string& path, std::uint64_t first, std::uint64_t size, std::uint64_t& file_bytes)> read;
  std::string object;       ///< names the place in errors: "gpt2@abc1234"
  std::string folder;       ///< where in it the checkpoint is; empty: at its root
  RemoteNames names;
  unsigned connections = 8; ///< files at a time
};

/// The first safetensors file, or index of such, of the names. CheckpointFile::path is the file's path there: it cannot
/// be opened. Throws NotFoundError where there is neither, FormatError, UnsupportedError (more than 10,000 shards), and what
/// `read` throws.
Checkpoint read_remote_checkpoint(const RemoteFiles& files);

}  // namespace bigmodel
