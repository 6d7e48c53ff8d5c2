// SPDX-License-Identifier: Apache-2.0
// Any bytes as a PyTorch file, zip or legacy.
#include "fuzz/fuzz_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bigmodel::test::read_weights(data, size);
  return 0;
}
