// SPDX-License-Identifier: Apache-2.0
// RAM that a range of a file is read into without a detour, and that is there before the read: loading costs what the disk costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>

namespace bigmodel {

/// Uninitialised, with the address of the same phase as the file's offset (io/direct_reader.h then reads straight into it); large ones in
/// huge pages as far as whole ones fit. With `populate` the pages are made now rather than by the read. Throws CapacityError.
std::shared_ptr<std::byte[]> read_memory(std::uint64_t file_offset, std::uint64_t size_bytes, bool populate = false);

/// The memory of the next read, made by another thread while this one waits for the disk. One thread.
class NextReadMemory {
 public:
  /// Small memory is not worth a thread: then nothing is prepared.
  void prepare(std::uint64_t file_offset, std::uint64_t size_bytes);
  /// What was prepared for that range, else made now.
  std::shared_ptr<std::byte[]> take(std::uint64_t file_offset, std::uint64_t size_bytes);

 private:
  std::future<std::shared_ptr<std::byte[]>> next_;
  std::uint64_t file_offset_ = 0, size_bytes_ = 0;
};

}  // namespace bigmodel
