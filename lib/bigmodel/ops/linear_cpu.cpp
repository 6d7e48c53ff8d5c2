// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/linear_cpu.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "bigmodel/ops/dot_kernels.h"
#include "bigmodel/ops/tile_product.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

/// So many rows and a panel of weights is widened once instead of in every tile, and laid out in the order of the tiles: rows that lie a power of two
/// apart would crowd each other out of the first cache.
constexpr std::int64_t kRowsThatWiden = 24;
/// Weights of a panel stay in the second cache while all rows pass by.
constexpr std::int64_t kPanelBytes = 192 << 10;
/// From so many rows on operands are packed: rows that lie a power of two apart would crowd each other out of the first cache.
constexpr std::int64_t kRowsThatPack = 16;
/// A worker takes so much at a time: enough to make the taking cheap, little enough that nobody waits long for the last one.
constexpr std::int64_t kChunkBytes = 128 << 10;

struct alignas(kCacheLineBytes) CacheLine {
  std::byte bytes[kCacheLineBytes];
};

/// Rows in the order of tiles.
class PackedRows {
 public:
  /// Room; pack() fills it.
  PackedRows(std::int64_t count, std::int64_t group, std::int64_t k, std::int64_t element_bytes)
      : group_(group), k_(k), element_bytes_(element_bytes), lines_(std::make_unique_for_overwrite<CacheLine[]>(static_cast<std::size_t>(packed_bytes(count, group, k, element_bytes) / kCacheLineBytes))) {}

  std::int64_t lines_per_row() const noexcept { return (k_ * element_bytes_ + kCacheLineBytes - 1) / kCacheLineBytes; }
  /// Where the group of row `first`, a multiple of the group's size, begins.
  std::byte* group_of(std::int64_t first) const { return lines_[static_cast<std::size_t>(first * lines_per_row())].bytes; }
  /// Rows [first, first + count) of what lies at `from`, its first.
  void pack(const std::byte* from, std::int64_t first, std::int64_t count) const { pack_rows(from + first * k_ * element_bytes_, k_ * element_bytes_, count, group_, k_, element_bytes_, group_of(first)); }

 private:
  std::int64_t group_, k_, element_bytes_;
  std::unique_ptr<CacheLine[]> lines_;
};

struct Product {
  const DotKernels& kernels;
  const void* x;           ///< float32, or bfloat16 where `pairs`
  std::int64_t x_bytes;    ///< of one element
  std::int64_t rows, in, out;
  const TensorView& weight;
  const TensorView* bias;
  float* y;
  bool pairs;
  const PackedRows* packed = nullptr;   ///< x, where it is worth it

  /// What a worker keeps from panel to panel.
  struct Scratch {
    std::vector<float> wide;
    std::unique_ptr<PackedRows> packed;
  };

  void panel(std::int64_t begin, std::int64_t end, Scratch& scratch) const {
    std::int64_t w_step = byte_count(weight.dtype, in);
    const std::byte* w = weight.data + begin * w_step;
    DotTile tile = pairs ? kernels.bf16_pairs : kernels.of(weight.dtype);
    const bool widens = block_size(weight.dtype) > 1 ? rows > 1 : weight.dtype != DType::float32 && rows >= kRowsThatWiden;
    if (!pairs && widens) {
      scratch.wide.resize(static_cast<std::size_t>((end - begin) * in));
      widen(weight, begin * in, (end - begin) * in, scratch.wide.data());
      w = reinterpret_cast<const std::byte*>(scratch.wide.data());
      w_step = in * 4;
      tile = kernels.f32;
    }
    if (packed != nullptr) {
      packed_panel(w, begin, end, scratch);
      return add_bias(begin, end);
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

  /// `w`: rows begin to end, as far apart as they are long.
  void packed_panel(const std::byte* w, std::int64_t begin, std::int64_t end, Scratch& scratch) const {
    const PackedTile tile = pairs ? kernels.bf16_packed : kernels.f32_packed;
    if (scratch.packed == nullptr) scratch.packed = std::make_unique<PackedRows>(end - begin, kernels.tile_outs, in, x_bytes);
    scratch.packed->pack(w, 0, end - begin);
    for (std::int64_t r = 0; r < rows; r += kernels.tile_rows) {
      const std::int64_t tile_rows = std::min(kernels.tile_rows, rows - r);
      for (std::int64_t o = begin; o < end; o += kernels.tile_outs) {
        tile(packed->group_of(r), tile_rows, scratch.packed->group_of(o - begin), std::min(kernels.tile_outs, end - o), packed->lines_per_row(), y + r * out + o, out);
      }
    }
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
  Product product{kernels, pairs ? static_cast<const void*>(narrow.get()) : x, pairs ? 2 : 4, rows, in, out, weight, bias, y, pairs};
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
  std::optional<PackedRows> packed;
  if (rows >= kRowsThatWiden && (pairs ? kernels.bf16_packed : kernels.f32_packed) != nullptr) {
    packed.emplace(rows, kernels.tile_rows, in, product.x_bytes);
    cpu.parallel_for((rows + kernels.tile_rows - 1) / kernels.tile_rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      const std::int64_t first = begin * kernels.tile_rows;
      packed->pack(static_cast<const std::byte*>(product.x), first, std::min(end * kernels.tile_rows, rows) - first);
    });
    product.packed = &*packed;
  }
  cpu.parallel_for(out, chunk, [&](std::int64_t begin, std::int64_t end, int) {
    Product::Scratch scratch;
    for (std::int64_t o = begin; o < end; o += panel) product.panel(o, std::min(o + panel, end), scratch);
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
