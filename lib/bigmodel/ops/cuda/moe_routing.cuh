// SPDX-License-Identifier: Apache-2.0
// Which experts a row goes to, and with which weights: one warp for each row, in the order of operations of engine/blocks/routing.cpp.
#pragma once

#include "bigmodel/ops/cuda/moe_shapes.h"
#include "bigmodel/ops/cuda/stored_values.cuh"

namespace bigmodel::ops::kernels {

/// The largest of x that no lane's `taken` names, ties to the lower number. Element lane + 32 n is bit n of the lane's word. All lanes call and get it.
__device__ inline int take_largest(const float* x, int count, unsigned& taken) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int best = -1;
  float value = 0;
  for (int n = 0; lane + 32 * n < count; ++n) {
    const float other = x[lane + 32 * n];
    if ((taken >> n & 1U) == 0 && (best < 0 || other > value)) {
      best = lane + 32 * n;
      value = other;
    }
  }
  BIGMODEL_UNROLL
  for (int step = 16; step > 0; step /= 2) {
    const int id = __shfl_xor_sync(0xFFFFFFFFU, best, step);
    const float other = __shfl_xor_sync(0xFFFFFFFFU, value, step);
    if (id >= 0 && (best < 0 || other > value || (other == value && id < best))) {
      best = id;
      value = other;
    }
  }
  // With not-a-numbers about, lanes may disagree.
  best = __shfl_sync(0xFFFFFFFFU, best, 0);
  if (best % 32 == lane) taken |= 1U << (best / 32);
  return best;
}

/// The softmax of x as the processor computes it: the sum runs from the first to the last. All lanes call.
__device__ inline void softmax_in_order(float* x, int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float top = -INFINITY;
  for (int n = lane; n < count; n += 32) top = fmaxf(top, x[n]);
  top = warp_largest(top);
  for (int n = lane; n < count; n += 32) x[n] = expf(x[n] - top);
  __syncwarp();
  float sum = 0;
  for (int n = 0; n < count; ++n) sum += x[n];
  __syncwarp();
  for (int n = lane; n < count; n += 32) x[n] /= sum;
  __syncwarp();
}

/// Two experts, one after the other, each by the softmax of those near the best.
__device__ inline void route_sparsely(const float* logits, const RoutingRule& rule, float* left, float* near, std::int64_t* ids, float* weights) {
  const int lane = static_cast<int>(threadIdx.x);
  const int experts = static_cast<int>(rule.experts);
  for (int e = lane; e < experts; e += 32) left[e] = logits[e];
  __syncwarp();
  for (int pick = 0; pick < 2; ++pick) {
    unsigned taken = 0;
    const int best = take_largest(left, experts, taken);
    const float top = left[best];
    for (int e = lane; e < experts; e += 32) {
      const float factor = fmaxf(fabsf(logits[e]), top);
      near[e] = (top - logits[e]) / factor > 2 * rule.jitter ? -INFINITY : left[e];
    }
    __syncwarp();
    softmax_in_order(near, experts);
    if (lane == 0) {
      ids[pick] = best;
      weights[pick] = near[best];
      left[best] = -INFINITY;
    }
    __syncwarp();
  }
}

static __global__ void __launch_bounds__(32) route_row(const float* logits, RoutingRule rule, const float* choice_bias, std::int64_t* ids, float* weights) {
  BIGMODEL_DYNAMIC_SHARED(float, shared);
  const int lane = static_cast<int>(threadIdx.x);
  const int experts = static_cast<int>(rule.experts);
  const int groups = static_cast<int>(rule.groups);
  const int top_k = static_cast<int>(rule.top_k);
  float* const scores = shared;
  float* const choice = scores + experts;
  float* const of_group = choice + experts;
  float* const kept = of_group + groups;
  float* const chosen = kept + groups;
  logits += static_cast<std::int64_t>(blockIdx.x) * experts;
  ids += static_cast<std::int64_t>(blockIdx.x) * top_k;
  weights += static_cast<std::int64_t>(blockIdx.x) * top_k;
  if (rule.score == RoutingRule::Score::sparse_mixer) {
    route_sparsely(logits, rule, scores, choice, ids, weights);
    return;
  }
  for (int e = lane; e < experts; e += 32) scores[e] = rule.score == RoutingRule::Score::sigmoid ? 1.0F / (1.0F + expf(-logits[e])) : logits[e];
  __syncwarp();
  if (rule.score == RoutingRule::Score::softmax) softmax_in_order(scores, experts);
  for (int e = lane; e < experts; e += 32) choice[e] = choice_bias == nullptr ? scores[e] : scores[e] + choice_bias[e];
  __syncwarp();
  if (groups > 0) {
    const int size = experts / groups;
    for (int g = lane; g < groups; g += 32) {
      float first = choice[g * size];
      float second = -INFINITY;
      for (int e = 1; e < size; ++e) {
        const float value = choice[g * size + e];
        if (value > first) {
          second = first;
          first = value;
        } else if (value > second) {
          second = value;
        }
      }
      of_group[g] = rule.group_by_max || size == 1 ? first : first + second;
      kept[g] = 0;
    }
    __syncwarp();
    unsigned taken = 0;
    for (int n = 0; n < static_cast<int>(rule.top_groups); ++n) {
      const int best = take_largest(of_group, groups, taken);
      if (lane == 0) kept[best] = 1;
    }
    __syncwarp();
    for (int e = lane; e < experts; e += 32) {
      if (kept[e / size] == 0) choice[e] = rule.group_by_max ? 0.0F : -INFINITY;
    }
    __syncwarp();
  }
  unsigned taken = 0;
  for (int k = 0; k < top_k; ++k) {
    const int best = take_largest(choice, experts, taken);
    if (lane == 0) {
      ids[k] = best;
      chosen[k] = rule.group_by_max && groups > 0 ? choice[best] : scores[best];
    }
  }
  __syncwarp();
  if (rule.score == RoutingRule::Score::softmax_after_top_k) softmax_in_order(chosen, top_k);
  float sum = 1;
  if (rule.normalise) {
    sum = rule.normalise_eps;
    for (int k = 0; k < top_k; ++k) sum += chosen[k];
  }
  for (int k = lane; k < top_k; k += 32) weights[k] = (rule.normalise ? chosen[k] / sum : chosen[k]) * rule.scale;
}

}  // namespace bigmodel::ops::kernels
