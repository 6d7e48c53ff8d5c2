// SPDX-License-Identifier: Apache-2.0
// Reads a router's rules from the roles top_k, score, groups, top_groups, group_score, normalise, normalise_eps (added to the sum), scale, jitter.
#pragma once

#include "bigmodel/ops/device_ops.h"

namespace bigmodel {

class Roles;

/// `experts` is left for the caller to fill.
ops::RoutingRule routing_rule(Roles& roles);

}  // namespace bigmodel
