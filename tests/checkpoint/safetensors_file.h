// SPDX-License-Identifier: Apache-2.0
// Builds small safetensors files from text, good and bad.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::test {

/// 8 bytes of length, the header as given, the data as given.
inline std::string safetensors_file(std::string_view header, std::string_view data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>((static_cast<std::uint64_t>(header.size()) >> (8 * i)) & 0xff);
  out += header;
  out += data;
  return out;
}

/// float32 elements as a file holds them.
inline std::string float_bytes(const std::vector<float>& values) {
  std::string out(values.size() * sizeof(float), '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

}  // namespace bigmodel::test
