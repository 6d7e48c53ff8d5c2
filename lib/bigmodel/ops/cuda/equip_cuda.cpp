// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/cuda/equip_cuda.h"

namespace bigmodel::ops {

OpenedCards open_cuda_cards(const std::vector<std::uint64_t>& budget_bytes) {
  OpenedCards out{.cards = {}, .state = read_cuda_state()};
  for (std::size_t i = 0; i < out.state.cards.size(); ++i) {
    if (!out.state.cards[i].problem.empty()) continue;
    out.cards.push_back(open_cuda_card(out.state.cards[i].ordinal, i < budget_bytes.size() ? std::optional(budget_bytes[i]) : std::nullopt));
    equip_cuda(*out.cards.back());
  }
  return out;
}

}  // namespace bigmodel::ops
