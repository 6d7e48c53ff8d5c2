// SPDX-License-Identifier: Apache-2.0
// What an operation on the CPU runs on: a thread pool and the instructions it may use.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bigmodel/device/cpu/thread_pool.h"

namespace bigmodel {

/// Instruction sets that kernels are compiled for, each including those before it.
enum class CpuIsa : std::uint8_t {
  portable,     ///< what the compiler's baseline has
  avx2,         ///< AVX2, FMA, F16C
  avx512,       ///< F, BW, DQ, VL
  avx512_vnni,  ///< and integer dot products
  avx512_bf16,  ///< and bfloat16 dot products
};

std::string_view to_string(CpuIsa isa) noexcept;

/// Those that this processor (and this build) can run, ascending; the first is `portable`.
std::vector<CpuIsa> usable_cpu_isas();
/// The last of them.
CpuIsa best_cpu_isa();

/// Passed to every operation. The pool must outlive it.
struct CpuContext {
  ThreadPool* pool = nullptr;      ///< null: the calling thread alone
  CpuIsa isa = best_cpu_isa();
  /// Where the processor multiplies bfloat16, activations that meet bfloat16 weights are rounded to it first, as PyTorch's bfloat16 does.
  /// Otherwise, and without this, products are of float32.
  bool bf16_products = false;

  /// ThreadPool::parallel_for, or a loop over the same chunks.
  void parallel_for(std::int64_t count, std::int64_t chunk, RangeBody body) const;
};

}  // namespace bigmodel
