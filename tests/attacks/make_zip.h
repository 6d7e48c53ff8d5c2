// SPDX-License-Identifier: Apache-2.0
// Zip archives as attackers write them: every field of both headers can be set to what it should not be.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace bigmodel::test {

struct ZipMember {
  std::string name;
  std::string bytes;
  std::optional<std::string> local_name = {};        ///< where the member's own header says another
  std::uint16_t flags = 0;
  std::uint16_t method = 0;                          ///< 0: stored, 8: deflated
  std::optional<std::uint16_t> local_method = {};
  std::optional<std::uint32_t> crc32 = {};           ///< else the true one
  std::optional<std::uint32_t> stored_bytes = {};    ///< in the directory
  std::optional<std::uint32_t> size_bytes = {};      ///< in the directory
  std::optional<std::uint32_t> local_size = {};
  std::optional<std::uint32_t> local_offset = {};    ///< in the directory
  std::string extra = {};                            ///< in the directory
};

struct ZipShape {
  std::string before = {};   ///< bytes before the archive
  std::string after = {};    ///< bytes after the end record
  std::string comment = {};
  std::optional<std::uint16_t> count = {};
  std::uint16_t disk = 0;
  std::optional<std::uint32_t> directory_offset = {};
  std::string before_end = {};  ///< between the directory and the end record
};

std::string make_zip(const std::vector<ZipMember>& members, const ZipShape& shape = {});

/// Numbers as zip archives and pickles hold them.
std::string little_endian(std::uint64_t value, int width);

}  // namespace bigmodel::test
