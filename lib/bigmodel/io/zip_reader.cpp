// SPDX-License-Identifier: Apache-2.0
// Format: PKWARE APPNOTE 4.3 (end record, zip64 end record and locator, central headers, local headers).
#include "bigmodel/io/zip_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_set>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::size_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kCentralBytes = 46, kLocalBytes = 30;
constexpr std::uint64_t kDirectoryLimit = std::uint64_t{256} << 20;
constexpr std::uint32_t kAll32 = 0xffffffffU;

std::uint64_t little(std::string_view bytes, std::size_t at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}
std::uint16_t u16(std::string_view bytes, std::size_t at) { return static_cast<std::uint16_t>(little(bytes, at, 2)); }
std::uint32_t u32(std::string_view bytes, std::size_t at) { return static_cast<std::uint32_t>(little(bytes, at, 4)); }
std::uint64_t u64(std::string_view bytes, std::size_t at) { return little(bytes, at, 8); }

class DirectoryReader {
 public:
  DirectoryReader(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path)
      : disk_(disk), fd_(fd), file_bytes_(file_bytes), path_(path) {}

  std::vector<ZipEntry> read() {
    find_end();
    if (directory_bytes_ > kDirectoryLimit) fail("its directory is larger than any real one");
    const std::string directory = take(directory_offset_, directory_bytes_, "the directory");
    std::vector<ZipEntry> entries;
    std::size_t at = 0;
    while (at < directory.size()) {
      if (directory.size() - at < kCentralBytes || u32(directory, at) != 0x02014b50U) fail("its directory is damaged");
      entries.push_back(central_entry(directory, at));
    }
    if (entries.size() != count_) fail(fmt::format("its directory has {} entries, expected {}", entries.size(), count_));
    check_names(entries);
    check_overlap(entries);
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw FormatError(fmt::format("{}: bad zip archive: {}", path_.string(), what)); }

  std::string take(std::uint64_t offset, std::uint64_t size, std::string_view what) const {
    if (offset > file_bytes_ || size > file_bytes_ - offset) fail(fmt::format("{} lies outside the file", what));
    std::string out(static_cast<std::size_t>(size), '\0');
    read_exactly(disk_, fd_, std::as_writable_bytes(std::span(out)), offset, path_);
    return out;
  }

  void find_end() {
    if (file_bytes_ < kEndBytes) fail("too short");
    const std::uint64_t tail_bytes = std::min<std::uint64_t>(file_bytes_, kEndBytes + 0xffff);
    const std::uint64_t tail_offset = file_bytes_ - tail_bytes;
    const std::string tail = take(tail_offset, tail_bytes, "the end record");
    for (std::size_t at = tail.size() - kEndBytes + 1; at-- > 0;) {
      // The comment must reach exactly to the end of the file: nothing may hide after the archive.
      if (u32(tail, at) != 0x06054b50U || at + kEndBytes + u16(tail, at + 20) != tail.size()) continue;
      if (u16(tail, at + 4) != 0 || u16(tail, at + 6) != 0) fail("it spans several files");
      count_ = u16(tail, at + 10);
      directory_bytes_ = u32(tail, at + 12);
      directory_offset_ = u32(tail, at + 16);
      const std::uint64_t end = tail_offset + at;
      std::uint64_t directory_end = end;
      if (end >= kLocatorBytes) {
        const std::string locator = take(end - kLocatorBytes, kLocatorBytes, "the zip64 locator");
        if (u32(locator, 0) == 0x07064b50U) directory_end = read_end64(u64(locator, 8));
      }
      const auto sum = try_add(directory_offset_, directory_bytes_);
      if (!sum || *sum != directory_end) fail("bytes before the archive, or a damaged directory");
      return;
    }
    fail("no end record (the file is cut short, or bytes follow the archive)");
  }

  std::uint64_t read_end64(std::uint64_t offset) {
    const std::string record = take(offset, kEnd64Bytes, "the zip64 end record");
    if (u32(record, 0) != 0x06064b50U) fail("its zip64 end record is damaged");
    count_ = u64(record, 32);
    directory_bytes_ = u64(record, 40);
    directory_offset_ = u64(record, 48);
    return offset;
  }

