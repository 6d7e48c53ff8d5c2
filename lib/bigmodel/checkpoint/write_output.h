// SPDX-License-Identifier: Apache-2.0
// Writes one output file: shares extents where the file system can, else copies in large chunks past the page cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "bigmodel/checkpoint/output_layout.h"
#include "bigmodel/core/progress.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {

struct CopyOptions {
  unsigned threads = 4;
  std::uint64_t chunk_bytes = std::uint64_t{4} << 20;  ///< a multiple of 4096; each thread holds about two of them
  bool direct_io = true;
  bool reflink = true;
  bool digest = true;  ///< sha256 of what is written (not where extents are shared: the bytes are never seen)
};

struct WrittenFile {
  std::string sha256;               ///< empty: not computed
  std::uint64_t copied_bytes = 0;
  std::uint64_t reflink_bytes = 0;
};

/// Creates `path` (which must not exist; a link is not followed), writes and syncs it. On failure a partial file is left for
/// the caller to remove. `done_bytes` counts what has been written over all files, for progress against `total_bytes`.
/// Throws IoError, FormatError, CancelledError.
WrittenFile write_output(const Checkpoint& checkpoint, const OutputFile& file, const std::filesystem::path& path, const CopyOptions& options,
                         const Disk& disk, const WorkContext& work, std::uint64_t done_bytes, std::uint64_t total_bytes);

/// sha256 of a file as the medium holds it (read past the page cache). Throws IoError, CancelledError.
std::string sha256_of_file(const std::filesystem::path& path, const Disk& disk, const WorkContext& work);

}  // namespace bigmodel
