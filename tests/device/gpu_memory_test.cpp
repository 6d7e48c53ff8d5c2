// SPDX-License-Identifier: Apache-2.0
// Which GPUs a list leaves, and that asking is safe where there are none.
#include "bigmodel/device/gpu_memory.h"

#include <doctest/doctest.h>

namespace bigmodel {
namespace {

std::string left(const std::optional<std::string>& visible) {
  std::string out;
  for (const GpuMemory& g : visible_gpus({{"a", "GPU-11", 1, 1}, {"b", "GPU-12", 1, 1}, {"c", "GPU-2f", 1, 1}}, visible)) out += g.name;
  return out;
}

}  // namespace

TEST_SUITE("device/gpu_memory") {
  TEST_CASE("a list orders and ends as in CUDA") {
    CHECK(left(std::nullopt) == "abc");
    CHECK(left("") == "");
    CHECK(left("2,0") == "ca");
    CHECK(left("GPU-12,GPU-2") == "bc");
    CHECK(left("1,7,0") == "b");
    CHECK(left("-1") == "");
    CHECK(left("1,") == "b");
    CHECK(left("99999999999999999999") == "");
  }
  TEST_CASE("free memory is no more than all of it") {
    for (const GpuMemory& g : read_gpu_memory()) {
      CHECK(g.free_bytes <= g.total_bytes);
      CHECK_FALSE(g.name.empty());
    }
  }
}

}  // namespace bigmodel
