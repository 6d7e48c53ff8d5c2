// SPDX-License-Identifier: Apache-2.0
// The directory of a zip archive, as places in the file. Trusts the central directory and checks the local headers against
// it: archives in which the two differ, overlap or repeat names are refused, because readers disagree about them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/io/disk.h"

namespace bigmodel {

struct ZipEntry {
  std::string name;
  std::uint64_t offset = 0;           ///< of the payload from the start of the file
  std::uint64_t size_bytes = 0;       ///< uncompressed
  std::uint64_t stored_bytes = 0;     ///< in the file
  std::uint32_t crc32 = 0;            ///< 0 may mean "not computed" (PyTorch can be told so)
  std::uint16_t method = 0;           ///< 0: stored
};

/// Entries in the directory's order. Zip64 is read; encryption, spanned archives, junk after the archive, names that differ
/// between the two headers, names equal but for case, ".." or absolute names, and payloads that overlap are refused.
/// Throws FormatError naming `path`, IoError.
std::vector<ZipEntry> read_zip_directory(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path);

}  // namespace bigmodel
