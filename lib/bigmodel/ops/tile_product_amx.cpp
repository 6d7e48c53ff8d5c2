// SPDX-License-Identifier: Apache-2.0
// Reference: Intel Architecture Instruction Set Extensions, chapter on AMX (TDPBF16PS).
#include "bigmodel/ops/tile_product.h"

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define BIGMODEL_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl")))

namespace bigmodel::ops {
namespace {

/// A panel of weights stays in the second cache beside two blocks of rows.
constexpr std::int64_t kPanelBytes = 768 << 10;

#if defined(__linux__)
/// Whether the processor has tiles, and the system gives them to this process, as it does on request (arch_prctl, ARCH_REQ_XCOMP_PERM of
/// XFEATURE_XTILEDATA).
bool may_use_tiles() {
  constexpr unsigned kTilesAndBf16 = 1u << 24 | 1u << 22;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTilesAndBf16) != kTilesAndBf16) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
bool may_use_tiles() { return false; }
#endif

/// 16 x 16 words, turned in registers.
BIGMODEL_AMX void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Now r[4 g + c] holds column 4 l + c of rows 4 g .. 4 g + 3 in its quarter l.
  for (int c = 0; c < 4; ++c) {
    const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd), e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(a, b, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(a, b, 0xdd);
    t[4 + c] = _mm512_shuffle_i32x4(d, e, 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(d, e, 0xdd);
  }
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

/// 32 elements from 32 * step on, zeros behind the end.
BIGMODEL_AMX __m512i load_step(const std::uint16_t* row, std::int64_t step, std::int64_t in) {
  const std::int64_t left = in - 32 * step;
  if (left >= 32) return _mm512_loadu_si512(row + 32 * step);
  return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((1u << left) - 1u), row + 32 * step);
}

BIGMODEL_AMX void pack_rows(const std::uint16_t* x, std::int64_t rows, std::int64_t in, std::int64_t block, std::int64_t steps, Tile* to) {
  for (std::int64_t s = 0; s < steps; ++s) {
    __m512i r[16];
    for (std::int64_t i = 0; i < 16; ++i) {
      const std::int64_t row = 16 * block + i;
      r[i] = row < rows ? load_step(x + row * in, s, in) : _mm512_setzero_si512();
    }
    transpose(r);
    for (int p = 0; p < 16; ++p) _mm512_store_si512(to[s].pairs[p], r[p]);
  }
}

/// Rows of weights as they are, a tile's 16 rows together.
BIGMODEL_AMX void pack_weights(const std::uint16_t* w, std::int64_t outs, std::int64_t in, std::int64_t steps, Tile* to) {
  for (std::int64_t o = 0; o < ceil_div<std::int64_t>(outs, 32) * 32; ++o) {
    for (std::int64_t s = 0; s < steps; ++s) {
      _mm512_store_si512(to[o / 16 * steps + s].pairs[o % 16], o < outs ? load_step(w + o * in, s, in) : _mm512_setzero_si512());
    }
  }
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

/// gcc 12's tile intrinsics do not say that they read memory: what was written before must not stay in registers, or be dropped.
void finish_writes(const void* at) { asm volatile("" : : "r"(at) : "memory"); }

BIGMODEL_AMX void configure() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = 16;
  }
  finish_writes(&config);
  _tile_loadconfig(&config);
}

/// 32 outputs of 32 rows: sums[o / 16][r / 16], outputs along a tile's rows.
BIGMODEL_AMX void multiply(const Tile* w, const Tile* x, std::int64_t steps, Tile (&sums)[2][2]) {
  finish_writes(w);
  finish_writes(x);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t s = 0; s < steps; ++s) {
    _tile_loadd(4, w + s, 64);
    _tile_loadd(6, x + s, 64);
    _tile_loadd(5, w + steps + s, 64);
    _tile_loadd(7, x + steps + s, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, &sums[0][0], 64);
  _tile_stored(1, &sums[0][1], 64);
  _tile_stored(2, &sums[1][0], 64);
  _tile_stored(3, &sums[1][1], 64);
}

/// y[r, o] from a tile whose rows are outputs.
BIGMODEL_AMX void store(const Tile& sums, std::int64_t rows, std::int64_t outs, float* y, std::int64_t y_step) {
  if (rows <= 0 || outs <= 0) return;
  __m512i r[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(sums.pairs[i]);
  transpose(r);
  const auto mask = static_cast<__mmask16>(outs >= 16 ? 0xFFFFu : (1u << outs) - 1u);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(rows, 16); ++i) _mm512_mask_storeu_epi32(y + i * y_step, mask, r[i]);
}

BIGMODEL_AMX void release() { _tile_release(); }

}  // namespace

bool has_tile_products(CpuIsa isa) {
  static const bool kGranted = may_use_tiles();
  return isa >= CpuIsa::avx512_bf16 && kGranted;
}

TiledRows::TiledRows(const CpuContext& cpu, const std::uint16_t* x, std::int64_t rows, std::int64_t in)
    : rows_(rows), in_(in), blocks_(ceil_div<std::int64_t>(rows, 32) * 2), steps_(ceil_div<std::int64_t>(in, 32)) {
  tiles_ = std::make_unique_for_overwrite<Tile[]>(static_cast<std::size_t>(blocks_ * steps_));
  cpu.parallel_for(blocks_, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t b = begin; b < end; ++b) pack_rows(x, rows_, in_, b, steps_, tiles_.get() + b * steps_);
  });
}

std::int64_t panel_of_tiles(std::int64_t in) { return std::max<std::int64_t>(1, kPanelBytes / (ceil_div<std::int64_t>(in, 32) * 64) / 32) * 32; }

void tile_panel(const TiledRows& x, const std::uint16_t* w, std::int64_t begin, std::int64_t end, std::int64_t out, float* y) {
  const std::int64_t steps = x.steps();
  const auto panel = std::make_unique_for_overwrite<Tile[]>(static_cast<std::size_t>(ceil_div<std::int64_t>(end - begin, 32) * 2 * steps));
  pack_weights(w + begin * x.in(), end - begin, x.in(), steps, panel.get());
  configure();
  Tile sums[2][2];
  for (std::int64_t b = 0; b < x.blocks(); b += 2) {
    for (std::int64_t o = begin; o < end; o += 32) {
      multiply(panel.get() + (o - begin) / 16 * steps, x.block(b), steps, sums);
      for (std::int64_t i = 0; i < 2; ++i) {
        for (std::int64_t j = 0; j < 2; ++j) {
          const std::int64_t row = 16 * (b + j), first = o + 16 * i;
          store(sums[i][j], x.rows() - row, end - first, y + row * out + first, out);
        }
      }
    }
  }
  release();
}

}  // namespace bigmodel::ops
#else
namespace bigmodel::ops {
bool has_tile_products(CpuIsa) { return false; }
TiledRows::TiledRows(const CpuContext&, const std::uint16_t*, std::int64_t rows, std::int64_t in) : rows_(rows), in_(in), blocks_(0), steps_(0) {}
std::int64_t panel_of_tiles(std::int64_t) { return 1; }
void tile_panel(const TiledRows&, const std::uint16_t*, std::int64_t, std::int64_t, std::int64_t, float*) { BIGMODEL_ASSERT(false); }
}  // namespace bigmodel::ops
#endif
