// SPDX-License-Identifier: Apache-2.0
// Mixers that carry a state from token to token: gated delta nets, gated linear recurrences, and RWKV's two.
#pragma once

#include <memory>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

std::unique_ptr<BoundBlock> make_gated_delta_net(Roles& roles);
std::unique_ptr<BoundBlock> make_gated_linear_recurrence(Roles& roles);
std::unique_ptr<BoundBlock> make_rwkv_time_mix(Roles& roles);
std::unique_ptr<BoundBlock> make_rwkv_channel_mix(Roles& roles);

}  // namespace bigmodel
