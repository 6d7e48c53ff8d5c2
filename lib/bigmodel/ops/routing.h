// SPDX-License-Identifier: Apache-2.0
// Which experts a token goes to, and with which weights, from the router's logits: on the processor.
#pragma once

#include <cstdint>
#include <span>

#include "bigmodel/ops/device_ops.h"

namespace bigmodel::ops {

/// logits [experts]; choice_bias is added for the choice only (empty: none); ids and weights [top_k]. Ties go to the lower id.
void route_row(const RoutingRule& rule, std::span<const float> logits, std::span<const float> choice_bias, std::int64_t* ids, float* weights);

}  // namespace bigmodel::ops
