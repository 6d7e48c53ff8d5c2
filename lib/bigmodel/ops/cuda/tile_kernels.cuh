// SPDX-License-Identifier: Apache-2.0
// Products of many rows without a library: tiles of 64 rows and 64 outputs, in float32, or of bfloat16 on tensor cores.
#pragma once

#include "bigmodel/ops/cuda/launch_shapes.h"
#include "bigmodel/ops/cuda/stored_elements.cuh"
#include "bigmodel/ops/cuda/warp_mma.cuh"

namespace bigmodel::ops {

inline constexpr int kTile = 64;
inline constexpr int kTileDepth = 32;

/// y(r, o) = residual(r, o) + scale * (product(r, o) + bias(o)), for a range of outputs of a matrix.
struct ProductEnd {
  float* y = nullptr;              ///< of the range's first output
  std::int64_t y_stride = 0;       ///< between rows, of residual as well
  StoredValues bias;               ///< of the whole matrix
  std::int64_t first = 0;          ///< the range's first output
  const float* residual = nullptr; ///< of the range's first output; may be y
  float scale = 1;
};

__device__ __forceinline__ void finish_product(const ProductEnd& end, std::int64_t row, std::int64_t o, float v) {
  if (end.bias.data != nullptr) v += element_at(end.bias, end.first + o);
  v *= end.scale;
  const std::int64_t at = row * end.y_stride + o;
  end.y[at] = end.residual == nullptr ? v : end.residual[at] + v;
}

/// Stores a tile of sums that the block holds in shared memory, line by line. All threads call, and nobody has the tile in use when they come or go.
__device__ __forceinline__ void finish_tile(const float (*sums)[kTile + 4], const ProductEnd& end, std::int64_t first_row, std::int64_t rows, std::int64_t first_out, std::int64_t outs) {
  __syncthreads();
  BIGMODEL_UNROLL_BY(1)
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kTile; i += static_cast<int>(blockDim.x)) {
    const std::int64_t row = first_row + i / kTile, out = first_out + i % kTile;
    if (row < rows && out < outs) finish_product(end, row, out, sums[i / kTile][i % kTile]);
  }
  __syncthreads();
}

/// Eight floats of a row from k on, zeros beyond the row.
__device__ __forceinline__ void load_row_piece(const float* row, std::int64_t k, std::int64_t in, float (&v)[8]) {
  if (k + 8 <= in && is_aligned(row + k, 16)) {
    const float4 a = __ldg(reinterpret_cast<const float4*>(row + k)), b = __ldg(reinterpret_cast<const float4*>(row + k + 4));
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
    for (int i = 0; i < 8; ++i) v[i] = k + i < in ? __ldg(row + k + i) : 0.0F;
  }
}

/// Eight neighbours of a row of a matrix, from `column` (a multiple of 8) on, zeros beyond the row.
__device__ __forceinline__ void load_matrix_piece(const StoredValues& matrix, std::int64_t row, std::int64_t column, std::int64_t width, float (&v)[8]) {
  if (column + 8 <= width && width % 8 == 0) {
    load_eight(matrix, row * width + column, v);
  } else {
    for (int i = 0; i < 8; ++i) v[i] = column + i < width ? element_at(matrix, row * width + column + i) : 0.0F;
  }
}

