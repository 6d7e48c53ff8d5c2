// SPDX-License-Identifier: Apache-2.0
// Reads large ranges of a file past the page cache (O_DIRECT), whatever their alignment; falls back to ordinary reads where
// the file system has no direct I/O. Small ranges go through the cache, which is faster for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "bigmodel/io/disk.h"

namespace bigmodel {

/// Memory whose address is a multiple of 4096, as direct I/O wants it. Move-only.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size_bytes);
  std::span<std::byte> bytes() const noexcept { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

/// The alignment of offsets, lengths and addresses that every block device accepts.
inline constexpr std::uint64_t kDirectAlignment = 4096;

/// One thread; holds two descriptors and a scratch buffer of 4 MiB (made at the first unaligned large read).
class DirectReader {
 public:
  explicit DirectReader(const Disk& disk) : disk_(&disk) {}

  /// Opens another file; the one before is closed. Throws NotFoundError, IoError.
  void open(const std::filesystem::path& path);
  /// Throws IoError, FormatError where the file ends early.
  void read(std::uint64_t offset, std::span<std::byte> out);
  int fd() const noexcept { return buffered_.get(); }

 private:
  void read_through_scratch(std::uint64_t offset, std::span<std::byte> out);
  /// Like pread until `size` bytes or the end of the file; returns what was got.
  std::size_t read_some(std::uint64_t offset, std::byte* out, std::size_t size);

  const Disk* disk_;
  std::filesystem::path path_;
  UniqueFd buffered_;
  UniqueFd direct_;
  AlignedBuffer scratch_;
};

}  // namespace bigmodel
