// SPDX-License-Identifier: Apache-2.0
// One expert of a mixture on the processor, for those whose matrices are not all there at once.
#pragma once

#include <cstdint>

#include "bigmodel/device/cpu/cpu_context.h"
#include "bigmodel/ops/device_ops.h"

namespace bigmodel::ops {

/// y += what `expert` makes of the tokens that chose it, times their weights: x and y [rows, size], ids and weights [rows, top_k]. Its matrices are entry `place`
/// of the stacks. Called for experts in ascending order from y = 0 it gives the bits of DeviceOps::experts.
void add_expert(const CpuContext& cpu, const float* x, std::int64_t rows, std::int64_t size, const std::int64_t* ids, const float* weights, std::int64_t top_k,
                const ExpertWeights& experts, std::int64_t place, std::int64_t expert, float* y);

}  // namespace bigmodel::ops
