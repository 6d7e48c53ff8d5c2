// SPDX-License-Identifier: Apache-2.0
// Any bytes as a tokenizer.json, which then encodes and decodes a few texts. Only a bigmodel::Error may come out, and soon.
#include <cstdint>
#include <string_view>

#include "bigmodel/tokenizer/tokenizer_json.h"
#include "fuzz/use_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  try {
    fuzz::use(tokenizer::Tokenizer(tokenizer::parse_tokenizer_json({reinterpret_cast<const char*>(data), size}, "tokenizer.json")));
  } catch (const Error&) {
  }
  return 0;
}