/// weight [outs, in], or [in, outs] where `transposed`. 256 threads, each with 4 rows and 4 outputs.
static __global__ void __launch_bounds__(256) float_tile_kernel(const float* x, std::int64_t rows, StoredValues weight, std::int64_t outs, std::int64_t in, bool transposed, ProductEnd end) {
  // Lines of x, then of the weight, by depth; sums in the end.
  __shared__ __align__(16) float lines[kTile][kTile + 4];
  static_assert(2 * kTileDepth == kTile);
  float(*const xs)[kTile + 4] = lines;
  float(*const ws)[kTile + 4] = lines + kTileDepth;
  const int t = static_cast<int>(threadIdx.x);
  const std::int64_t first_out = static_cast<std::int64_t>(blockIdx.x) * kTile;
  for (std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kTile; first_row < rows; first_row += static_cast<std::int64_t>(gridDim.y) * kTile) {
    float sum[4][4] = {};
    for (std::int64_t k0 = 0; k0 < in; k0 += kTileDepth) {
      float v[8] = {};
      const int line = t / 4, piece = t % 4 * 8;
      if (first_row + line < rows) load_row_piece(x + (first_row + line) * in, k0 + piece, in, v);
      BIGMODEL_UNROLL
      for (int i = 0; i < 8; ++i) xs[piece + i][line] = v[i];
      BIGMODEL_UNROLL
      for (int i = 0; i < 8; ++i) v[i] = 0;
      if (transposed) {
        const int k = t / 8, o = t % 8 * 8;
        if (k0 + k < in) load_matrix_piece(weight, k0 + k, first_out + o, outs, v);
        BIGMODEL_UNROLL
        for (int i = 0; i < 8; ++i) ws[k][o + i] = v[i];
      } else {
        if (first_out + line < outs) load_matrix_piece(weight, first_out + line, k0 + piece, in, v);
        BIGMODEL_UNROLL
        for (int i = 0; i < 8; ++i) ws[piece + i][line] = v[i];
      }
      __syncthreads();
      BIGMODEL_UNROLL_BY(8)
      for (int k = 0; k < kTileDepth; ++k) {
        const float4 a = *reinterpret_cast<const float4*>(&xs[k][t / 16 * 4]), b = *reinterpret_cast<const float4*>(&ws[k][t % 16 * 4]);
        const float of_x[4] = {a.x, a.y, a.z, a.w}, of_w[4] = {b.x, b.y, b.z, b.w};
        BIGMODEL_UNROLL
        for (int r = 0; r < 4; ++r) {
          BIGMODEL_UNROLL
          for (int o = 0; o < 4; ++o) sum[r][o] = fmaf(of_x[r], of_w[o], sum[r][o]);
        }
      }
      __syncthreads();
    }
    BIGMODEL_UNROLL
    for (int r = 0; r < 4; ++r) {
      BIGMODEL_UNROLL
      for (int o = 0; o < 4; ++o) lines[t / 16 * 4 + r][t % 16 * 4 + o] = sum[r][o];
    }
    finish_tile(lines, end, first_row, rows, first_out, outs);
  }
}

/// x is rounded to bfloat16, weight [outs, in] is bfloat16. 4 warps, each with 32 rows and 32 outputs.
static __global__ void __launch_bounds__(128, 4) mma_tile_kernel(const float* x, std::int64_t rows, StoredValues weight, std::int64_t outs, std::int64_t in, ProductEnd end) {
  // Words of a pair each; lines of 20 words keep the lanes of a fragment on banks of their own.
  constexpr int kWords = kTileDepth / 2, kStride = kWords + 4;
  // Both lie where the sums are put in the end.
  __shared__ __align__(16) float sums[kTile][kTile + 4];
  static_assert(2 * kTile * kStride <= kTile * (kTile + 4));
  auto* const xs = reinterpret_cast<unsigned(*)[kStride]>(&sums[0][0]);
  unsigned(*const ws)[kStride] = xs + kTile;
  const int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32;
  const int g = lane / 4, pair = lane % 4;
  const int warp_row = warp / 2 * 32, warp_out = warp % 2 * 32;
  const std::int64_t first_out = static_cast<std::int64_t>(blockIdx.x) * kTile;
  for (std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kTile; first_row < rows; first_row += static_cast<std::int64_t>(gridDim.y) * kTile) {
    float sum[2][4][4] = {};
    for (std::int64_t k0 = 0; k0 < in; k0 += kTileDepth) {
      const int line = t / 2;
      BIGMODEL_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int piece = t % 2 * 16 + half * 8;
        float v[8] = {};
        if (first_row + line < rows) load_row_piece(x + (first_row + line) * in, k0 + piece, in, v);
        BIGMODEL_UNROLL
        for (int i = 0; i < 4; ++i) xs[line][piece / 2 + i] = float_to_bf16(v[2 * i]) | static_cast<unsigned>(float_to_bf16(v[2 * i + 1])) << 16;
        unsigned w[4] = {};
        if (first_out + line < outs) {
          const std::int64_t k = k0 + piece;
          const std::byte* at = weight.data + 2 * ((first_out + line) * in + k);
          if (k + 8 <= in && is_aligned(at, 16)) {
            const uint4 all = load_streamed(at);
            w[0] = all.x, w[1] = all.y, w[2] = all.z, w[3] = all.w;
          } else {
            BIGMODEL_UNROLL
            for (int i = 0; i < 8; ++i) {
              if (k + i < in) w[i / 2] |= load_half_word(at + 2 * i) << (16 * (i % 2));
            }
          }
        }
        BIGMODEL_UNROLL
        for (int i = 0; i < 4; ++i) ws[line][piece / 2 + i] = w[i];
      }
      __syncthreads();
      BIGMODEL_UNROLL
      for (int step = 0; step < kTileDepth / 16; ++step) {
        const int word = step * 8 + pair;
        unsigned b[4][2];
        BIGMODEL_UNROLL
        for (int n = 0; n < 4; ++n) {
          b[n][0] = ws[warp_out + n * 8 + g][word];
          b[n][1] = ws[warp_out + n * 8 + g][word + 4];
        }
        BIGMODEL_UNROLL
        for (int m = 0; m < 2; ++m) {
          const int row = warp_row + m * 16 + g;
          const unsigned a[4] = {xs[row][word], xs[row + 8][word], xs[row][word + 4], xs[row + 8][word + 4]};
          BIGMODEL_UNROLL
          for (int n = 0; n < 4; ++n) mma_m16n8k16<true>(sum[m][n], a, b[n]);
        }
      }
      __syncthreads();
    }
    BIGMODEL_UNROLL
    for (int m = 0; m < 2; ++m) {
      BIGMODEL_UNROLL
      for (int n = 0; n < 4; ++n) {
        BIGMODEL_UNROLL
        for (int i = 0; i < 4; ++i) sums[warp_row + m * 16 + g + 8 * (i / 2)][warp_out + n * 8 + 2 * pair + i % 2] = sum[m][n][i];
      }
    }
    finish_tile(sums, end, first_row, rows, first_out, outs);
  }
}