  ZipEntry central_entry(const std::string& directory, std::size_t& at) {
    const std::uint16_t flags = u16(directory, at + 8);
    const std::size_t name_bytes = u16(directory, at + 28);
    const std::size_t extra_bytes = u16(directory, at + 30);
    const std::size_t comment_bytes = u16(directory, at + 32);
    if (directory.size() - at - kCentralBytes < name_bytes + extra_bytes + comment_bytes) fail("its directory is damaged");
    ZipEntry entry;
    entry.name = directory.substr(at + kCentralBytes, name_bytes);
    entry.method = u16(directory, at + 10);
    entry.crc32 = u32(directory, at + 16);
    entry.stored_bytes = u32(directory, at + 20);
    entry.size_bytes = u32(directory, at + 24);
    std::uint64_t local = u32(directory, at + 42);
    read_zip64_extra(std::string_view(directory).substr(at + kCentralBytes + name_bytes, extra_bytes), entry, local);
    if ((flags & 0x2041) != 0) fail(fmt::format("entry \"{}\" is encrypted", entry.name));
    if (entry.method == 0 && entry.stored_bytes != entry.size_bytes) fail(fmt::format("entry \"{}\" is stored with two sizes", entry.name));
    entry.offset = payload_offset(entry, local);
    locals_.push_back(local);
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
    return entry;
  }

  void read_zip64_extra(std::string_view extra, ZipEntry& entry, std::uint64_t& local) const {
    while (extra.size() >= 4) {
      const std::uint16_t id = u16(extra, 0);
      const std::size_t size = u16(extra, 2);
      if (extra.size() - 4 < size) fail(fmt::format("entry \"{}\" has a damaged extra field", entry.name));
      std::string_view field = extra.substr(4, size);
      extra.remove_prefix(4 + size);
      if (id != 1) continue;
      for (std::uint64_t* value : {&entry.size_bytes, &entry.stored_bytes, &local}) {
        if (*value != kAll32) continue;
        if (field.size() < 8) fail(fmt::format("entry \"{}\" has a damaged zip64 field", entry.name));
        *value = u64(field, 0);
        field.remove_prefix(8);
      }
    }
  }

  std::uint64_t payload_offset(const ZipEntry& entry, std::uint64_t local) const {
    const std::string fixed = take(local, kLocalBytes, fmt::format("the header of \"{}\"", entry.name));
    const auto differ = [&](std::string_view what) { fail(fmt::format("entry \"{}\": its own header and the directory differ in {}", entry.name, what)); };
    if (u32(fixed, 0) != 0x04034b50U) fail(fmt::format("entry \"{}\" has no header", entry.name));
    const std::size_t name_bytes = u16(fixed, 26);
    if (name_bytes != entry.name.size() || take(local + kLocalBytes, name_bytes, "a name") != entry.name) differ("name");
    if (u16(fixed, 8) != entry.method) differ("compression");
    if ((u16(fixed, 6) & 0x2041) != 0) fail(fmt::format("entry \"{}\" is encrypted", entry.name));
    const std::uint32_t stored = u32(fixed, 18), size = u32(fixed, 22);
    // Zero: written before they were known (a data descriptor follows); all ones: in a zip64 field.
    if (stored != 0 && stored != kAll32 && stored != entry.stored_bytes) differ("size");
    if (size != 0 && size != kAll32 && size != entry.size_bytes) differ("size");
    const std::uint64_t payload = local + kLocalBytes + name_bytes + u16(fixed, 28);
    if (payload > directory_offset_ || entry.stored_bytes > directory_offset_ - payload) fail(fmt::format("entry \"{}\" lies outside the file", entry.name));
    return payload;
  }

  void check_names(const std::vector<ZipEntry>& entries) const {
    std::unordered_set<std::string> seen;
    for (const ZipEntry& entry : entries) {
      const std::string& name = entry.name;
      if (name.empty() || name.find('\0') != std::string::npos || name.find('\\') != std::string::npos || name.front() == '/' ||
          name == ".." || name.starts_with("../") || name.ends_with("/..") || name.find("/../") != std::string::npos) {
        fail(fmt::format("entry name \"{}\" is no plain relative path", name));
      }
      std::string folded = name;
      for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      if (!seen.insert(std::move(folded)).second) fail(fmt::format("entry \"{}\" is there twice (PyTorch ignores case)", name));
    }
  }

  void check_overlap(const std::vector<ZipEntry>& entries) const {
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {}, [&](std::size_t i) { return locals_[i]; });
    std::uint64_t end = 0;
    for (const std::size_t i : order) {
      if (locals_[i] < end) fail(fmt::format("entry \"{}\" overlaps another", entries[i].name));
      end = entries[i].offset + entries[i].stored_bytes;
    }
  }

  const Disk& disk_;
  int fd_;
  std::uint64_t file_bytes_;
  const std::filesystem::path& path_;
  std::uint64_t count_ = 0, directory_offset_ = 0, directory_bytes_ = 0;
  std::vector<std::uint64_t> locals_;
};

}  // namespace

std::vector<ZipEntry> read_zip_directory(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path) {
  return DirectoryReader(disk, fd, file_bytes, path).read();
}

}  // namespace bigmodel
