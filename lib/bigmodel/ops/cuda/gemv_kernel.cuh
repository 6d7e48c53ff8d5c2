// SPDX-License-Identifier: Apache-2.0
// Products of few rows (decoding): bound by reading each weight once.
#pragma once

#include "bigmodel/ops/activation_formulas.h"
#include "bigmodel/ops/cuda/launch_shapes.h"
#include "bigmodel/ops/cuda/stored_elements.cuh"

namespace bigmodel::ops {

inline constexpr int kMostGemvRows = 8;
inline constexpr int kMostGemvParts = 4;

/// A matrix of the launch, its outputs, and where its groups of outputs begin among those of all.
struct GemvPart {
  const std::byte* weight = nullptr;   ///< [out, in]
  StoredValues bias;
  float* y = nullptr;                  ///< [rows, out]
  std::int64_t out = 0;
  std::int64_t first_group = 0;
};

struct GemvWork {
  GemvPart parts[kMostGemvParts];
  int part_count = 0;
  const float* x = nullptr;            ///< [rows, in]
  int rows = 0;
  std::int64_t in = 0;
  std::int64_t groups = 0;             ///< of all parts
  int split = 1;                       ///< warps of a group, 1, 2, 4 or 8
  bool vectors = false;                ///< every row of every weight, and of x, may be read by wide loads
  const float* residual = nullptr;
  float scale = 1;
  bool gated = false;                  ///< parts are gate and up of one width, y that of part 0: act(gate_scale * gate) * up
  Activation act = Activation::identity;
  float gate_scale = 1;
};

// How eight weights are read by one lane. Piece p of a row holds the elements first(p) .. + 3 and second(p) .. + 3: kWhole says that all of them are in
// the row. kFactors: values() are integers, and what it returns is their factor.

template <bool kBFloat16>
struct HalfWeights {
  struct Raw {
    uint4 words;
  };
  __device__ static int pieces(int in) { return in / 8; }
  __device__ static int first(int p) { return 8 * p; }
  __device__ static int second(int p) { return 8 * p + 4; }
  __device__ static Raw load(const std::byte* row, int p, int) { return {load_streamed(row + 16 * static_cast<std::int64_t>(p))}; }
  __device__ static float values(const Raw& raw, float (&v)[8]) {
    const unsigned w[4] = {raw.words.x, raw.words.y, raw.words.z, raw.words.w};
    BIGMODEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      v[2 * i] = kBFloat16 ? bf16_low(w[i]) : f16_low(w[i]);
      v[2 * i + 1] = kBFloat16 ? bf16_high(w[i]) : f16_high(w[i]);
    }
    return 1;
  }
  static constexpr bool kWhole = true, kFactors = false;
  static constexpr DType kDType = kBFloat16 ? DType::bfloat16 : DType::float16;
};

struct FloatWeights {
  struct Raw {
    uint4 low, high;
  };
  // A warp's two loads are each one run of 512 bytes.
  __device__ static int pieces(int in) { return (in + 255) / 256 * 32; }
  __device__ static int first(int p) { return p / 32 * 256 + p % 32 * 4; }
  __device__ static int second(int p) { return first(p) + 128; }
  __device__ static Raw load(const std::byte* row, int p, int in) {
    Raw raw{{0, 0, 0, 0}, {0, 0, 0, 0}};
    if (first(p) < in) raw.low = load_streamed(row + 4 * static_cast<std::int64_t>(first(p)));
    if (second(p) < in) raw.high = load_streamed(row + 4 * static_cast<std::int64_t>(second(p)));
    return raw;
  }
  __device__ static float values(const Raw& raw, float (&v)[8]) {
    const unsigned w[8] = {raw.low.x, raw.low.y, raw.low.z, raw.low.w, raw.high.x, raw.high.y, raw.high.z, raw.high.w};
    BIGMODEL_UNROLL
    for (int i = 0; i < 8; ++i) v[i] = __uint_as_float(w[i]);
    return 1;
  }
  static constexpr bool kWhole = false, kFactors = false;
  static constexpr DType kDType = DType::float32;
};


/// Four lanes take a block of q8_0, eight neighbours each.
struct Q8Weights {
  struct Raw {
    unsigned low, high, rest, factor;
    bool odd;
  };
  __device__ static int pieces(int in) { return in / 8; }
  __device__ static int first(int p) { return 8 * p; }
  __device__ static int second(int p) { return 8 * p + 4; }
  __device__ static Raw load(const std::byte* row, int p, int) {
    const std::byte* block = row + static_cast<std::int64_t>(p / 4) * 34;
    const std::byte* at = block + 2 + p % 4 * 8;
    Raw raw;
    raw.odd = !is_aligned(at, 4);
    const auto* words = reinterpret_cast<const unsigned*>(at - (raw.odd ? 2 : 0));
    raw.low = __ldg(words);
    raw.high = __ldg(words + 1);
    raw.rest = raw.odd ? __ldg(reinterpret_cast<const unsigned short*>(words + 2)) : 0;
    raw.factor = __ldg(reinterpret_cast<const unsigned short*>(block));
    return raw;
  }
  __device__ static float values(const Raw& raw, float (&v)[8]) {
    const unsigned low = raw.odd ? raw.low >> 16 | raw.high << 16 : raw.low;
    const unsigned high = raw.odd ? raw.high >> 16 | raw.rest << 16 : raw.high;
    BIGMODEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      v[i] = signed_byte(low, i);
      v[4 + i] = signed_byte(high, i);
    }
    return f16_to_float(raw.factor);
  }
  static constexpr bool kWhole = true, kFactors = true;
  static constexpr DType kDType = DType::q8_0;
};

