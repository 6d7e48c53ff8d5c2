// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file, and as the text of a header before as much data as its ranges ask for.
#include "bigmodel/checkpoint/safetensors_header.h"
#include "fuzz/fuzz_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  test::read_weights(data, size);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::uint64_t data_bytes : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4}, std::uint64_t{26}}) {
    try {
      const SafetensorsHeader header = parse_safetensors_header(text, data_bytes, "x.safetensors");
      for (const SafetensorsEntry& entry : header.tensors) {
        if (entry.begin > entry.end || entry.end > data_bytes) std::abort();
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
