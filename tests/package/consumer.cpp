// SPDX-License-Identifier: Apache-2.0
// A program of somebody else that uses the installed library.
#include <bigmodel/core/byte_size.h>
#include <bigmodel/core/dtype.h>
#include <bigmodel/core/shape.h>
#include <bigmodel/device/cuda/cuda_devices.h>

#include <cstdio>

int main() {
  const std::int64_t elements = bigmodel::element_count(bigmodel::Shape{28996, 768});
  const auto size_bytes = static_cast<std::uint64_t>(bigmodel::byte_count(bigmodel::DType::float32, elements));
  std::puts(bigmodel::format_binary(size_bytes).c_str());
  // Brings the CUDA runtime into the program where the library has it; works without a driver.
  const bigmodel::CudaState cuda = bigmodel::read_cuda_state();
  if (cuda.usable() == cuda.cards.empty()) return 2;
  return size_bytes == 89075712 ? 0 : 1;
}