/// Four lanes take a block of q4_0: four bytes each, whose low halves are neighbours, and whose high halves are those 16 further on.
struct Q4Weights {
  struct Raw {
    unsigned word, rest, factor;
    bool odd;
  };
  __device__ static int pieces(int in) { return in / 8; }
  __device__ static int first(int p) { return p / 4 * 32 + p % 4 * 4; }
  __device__ static int second(int p) { return first(p) + 16; }
  __device__ static Raw load(const std::byte* row, int p, int) {
    const std::byte* block = row + static_cast<std::int64_t>(p / 4) * 18;
    const std::byte* at = block + 2 + p % 4 * 4;
    Raw raw;
    raw.odd = !is_aligned(at, 4);
    const auto* words = reinterpret_cast<const unsigned*>(at - (raw.odd ? 2 : 0));
    raw.word = __ldg(words);
    raw.rest = raw.odd ? __ldg(reinterpret_cast<const unsigned short*>(words + 1)) : 0;
    raw.factor = __ldg(reinterpret_cast<const unsigned short*>(block));
    return raw;
  }
  __device__ static float values(const Raw& raw, float (&v)[8]) {
    const unsigned word = raw.odd ? raw.word >> 16 | raw.rest << 16 : raw.word;
    BIGMODEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      v[i] = nibble(word, 2 * i);
      v[4 + i] = nibble(word, 2 * i + 1);
    }
    return f16_to_float(raw.factor);
  }
  static constexpr bool kWhole = true, kFactors = true;
  static constexpr DType kDType = DType::q4_0;
};

/// Sums of kOuts outputs for kRows rows over this lane's pieces. Every sum has its own order, by the piece alone.
template <class Weights, int kRows, int kOuts, int kAhead>
__device__ __forceinline__ void gemv_pieces(const std::byte* const (&rows_of_w)[kOuts], const float* x, const int (&row_of_x)[kRows], int in, int piece, int step, float (&sum)[kOuts * kRows]) {
  const int pieces = Weights::pieces(in);
  const auto add = [&](const typename Weights::Raw (&raw)[kOuts], int p) {
    float v[kOuts][8], factor[kOuts];
    BIGMODEL_UNROLL
    for (int o = 0; o < kOuts; ++o) factor[o] = Weights::values(raw[o], v[o]);
    BIGMODEL_UNROLL
    for (int r = 0; r < kRows; ++r) {
      float4 a = make_float4(0, 0, 0, 0), b = make_float4(0, 0, 0, 0);
      if (Weights::kWhole || Weights::first(p) < in) a = __ldg(reinterpret_cast<const float4*>(x + (row_of_x[r] + Weights::first(p))));
      if (Weights::kWhole || Weights::second(p) < in) b = __ldg(reinterpret_cast<const float4*>(x + (row_of_x[r] + Weights::second(p))));
      BIGMODEL_UNROLL
      for (int o = 0; o < kOuts; ++o) {
        float part = Weights::kFactors ? 0.0F : sum[o * kRows + r];
        part = fmaf(v[o][0], a.x, part);
        part = fmaf(v[o][1], a.y, part);
        part = fmaf(v[o][2], a.z, part);
        part = fmaf(v[o][3], a.w, part);
        part = fmaf(v[o][4], b.x, part);
        part = fmaf(v[o][5], b.y, part);
        part = fmaf(v[o][6], b.z, part);
        part = fmaf(v[o][7], b.w, part);
        sum[o * kRows + r] = Weights::kFactors ? fmaf(factor[o], part, sum[o * kRows + r]) : part;
      }
    }
  };
  for (; piece + (kAhead - 1) * step < pieces; piece += kAhead * step) {
    typename Weights::Raw raw[kAhead][kOuts];
    BIGMODEL_UNROLL
    for (int a = 0; a < kAhead; ++a) {
      BIGMODEL_UNROLL
      for (int o = 0; o < kOuts; ++o) raw[a][o] = Weights::load(rows_of_w[o], piece + a * step, in);
    }
    BIGMODEL_UNROLL
    for (int a = 0; a < kAhead; ++a) add(raw[a], piece + a * step);
  }
  for (; piece < pieces; piece += step) {
    typename Weights::Raw raw[kOuts];
    BIGMODEL_UNROLL
    for (int o = 0; o < kOuts; ++o) raw[o] = Weights::load(rows_of_w[o], piece, in);
    add(raw, piece);
  }
}

