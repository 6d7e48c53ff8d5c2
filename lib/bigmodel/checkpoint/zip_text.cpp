// SPDX-License-Identifier: Apache-2.0
// PKWARE APPNOTE 4.3; the padding field 'FB' and the descriptors are as PyTorch writes them.
#include "bigmodel/checkpoint/zip_text.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kAll32 = 0xffffffffULL;
constexpr std::uint64_t kPayloadAlignment = 64;
constexpr unsigned kUtf8 = 0x800, kDescriptorFollows = 0x8;

void put(std::string& out, std::uint64_t value, int bytes) {
  // A field may be wider than the value (the checksum's padding): what is above 64 bits is zero.
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(i < 8 ? value >> (8 * i) & 0xff : 0);
}

bool wide_size(const ZipRecord& record) { return record.size_bytes >= kAll32; }
bool wide_offset(const ZipRecord& record) { return record.header_offset >= kAll32; }
unsigned flags_of(const ZipRecord& record) { return record.size_bytes > 0 ? kUtf8 | kDescriptorFollows : kUtf8; }
/// 1980-01-01: a fixed date keeps the file the same whenever it is written.
void put_date(std::string& out) { put(out, 0x00210000, 4); }

bool wide_directory(std::span<const ZipRecord> records, std::uint64_t offset) {
  return records.size() >= 0xffff || offset >= kAll32 - (std::uint64_t{1} << 30);
}

}  // namespace

std::string zip_local_header(const ZipRecord& record) {
  std::string out;
  put(out, 0x04034b50, 4);
  put(out, wide_size(record) || wide_offset(record) ? 45 : 20, 2);
  put(out, flags_of(record), 2);
  put(out, 0, 2);
  put_date(out);
  put(out, 0, 12);
  put(out, record.name.size(), 2);
  const std::uint64_t unpadded = record.header_offset + 30 + record.name.size() + 4;
  const std::uint64_t filler = (kPayloadAlignment - unpadded % kPayloadAlignment) % kPayloadAlignment;
  put(out, filler + 4, 2);
  out += record.name;
  out += "FB";
  put(out, filler, 2);
  out.append(static_cast<std::size_t>(filler), 'Z');
  return out;
}

std::uint64_t zip_descriptor_size(const ZipRecord& record) { return wide_size(record) || wide_offset(record) ? 24 : 16; }

std::string zip_descriptor(const ZipRecord& record, std::uint32_t crc32) {
  std::string out;
  put(out, 0x08074b50, 4);
  put(out, crc32, 4);
  const int width = zip_descriptor_size(record) == 24 ? 8 : 4;
  put(out, record.size_bytes, width);
  put(out, record.size_bytes, width);
  return out;
}

std::string zip_directory(std::span<const ZipRecord> records, std::span<const std::uint32_t> crc32, std::uint64_t offset) {
  std::string out;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const ZipRecord& record = records[i];
    std::string extra;
    if (wide_size(record)) {
      put(extra, record.size_bytes, 8);
      put(extra, record.size_bytes, 8);
    }
    if (wide_offset(record)) put(extra, record.header_offset, 8);
    put(out, 0x02014b50, 4);
    put(out, extra.empty() ? 20 : 45, 2);
    put(out, extra.empty() ? 20 : 45, 2);
    put(out, flags_of(record), 2);
    put(out, 0, 2);
    put_date(out);
    put(out, i < crc32.size() ? crc32[i] : 0, 4);
    put(out, wide_size(record) ? kAll32 : record.size_bytes, 4);
    put(out, wide_size(record) ? kAll32 : record.size_bytes, 4);
    put(out, record.name.size(), 2);
    put(out, extra.empty() ? 0 : extra.size() + 4, 2);
    put(out, 0, 10);
    put(out, 0, 0);
    put(out, wide_offset(record) ? kAll32 : record.header_offset, 4);
    out += record.name;
    if (!extra.empty()) {
      put(out, 1, 2);
      put(out, extra.size(), 2);
      out += extra;
    }
  }
  const std::uint64_t size = out.size();
  const bool wide = wide_directory(records, offset);
  if (wide) {
    put(out, 0x06064b50, 4);
    put(out, 44, 8);
    put(out, 45, 2);
    put(out, 45, 2);
    put(out, 0, 8);
    put(out, records.size(), 8);
    put(out, records.size(), 8);
    put(out, size, 8);
    put(out, offset, 8);
    put(out, 0x07064b50, 4);
    put(out, 0, 4);
    put(out, offset + size, 8);
    put(out, 1, 4);
  }
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, wide && records.size() >= 0xffff ? 0xffff : records.size(), 2);
  put(out, wide && records.size() >= 0xffff ? 0xffff : records.size(), 2);
  put(out, wide && size >= kAll32 ? kAll32 : size, 4);
  put(out, wide ? kAll32 : offset, 4);
  put(out, 0, 2);
  return out;
}

std::uint64_t zip_directory_size(std::span<const ZipRecord> records, std::uint64_t offset) { return zip_directory(records, {}, offset).size(); }

}  // namespace bigmodel
