// SPDX-License-Identifier: Apache-2.0
// What a disk gives: weight files read past the page cache, into memory as models have it; and work in a process of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

namespace bigmodel::bench {

/// Every .safetensors file of a folder once. One small buffer that is used again and again would stay in the processor's cache and flatter the disk.
class RawRead {
 public:
  struct Shape {
    std::uint64_t piece_bytes = std::uint64_t{16} << 20;
    std::uint64_t memory_bytes = UINT64_MAX;   ///< that pieces go through in turn; no more than the files have
    bool made_before = true;                   ///< the memory's pages, else reading makes them
  };
  RawRead(const std::filesystem::path& folder, Shape shape);
  std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  void run();

 private:
  struct Piece {
    std::filesystem::path path;
    std::uint64_t at = 0, size_bytes = 0;
    std::byte* memory = nullptr;
  };
  Shape shape_;
  std::uint64_t size_bytes_ = 0;
  std::vector<std::shared_ptr<std::byte[]>> memory_;
  std::vector<Piece> pieces_;
};

struct ChildWork {
  double seconds = 0;
  std::uint64_t peak_bytes = 0;   ///< resident, beyond what the process had before
};

/// Does the work in a child, whose memory is its own. What `prepare` does is not measured; it gives the work. Throws std::runtime_error.
ChildWork in_child(const std::function<std::function<void()>()>& prepare);

}  // namespace bigmodel::bench