/// The same, element by element, for rows that lie anyhow.
template <class Weights, int kRows, int kOuts>
__device__ __forceinline__ void gemv_elements(const std::byte* const (&rows_of_w)[kOuts], const float* x, const int (&row_of_x)[kRows], int in, int element, int step, float (&sum)[kOuts * kRows]) {
  for (int i = element; i < in; i += step) {
    float v[kOuts];
    BIGMODEL_UNROLL
    for (int o = 0; o < kOuts; ++o) v[o] = element_at({rows_of_w[o], Weights::kDType}, i);
    BIGMODEL_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const float of_x = __ldg(x + (row_of_x[r] + i));
      BIGMODEL_UNROLL
      for (int o = 0; o < kOuts; ++o) sum[o * kRows + r] = fmaf(v[o], of_x, sum[o * kRows + r]);
    }
  }
}

/// A group of `split` warps computes kOuts outputs (of one part, or kOuts / 2 gates and their ups) for up to kRows rows.
template <class Weights, int kRows, int kOuts>
__global__ void __launch_bounds__(kGemvWarps * 32, kRows == 1 ? 3 : 2) gemv_kernel(const GemvWork work) {
  __shared__ float partial[kGemvWarps][kOuts * kRows];
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int in_group = warp % work.split;
  const std::int64_t group = static_cast<std::int64_t>(blockIdx.x) * (static_cast<int>(kGemvWarps) / work.split) + warp / work.split;
  const bool works = group < work.groups;

  GemvPart part = work.parts[0];
  std::int64_t first = 0;
  float sum[kOuts * kRows] = {};   // of output o and row r at o * kRows + r
  if (works) {
    if (!work.gated) {
      BIGMODEL_UNROLL
      for (int i = 1; i < kMostGemvParts; ++i) {
        if (i < work.part_count && group >= work.parts[i].first_group) part = work.parts[i];
      }
    }
    first = (group - part.first_group) * (work.gated ? kOuts / 2 : kOuts);
    const std::int64_t row_bytes = Weights::kDType == DType::q8_0 ? work.in / 32 * 34 : Weights::kDType == DType::q4_0 ? work.in / 32 * 18 : work.in * (Weights::kDType == DType::float32 ? 4 : 2);
    const std::byte* rows_of_w[kOuts];
    int row_of_x[kRows];
    // Beyond the last output or row, the last is computed once more and not stored.
    BIGMODEL_UNROLL
    for (int o = 0; o < kOuts; ++o) {
      const std::byte* weight = work.gated && o % 2 == 1 ? work.parts[1].weight : part.weight;
      rows_of_w[o] = weight + min(first + (work.gated ? o / 2 : o), part.out - 1) * row_bytes;
    }
    BIGMODEL_UNROLL
    for (int r = 0; r < kRows; ++r) row_of_x[r] = min(r, work.rows - 1) * static_cast<int>(work.in);
    const int mine = in_group * 32 + lane, step = work.split * 32;
    if (work.vectors) {
      gemv_pieces<Weights, kRows, kOuts, kRows == 1 ? 2 : 1>(rows_of_w, work.x, row_of_x, static_cast<int>(work.in), mine, step, sum);
    } else {
      gemv_elements<Weights, kRows, kOuts>(rows_of_w, work.x, row_of_x, static_cast<int>(work.in), mine, step, sum);
    }
  }
  const float mine = warp_sums<kOuts * kRows>(sum);
  constexpr int kLanesOfSum = 32 / (kOuts * kRows);
  if (lane % kLanesOfSum == 0) partial[warp][lane / kLanesOfSum] = mine;
  __syncthreads();
  // The first warp of a group finishes: a lane per row and output.
  if (!works || in_group != 0) return;
  const auto total = [&](int o, int r) {
    float all = partial[warp][o * kRows + r];
    for (int w = 1; w < work.split; ++w) all += partial[warp + w][o * kRows + r];
    return all;
  };
  const int results = work.gated ? kOuts / 2 : kOuts;
  if (lane >= results * kRows) return;
  const int r = lane % kRows;
  const std::int64_t o = first + lane / kRows;
  if (r >= work.rows || o >= part.out) return;
  float v;
  if (work.gated) {
    float gate = total(2 * (lane / kRows), r), up = total(2 * (lane / kRows) + 1, r);
    if (part.bias.data != nullptr) gate += element_at(part.bias, o);
    if (work.parts[1].bias.data != nullptr) up += element_at(work.parts[1].bias, o);
    v = activation_of(work.act, work.gate_scale * gate) * up;
  } else {
    v = total(lane / kRows, r);
    if (part.bias.data != nullptr) v += element_at(part.bias, o);
  }
  const std::int64_t at = r * part.out + o;
  v *= work.scale;
  part.y[at] = work.residual == nullptr ? v : work.residual[at] + v;
}

}  // namespace bigmodel::ops
