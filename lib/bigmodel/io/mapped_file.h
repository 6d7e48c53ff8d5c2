// SPDX-License-Identifier: Apache-2.0
// A read-only memory map of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace bigmodel {

/// Move-only; the empty state is valid. The bytes change if somebody writes the file, and reading them faults if
/// somebody truncates it: for data that must survive that, read instead of mapping.
class MappedFile {
 public:
  MappedFile() noexcept = default;
  /// Throws NotFoundError or IoError. A file of length 0 gives an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace bigmodel
