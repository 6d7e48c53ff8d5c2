// SPDX-License-Identifier: Apache-2.0
// KernelOps: routers, and experts of few rows and of many.
#pragma once

#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/cuda/kernel_ops.h"
#include "bigmodel/ops/cuda/moe_few.cuh"
#include "bigmodel/ops/cuda/moe_routing.cuh"
#include "bigmodel/ops/cuda/moe_tiles.cuh"

namespace bigmodel::ops {
namespace kernels {

/// Launches of one call, for rows in [begin, end).
template <class Launcher>
class ExpertLaunches {
 public:
  ExpertLaunches(const Accelerator& device, const Launcher& launcher, const ExpertWork& work, DType up, DType down, bool bf16_products)
      : device_(device), launcher_(launcher), work_(work), up_(up), down_(down), bf16_products_(bf16_products && device.description().capability >= 80) {}

  void few(std::int64_t rows) {
    const auto scratch = device_.allocate(static_cast<std::uint64_t>(rows * work_.top_k * work_.width) * sizeof(float));
    work_.hidden = reinterpret_cast<float*>(scratch.get());
    with_weight_rows(up_, [&](auto row) {
      using Row = decltype(row);
      const LaunchShape shape = few_up_shape(rows * work_.top_k, work_.width, work_.transposed, work_.how.plain);
      launcher_.launch(work_.transposed ? &experts_up_columns<Row> : &experts_up<Row>, shape, work_);
    });
    with_weight_rows(down_, [&](auto row) {
      using Row = decltype(row);
      const LaunchShape shape = few_down_shape(rows, work_.size, work_.transposed);
      launcher_.launch(work_.transposed ? &experts_down_columns<Row> : &experts_down<Row>, shape, work_);
    });
  }

  void many(std::int64_t all_rows) {
    const std::int64_t of_pass = rows_of_pass(all_rows, work_.top_k, work_.size, work_.width);
    const std::int64_t most = of_pass * work_.top_k;
    const std::int64_t tiles = most_tiles(most, work_.experts);
    const auto floats = device_.allocate(static_cast<std::uint64_t>(most * (work_.width + work_.size)) * sizeof(float));
    const auto ints = device_.allocate(static_cast<std::uint64_t>(most + 2 * work_.experts + 2 * tiles) * sizeof(int));
    work_.hidden = reinterpret_cast<float*>(floats.get());
    work_.products = work_.hidden + most * work_.width;
    auto* const first = reinterpret_cast<int*>(ints.get());
    const SortedSlots sorted{first, first + most, first + most + work_.experts, first + most + 2 * work_.experts, first + most + 2 * work_.experts + tiles};
    for (std::int64_t done = 0; done < all_rows; done += of_pass) {
      pass(std::min(of_pass, all_rows - done), sorted);
      work_.x += of_pass * work_.size;
      work_.y += of_pass * work_.size;
      if (work_.residual != nullptr) work_.residual += of_pass * work_.size;
      work_.ids += of_pass * work_.top_k;
      work_.weights += of_pass * work_.top_k;
    }
  }

 private:
  void pass(std::int64_t rows, const SortedSlots& sorted) const {
    const std::int64_t slots = rows * work_.top_k;
    const std::int64_t tiles = most_tiles(slots, work_.experts);
    LaunchShape shape;
    shape.grid_x = static_cast<unsigned>(work_.experts);
    shape.threads = 256;
    shape.shared_bytes = 8 * sizeof(int);
    launcher_.launch(&sort_slots, shape, work_.ids, static_cast<int>(slots), sorted);
    shape.grid_x = 1;
    launcher_.launch(&plan_tiles, shape, static_cast<int>(work_.experts), static_cast<int>(tiles), sorted);
    tile<true>(up_, expert_tile_shape(tiles, work_.width, !work_.how.plain), sorted);
    tile<false>(down_, expert_tile_shape(tiles, work_.size, false), sorted);
    shape.grid_x = parts_of(rows * work_.size, 256);
    shape.shared_bytes = 0;
    launcher_.launch(&weigh_products, shape, work_, rows);
  }

