// SPDX-License-Identifier: Apache-2.0
#include "attacks/make_zip.h"

#include <zlib.h>

namespace bigmodel::test {

std::string little_endian(std::uint64_t value, int width) {
  std::string out;
  for (int i = 0; i < width; ++i) out += i < 8 ? static_cast<char>(value >> (8 * i) & 0xff) : '\0';
  return out;
}

std::string make_zip(const std::vector<ZipMember>& members, const ZipShape& shape) {
  std::string out = shape.before;
  std::string directory;
  for (const ZipMember& m : members) {
    const auto crc = m.crc32.value_or(static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(m.bytes.data()), m.bytes.size())));
    const auto size = static_cast<std::uint32_t>(m.bytes.size());
    const std::string& local_name = m.local_name ? *m.local_name : m.name;
    const auto offset = static_cast<std::uint32_t>(out.size());
    out += "PK\3\4" + little_endian(20, 2) + little_endian(m.flags, 2) + little_endian(m.local_method.value_or(m.method), 2) + little_endian(0, 4) + little_endian(crc, 4) +
           little_endian(m.local_size.value_or(size), 4) + little_endian(m.local_size.value_or(size), 4) + little_endian(local_name.size(), 2) + little_endian(0, 2) + local_name + m.bytes;
    directory += "PK\1\2" + little_endian(20, 2) + little_endian(20, 2) + little_endian(m.flags, 2) + little_endian(m.method, 2) + little_endian(0, 4) + little_endian(crc, 4) +
                 little_endian(m.stored_bytes.value_or(size), 4) + little_endian(m.size_bytes.value_or(size), 4) + little_endian(m.name.size(), 2) + little_endian(m.extra.size(), 2) +
                 little_endian(0, 2 + 2 + 2 + 4) + little_endian(m.local_offset.value_or(offset), 4) + m.name + m.extra;
  }
  const std::size_t begin = out.size();
  const auto count = shape.count.value_or(static_cast<std::uint16_t>(members.size()));
  out += directory + shape.before_end;
  out += "PK\5\6" + little_endian(shape.disk, 2) + little_endian(shape.disk, 2) + little_endian(count, 2) + little_endian(count, 2) + little_endian(directory.size(), 4) +
         little_endian(shape.directory_offset.value_or(static_cast<std::uint32_t>(begin)), 4) + little_endian(shape.comment.size(), 2) + shape.comment + shape.after;
  return out;
}

}  // namespace bigmodel::test
