// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/linear_cpu.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "bigmodel/ops/dot_kernels.h"
#include "bigmodel/ops/tile_product.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

/// So many rows and a panel of weights is widened once instead of in every tile.
constexpr std::int64_t kRowsThatWiden = 24;
/// Weights of a panel stay in the second cache while all rows pass by.
constexpr std::int64_t kPanelBytes = 192 << 10;
/// A worker takes so much at a time: enough to make the taking cheap, little enough that nobody waits long for the last one.
constexpr std::int64_t kChunkBytes = 128 << 10;

struct Product {
  const DotKernels& kernels;
  const void* x;           ///< float32, or bfloat16 where `pairs`
  std::int64_t x_bytes;    ///< of one element
  std::int64_t rows, in, out;
  const TensorView& weight;
  const TensorView* bias;
  float* y;
  bool pairs;

  void panel(std::int64_t begin, std::int64_t end, std::vector<float>& wide) const {
    std::int64_t w_step = byte_count(weight.dtype, in);
    const std::byte* w = weight.data + begin * w_step;
    DotTile tile = pairs ? kernels.bf16_pairs : kernels.of(weight.dtype);
    const bool widens = block_size(weight.dtype) > 1 ? rows > 1 : weight.dtype != DType::float32 && rows >= kRowsThatWiden;
    if (!pairs && widens) {
      wide.resize(static_cast<std::size_t>((end - begin) * in));
      widen(weight, begin * in, (end - begin) * in, wide.data());
      w = reinterpret_cast<const std::byte*>(wide.data());
      w_step = in * 4;
      tile = kernels.f32;
    }
    const auto* from = static_cast<const std::byte*>(x);
    for (std::int64_t r = 0; r < rows; r += kernels.tile_rows) {
      const std::int64_t tile_rows = std::min(kernels.tile_rows, rows - r);
      const std::int64_t tile_outs = tile_rows == 1 ? end - begin : kernels.tile_outs;
      for (std::int64_t o = begin; o < end; o += tile_outs) {
        tile(from + r * in * x_bytes, in, tile_rows, w + (o - begin) * w_step, w_step, std::min(tile_outs, end - o), in, y + r * out + o, out);
      }
    }
    add_bias(begin, end);
  }

  void add_bias(std::int64_t begin, std::int64_t end) const {
    if (bias == nullptr) return;
    for (std::int64_t o = begin; o < end; ++o) {
      float b = 0;
      widen(*bias, o, 1, &b);
      for (std::int64_t r = 0; r < rows; ++r) y[r * out + o] += b;
    }
  }
};

}  // namespace

void linear_cpu(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) {
  const std::int64_t out = weight.size(0);
  const std::int64_t in = weight.size(1);
  const DotKernels& kernels = dot_kernels(cpu.isa);
  if (!is_weight_dtype(weight.dtype)) throw_not_a_weight_dtype(weight.dtype);
  const bool pairs = cpu.bf16_products && kernels.bf16_pairs != nullptr && weight.dtype == DType::bfloat16;
  std::unique_ptr<std::uint16_t[]> narrow;
  if (pairs) {
    narrow = std::make_unique_for_overwrite<std::uint16_t[]>(static_cast<std::size_t>(rows * in));
    cpu.parallel_for(rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(in, 1)), [&](std::int64_t begin, std::int64_t end, int) {
      kernels.round_to_bf16(x + begin * in, narrow.get() + begin * in, (end - begin) * in);
    });
  }
  const Product product{kernels, pairs ? static_cast<const void*>(narrow.get()) : x, pairs ? 2 : 4, rows, in, out, weight, bias, y, pairs};
  if (pairs && rows >= kRowsOfTiles && has_tile_products(cpu.isa)) {
    const TiledRows tiled(cpu, narrow.get(), rows, in);
    cpu.parallel_for(out, std::min(panel_of_tiles(in), std::max<std::int64_t>(out / 8 / 32 * 32, 32)), [&](std::int64_t begin, std::int64_t end, int) {
      tile_panel(tiled, reinterpret_cast<const std::uint16_t*>(weight.data), begin, end, out, y);
      product.add_bias(begin, end);
    });
    return;
  }
  const std::int64_t row_bytes = std::max<std::int64_t>(1, byte_count(weight.dtype, in));
  const auto outs_for = [&](std::int64_t bytes) { return std::max<std::int64_t>(1, bytes / row_bytes / kernels.tile_outs) * kernels.tile_outs; };
  const std::int64_t panel = outs_for(pairs || weight.dtype == DType::float32 ? kPanelBytes : kPanelBytes / 2);
  const std::int64_t chunk = rows == 1 ? outs_for(kChunkBytes) : panel;
  cpu.parallel_for(out, chunk, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<float> wide;
    for (std::int64_t o = begin; o < end; o += panel) product.panel(o, std::min(o + panel, end), wide);
  });
}

void linear_transposed_cpu(const CpuContext& cpu, const float* x, std::int64_t rows, const TensorView& weight, const TensorView* bias, float* y) {
  const std::int64_t in = weight.size(0);
  const std::int64_t out = weight.size(1);
  const DotKernels& kernels = dot_kernels(cpu.isa);
  // Columns are shared out; each worker walks down its part of the matrix.
  constexpr std::int64_t kColumns = 256;
  cpu.parallel_for(out, kColumns, [&](std::int64_t begin, std::int64_t end, int) {
    const std::int64_t width = end - begin;
    float part[kColumns];
    std::fill_n(part, width, 0.0F);
    if (bias != nullptr) widen(*bias, begin, width, part);
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(part, width, y + r * out + begin);
    for (std::int64_t i = 0; i < in; ++i) {
      widen(weight, i * out + begin, width, part);
      for (std::int64_t r = 0; r < rows; ++r) kernels.add_scaled(x[r * in + i], part, y + r * out + begin, width);
    }
  });
}

}  // namespace bigmodel::ops