  template <bool kUp>
  void tile(DType dtype, const LaunchShape& shape, const SortedSlots& sorted) const {
    if (dtype == DType::bfloat16 && bf16_products_) {
      launcher_.launch(&experts_tile<BF16Row, kUp, true>, shape, work_, sorted);
      return;
    }
    with_weight_rows(dtype, [&](auto row) { launcher_.launch(&experts_tile<decltype(row), kUp, false>, shape, work_, sorted); });
  }

  const Accelerator& device_;
  const Launcher& launcher_;
  ExpertWork work_;
  DType up_, down_;
  bool bf16_products_;
};

/// Whether rows of `count` elements can be read by Row::whole(), from element 0 or any other multiple of 8.
inline bool is_whole(const TensorView& stack, std::int64_t count) {
  if (block_size(stack.dtype) > 1) return true;
  return reinterpret_cast<std::uintptr_t>(stack.data) % 16 == 0 && count % 8 == 0;
}

}  // namespace kernels

template <class Launcher>
void KernelOps<Launcher>::route(const float* logits, std::int64_t rows, const RoutingRule& rule, const float* choice_bias, std::int64_t* ids, float* weights) const {
  if (rule.experts > kMostExperts || rule.top_k > kMostChosen) {
    throw UnsupportedError("router: expected at most " + std::to_string(kMostExperts) + " experts and " + std::to_string(kMostChosen) + " chosen, got " +
                           std::to_string(rule.experts) + " and " + std::to_string(rule.top_k));
  }
  BIGMODEL_ASSERT(rule.top_k > 0 && rule.top_k <= rule.experts && (rule.groups == 0 || (rule.experts % rule.groups == 0 && rule.top_groups <= rule.groups)));
  BIGMODEL_ASSERT(rule.score != RoutingRule::Score::sparse_mixer || rule.top_k == 2);
  if (rows == 0) return;
  launcher_.launch(&kernels::route_row, route_shape(rows, rule), logits, rule, choice_bias, ids, weights);
}

template <class Launcher>
void KernelOps<Launcher>::experts(const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k,
                                  const ExpertWeights& experts, float* y, const LinearEnd& end) const {
  if (rows == 0) return;
  kernels::ExpertWork work;
  work.x = x;
  work.ids = ids;
  work.weights = weights;
  work.residual = end.residual;
  work.y = y;
  work.gate_up = reinterpret_cast<const kernels::Bytes*>(experts.gate_up.data);
  work.down = reinterpret_cast<const kernels::Bytes*>(experts.down.data);
  work.gate_up_bias = kernels::small(experts.gate_up_bias, "bias");
  work.down_bias = kernels::small(experts.down_bias, "bias");
  work.size = size;
  work.width = experts.transposed ? experts.down.size(1) : experts.down.size(2);
  work.top_k = top_k;
  work.experts = experts.gate_up.size(0);
  work.scale = end.scale;
  work.how = {experts.act, experts.plain, experts.clamped_swiglu, experts.alpha, experts.limit};
  work.transposed = experts.transposed;
  work.interleaved = experts.interleaved;
  const std::int64_t parts = experts.plain ? 1 : 2;
  const std::size_t outs = experts.transposed ? 2 : 1;
  BIGMODEL_ASSERT(experts.gate_up.size(outs) == parts * work.width && experts.down.size(outs) == size);
  // Pieces of eight of the columns of a transposed matrix begin at multiples of eight, those of `up` where the gate's columns end. Blocks are never cut.
  BIGMODEL_ASSERT(!experts.transposed || block_size(experts.gate_up.dtype) == 1 || work.width % 32 == 0);
  work.aligned_x = reinterpret_cast<std::uintptr_t>(x) % 16 == 0 && size % 8 == 0;
  work.aligned_hidden = work.width % 8 == 0;
  work.aligned_up = kernels::is_whole(experts.gate_up, experts.transposed ? work.width : size);
  work.aligned_down = kernels::is_whole(experts.down, experts.transposed ? size : work.width);
  kernels::ExpertLaunches<Launcher> launches(device_, launcher_, work, experts.gate_up.dtype, experts.down.dtype, end.bf16_products);
  if (rows <= kFewExpertRows) {
    launches.few(rows);
  } else {
    launches.many(rows);
  }
}

}  // namespace bigmodel::ops
