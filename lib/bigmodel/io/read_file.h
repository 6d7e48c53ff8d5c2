// SPDX-License-Identifier: Apache-2.0
// Reads a small file whole, with a limit that protects memory from a huge or endless one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace bigmodel {

/// The file's bytes. `limit_bytes` bounds memory whatever the file claims (also for pipes and devices).
/// Throws NotFoundError, IoError, or FormatError where the file is longer than the limit.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// The same from an open descriptor (standard input, say); `object` names it in errors.
std::string read_descriptor(int fd, const std::string& object, std::uint64_t limit_bytes);

}  // namespace bigmodel
