// SPDX-License-Identifier: Apache-2.0
// KernelOps: rows into a cache, and attention over it.
#pragma once

#include <string>
#include <type_traits>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/cuda/attention_splits.cuh"
#include "bigmodel/ops/cuda/attention_tiles.cuh"
#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::ops {
namespace kernels {

/// An element for each thread: x: pieces of 256 of the rows of one batch entry, z: batch.
template <class Row>
__global__ void __launch_bounds__(256) append_rows(const float* from, std::int64_t count, CachePlace place) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  const std::int64_t b = blockIdx.z;
  if (n >= count * place.kv_heads * place.dim) return;
  const std::int64_t d = n % place.dim;
  const std::int64_t h = n / place.dim % place.kv_heads;
  const std::int64_t at = (place.past_there == nullptr ? place.past : *place.past_there) + n / place.dim / place.kv_heads;
  // What the device counts, the host cannot check.
  if (at >= place.capacity) return;
  Row::store(reinterpret_cast<Bytes*>(place.data), ((b * place.kv_heads + h) * place.capacity + at) * place.dim + d, from[b * count * place.kv_heads * place.dim + n]);
}

inline bool is_aligned(const void* at, std::int64_t row_bytes) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0 && row_bytes % 16 == 0; }

/// Calls f with the format of rows of a cache.
template <class F>
void with_cache_rows(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(F32Row{});
    case DType::bfloat16: return f(BF16Row{});
    case DType::float16: return f(F16Row{});
    default: throw UnsupportedError("cache: expected float32, bfloat16 or float16, got " + std::string(name(dtype)));
  }
}

}  // namespace kernels

template <class Launcher>
void KernelOps<Launcher>::append_to_cache(const float* from, std::int64_t count, const CachePlace& place) const {
  BIGMODEL_ASSERT(place.past_there != nullptr || place.past + count <= place.capacity);
  const std::int64_t elements = count * place.kv_heads * place.dim;
  if (elements == 0 || place.batch == 0) return;
  LaunchShape shape;
  shape.grid_x = static_cast<unsigned>((elements + 255) / 256);
  shape.grid_z = static_cast<unsigned>(place.batch);
  shape.threads = 256;
  kernels::with_cache_rows(place.dtype, [&](auto row) { launcher_.launch(&kernels::append_rows<decltype(row)>, shape, from, count, place); });
}

template <class Launcher>
void KernelOps<Launcher>::attention(const AttentionInput& in, const CacheView& view, const AttentionRule& rule, float* out) const {
  BIGMODEL_ASSERT(in.kv_heads > 0 && in.heads % in.kv_heads == 0 && in.keys <= in.capacity);
  // Rows of biases are in.keys long: nobody has them that long where the device counts the keys.
  BIGMODEL_ASSERT(view.past_there == nullptr || (rule.bias == nullptr && rule.key_bias == nullptr));
  if (in.head_dim > kLongestHead) throw UnsupportedError("attention: expected heads of at most " + std::to_string(kLongestHead) + " elements, got " + std::to_string(in.head_dim));
  if (in.batch == 0 || in.queries == 0 || in.value_dim == 0) return;
  kernels::with_cache_rows(view.dtype, [&](auto format) {
    using Row = decltype(format);
    kernels::AttentionWork work{in, rule, view.past_there, out};
    const std::int64_t element_bytes = Row::kType == DType::float32 ? 4 : 2;
    work.aligned_keys = kernels::is_aligned(in.k, in.head_dim * element_bytes);
    work.aligned_values = kernels::is_aligned(in.v, in.value_dim * element_bytes);
    if (is_for_few_queries(in)) {
      const std::int64_t most_splits = splits_of(in.keys);
      const auto scratch = device_.allocate(static_cast<std::uint64_t>(split_floats(in)) * sizeof(float));
      const std::int64_t parts_there = in.batch * in.queries * in.heads * most_splits;
      auto* const values = reinterpret_cast<float*>(scratch.get());
      const kernels::SplitParts parts{values, values + parts_there * in.value_dim, values + parts_there * (in.value_dim + 1)};
      if (most_splits > 0) {
        const int rows = split_rows(in.queries * (in.heads / in.kv_heads));
        const auto kernel = rows == 1 ? &kernels::attend_split<Row, 1> : rows == 4 ? &kernels::attend_split<Row, 4> : &kernels::attend_split<Row, kSplitRows>;
        launcher_.launch(kernel, split_shape(in), work, parts, most_splits);
      }
      launcher_.launch(&kernels::join_splits<Row>, join_shape(in), work, parts, most_splits);
      return;
    }
    if constexpr (Row::kType != DType::float32) {
      if (device_.description().capability >= 80 && in.queries >= kFewestMmaQueries) {
        using Value = std::conditional_t<Row::kType == DType::bfloat16, kernels::BF16Value, kernels::F16Value>;
        launcher_.launch(&kernels::attend_tile_mma<Value>, tile_shape(in, true), work);
        return;
      }
    }
    // Exactly for float32; the others' on cards that have no such products (of bfloat16, before Ampere).
    launcher_.launch(&kernels::attend_tile<Row>, tile_shape(in, false), work);
  });
}

}  // namespace bigmodel::ops
