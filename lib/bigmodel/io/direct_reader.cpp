// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/direct_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::size_t kScratchBytes = std::size_t{4} << 20;
/// Below this a read through the page cache costs less.
constexpr std::size_t kSmallBytes = std::size_t{128} << 10;
/// Weights are walked from end to end for every token: with small pages the processor spends a part of that time on looking pages up.
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t size_bytes) : size_(size_bytes) {
  const std::size_t rounded = (size_bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
  const bool huge = rounded >= 2 * kHugePageBytes;
  const std::size_t alignment = huge ? kHugePageBytes : kDirectAlignment;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, std::max<std::size_t>(rounded, kDirectAlignment)));
  if (data == nullptr) throw std::bad_alloc();
  // A wish: where the system has no huge pages, or none to give, nothing changes.
  if (huge) ::madvise(data, rounded / kHugePageBytes * kHugePageBytes, MADV_HUGEPAGE);
  data_.reset(data);
}
void AlignedBuffer::Free::operator()(std::byte* data) const noexcept { std::free(data); }

void DirectReader::open(const std::filesystem::path& path) {
  path_ = path;
  buffered_ = open_on(*disk_, path, O_RDONLY | O_NONBLOCK);
  direct_ = UniqueFd(disk_->open(path, O_RDONLY | O_NONBLOCK | O_DIRECT, 0));
}

std::size_t DirectReader::read_some(std::uint64_t offset, std::byte* out, std::size_t size) {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = disk_->pread(direct_.get(), out + have, size - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EINVAL) {
      // The file system says so only now: read the rest in the ordinary way.
      direct_.reset();
      read_exactly(*disk_, buffered_.get(), {out + have, size - have}, offset + have, path_);
      return size;
    }
    if (got < 0) throw_errno(path_.string(), fmt::format("read at byte {}", offset + have), errno);
    have += static_cast<std::size_t>(got);
    // A short direct read off a block boundary is the end of the file; going on unaligned would be an error.
    if (got == 0 || have % kDirectAlignment != 0) break;
  }
  return have;
}

void DirectReader::read_through_scratch(std::uint64_t offset, std::span<std::byte> out) {
  if (scratch_.bytes().empty()) scratch_ = AlignedBuffer(kScratchBytes);
  while (!out.empty()) {
    const std::uint64_t begin = offset / kDirectAlignment * kDirectAlignment;
    const auto lead = static_cast<std::size_t>(offset - begin);
    const std::size_t part = std::min(out.size(), kScratchBytes - lead);
    const std::size_t whole = (lead + part + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
    if (!direct_) return read_exactly(*disk_, buffered_.get(), out, offset, path_);
    const std::size_t got = direct_ ? read_some(begin, scratch_.bytes().data(), whole) : 0;
    if (got < lead + part) {
      throw FormatError(fmt::format("{}: ends at byte {}, expected {}", path_.string(), begin + got, offset + out.size()), "the file is cut short, or something else writes it now");
    }
    std::memcpy(out.data(), scratch_.bytes().data() + lead, part);
    out = out.subspan(part);
    offset += part;
  }
}

void DirectReader::read(std::uint64_t offset, std::span<std::byte> out) {
  if (!direct_ || out.size() < kSmallBytes) return read_exactly(*disk_, buffered_.get(), out, offset, path_);
  const auto address = reinterpret_cast<std::uintptr_t>(out.data());
  if (offset % kDirectAlignment != address % kDirectAlignment) return read_through_scratch(offset, out);
  // Same phase: the aligned middle goes straight to its place.
  const auto lead = static_cast<std::size_t>((kDirectAlignment - offset % kDirectAlignment) % kDirectAlignment);
  const std::size_t middle = (out.size() - lead) / kDirectAlignment * kDirectAlignment;
  if (lead > 0) read_exactly(*disk_, buffered_.get(), out.first(lead), offset, path_);
  if (middle > 0) {
    const std::size_t got = read_some(offset + lead, out.data() + lead, middle);
    if (got < middle) read_exactly(*disk_, buffered_.get(), out.subspan(lead + got, middle - got), offset + lead + got, path_);
  }
  const std::size_t done = lead + middle;
  if (done < out.size()) read_exactly(*disk_, buffered_.get(), out.subspan(done), offset + done, path_);
}

}  // namespace bigmodel
