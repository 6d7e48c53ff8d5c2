// SPDX-License-Identifier: Apache-2.0
// The words that kernels are written in, under nvcc and under the tests' emulator: CUDA's own (__global__, threadIdx, __syncthreads, __shfl_xor_sync ...)
// and a few more for what differs. The emulator's header (tests/support/gpu_emulator.h) is included before this one.
#pragma once

#include <cstdint>

#ifdef __CUDACC__

#include <cuda_runtime.h>

/// Dynamic shared memory of the block, as an array of T.
#define BIGMODEL_DYNAMIC_SHARED(T, name)                                  \
  extern __shared__ __align__(16) unsigned char bigmodel_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(bigmodel_dynamic_shared)

#define BIGMODEL_PRAGMA(text) _Pragma(#text)
/// The loop that follows is unrolled, as a whole or `n` turns at a time.
#define BIGMODEL_UNROLL _Pragma("unroll")
#define BIGMODEL_UNROLL_BY(n) BIGMODEL_PRAGMA(unroll n)

#elif defined(BIGMODEL_GPU_EMULATOR)

#define BIGMODEL_UNROLL
#define BIGMODEL_UNROLL_BY(n)

#else
#error "kernels are compiled by nvcc, or after tests/support/gpu_emulator.h"
#endif