/// weight [in, outs], few rows: 16 warps share 64 columns, two neighbours per lane, each warp every 16th line; kRows at most.
inline constexpr int kColumnWarps = 16;
template <int kRows>
__global__ void __launch_bounds__(kColumnWarps * 32, 1) columns_kernel(const float* x, int rows, StoredValues weight, std::int64_t outs, std::int64_t in, ProductEnd end) {
  __shared__ float partial[kColumnWarps][64][kRows];
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t first_out = static_cast<std::int64_t>(blockIdx.x) * 64, o = first_out + 2 * lane;
  const bool two_at_once = (weight.dtype == DType::bfloat16 || weight.dtype == DType::float16) && outs % 2 == 0 && is_aligned(weight.data, 4);
  float sum[2][kRows] = {};
  for (std::int64_t i = warp; i < in; i += kColumnWarps) {
    float w[2] = {};
    if (two_at_once && o < outs) {
      const unsigned both = __ldg(reinterpret_cast<const unsigned*>(weight.data + 2 * (i * outs + o)));
      const bool brain = weight.dtype == DType::bfloat16;
      w[0] = brain ? bf16_low(both) : f16_low(both);
      w[1] = brain ? bf16_high(both) : f16_high(both);
    } else {
      for (int c = 0; c < 2; ++c) {
        if (o + c < outs) w[c] = element_at(weight, i * outs + o + c);
      }
    }
    BIGMODEL_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const float v = __ldg(x + min(r, rows - 1) * in + i);
      sum[0][r] = fmaf(w[0], v, sum[0][r]);
      sum[1][r] = fmaf(w[1], v, sum[1][r]);
    }
  }
  BIGMODEL_UNROLL
  for (int c = 0; c < 2; ++c) {
    BIGMODEL_UNROLL
    for (int r = 0; r < kRows; ++r) partial[warp][2 * lane + c][r] = sum[c][r];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 64 * kRows; i += static_cast<int>(blockDim.x)) {
    const int column = i / kRows, r = i % kRows;
    if (r >= rows || first_out + column >= outs) continue;
    float all = 0;
    for (int w = 0; w < kColumnWarps; ++w) all += partial[w][column][r];
    finish_product(end, r, first_out + column, all);
  }
}

static __global__ void finish_product_kernel(const float* product, std::int64_t rows, std::int64_t outs, ProductEnd end) {
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * outs; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    finish_product(end, i / outs, i % outs, product[i]);
  }
}

static __global__ void narrow_kernel(const float* x, std::uint16_t* y, std::int64_t count) {
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) y[i] = float_to_bf16(x[i]);
}

/// y [outs * in] = elements from the matrix's `first` one on.
static __global__ void widen_panel_kernel(StoredValues from, std::int64_t first, std::int64_t count, float* y) {
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 8; i < count; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x * 8) {
    if (first % 8 == 0 && i + 8 <= count) {
      float v[8];
      load_eight(from, first + i, v);
      for (int k = 0; k < 8; ++k) y[i + k] = v[k];
    } else {
      for (std::int64_t k = i; k < min(i + 8, count); ++k) y[k] = element_at(from, first + k);
    }
  }
}

}  // namespace bigmodel::ops
