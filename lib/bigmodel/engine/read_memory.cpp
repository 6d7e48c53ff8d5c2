// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/read_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <system_error>

#include "bigmodel/core/error.h"
#include "bigmodel/io/direct_reader.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
/// Below this the pages are made faster than a thread.
constexpr std::uint64_t kWorthAThread = std::uint64_t{1} << 20;

/// A hint: what goes wrong shows when the memory is used. By two threads, as clearing pages can take longer than reading into them.
void make_pages(std::byte* start, std::uint64_t size_bytes) {
  const auto make = [](std::byte* from, std::uint64_t bytes) { ::madvise(from, static_cast<std::size_t>(bytes), MADV_POPULATE_WRITE); };
  const std::uint64_t half = size_bytes / 2 / kHugePage * kHugePage;
  std::future<void> other;
  try {
    if (half >= kWorthAThread) other = std::async(std::launch::async, make, start + half, size_bytes - half);
  } catch (const std::system_error&) {
    // No thread to be had.
  }
  make(start, other.valid() ? half : size_bytes);
}

}  // namespace

std::shared_ptr<std::byte[]> read_memory(std::uint64_t file_offset, std::uint64_t size_bytes, bool populate) {
  const std::uint64_t phase = file_offset % kDirectAlignment;
  const std::uint64_t alignment = size_bytes >= kHugePage ? kHugePage : kDirectAlignment;
  const auto fail = [&] { throw CapacityError(fmt::format("device cpu: no memory for a tensor of {} bytes", size_bytes), "place fewer modules there"); };
  if (size_bytes > (std::uint64_t{1} << 62)) fail();
  const std::uint64_t whole = (phase + size_bytes + alignment) / alignment * alignment;
  auto* const start = static_cast<std::byte*>(std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(whole)));
  if (start == nullptr) fail();
  const std::shared_ptr<std::byte[]> owner(start, [](std::byte* memory) { std::free(memory); });
  if (alignment == kHugePage) {
    // The rest behind the last whole one stays in small pages, so that it takes no more than it needs.
    const std::uint64_t huge = (phase + size_bytes) / kHugePage * kHugePage;
    ::madvise(start, static_cast<std::size_t>(huge), MADV_HUGEPAGE);
    // Both are hints: without them the read makes the pages, one by one.
    if (populate) make_pages(start, (phase + size_bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment);
  }
  return {owner, start + phase};
}

void NextReadMemory::prepare(std::uint64_t file_offset, std::uint64_t size_bytes) {
  next_ = {};
  if (size_bytes < kWorthAThread) return;
  file_offset_ = file_offset;
  size_bytes_ = size_bytes;
  try {
    next_ = std::async(std::launch::async, [=] { return read_memory(file_offset, size_bytes, true); });
  } catch (const std::system_error&) {
    // No thread to be had: the memory is made when it is wanted.
  }
}

std::shared_ptr<std::byte[]> NextReadMemory::take(std::uint64_t file_offset, std::uint64_t size_bytes) {
  if (next_.valid() && file_offset_ == file_offset && size_bytes_ == size_bytes) return next_.get();
  return read_memory(file_offset, size_bytes);
}

}  // namespace bigmodel
