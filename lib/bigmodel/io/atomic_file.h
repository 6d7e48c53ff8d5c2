// SPDX-License-Identifier: Apache-2.0
// A file that appears whole or not at all: written under a hidden name beside its target, synced, then renamed.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "bigmodel/io/unique_fd.h"

namespace bigmodel {

/// Move-only. Without commit() the destructor removes what was written.
class AtomicFile {
 public:
  /// Creates the hidden file in the target's folder. Throws IoError, also where the target is a device, a pipe or a socket.
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(AtomicFile&&) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  int fd() const noexcept { return fd_.get(); }
  /// Appends; handles short writes and EINTR. Throws IoError.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// fsync, rename over the target, fsync of the folder. Throws IoError; the target is then what it was before.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path hidden_;
  UniqueFd fd_;
};

/// fsync of a folder, so that a rename in it survives a power cut. Throws IoError.
void sync_folder(const std::filesystem::path& folder);

}  // namespace bigmodel
