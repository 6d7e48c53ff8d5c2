// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/relative_bias.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/engine/roles.h"

namespace bigmodel {

RelativeBias::RelativeBias(Roles& roles, std::int64_t heads, bool causal)
    : heads_(heads), buckets_(roles.integer("buckets", 0)), most_(roles.integer("max_distance", 128)), causal_(causal) {
  table_ = roles.embedding("relative_bias");
  if (table_ != nullptr && table_->find_tensor("weight")->meta->shape != Shape{buckets_, heads_}) {
    roles.refuse("relative_bias", fmt::format("expected a table [{}, {}]", buckets_, heads_));
  }
  shared_ = table_ == nullptr && buckets_ > 0 && !roles.boolean("cross", false);
  if (table_ != nullptr && (buckets_ < 4 || most_ <= buckets_ / 4)) roles.refuse("buckets", fmt::format("{} up to a distance of {}", buckets_, most_));
}

std::int64_t RelativeBias::bucket(std::int64_t distance) const {
  std::int64_t count = buckets_;
  std::int64_t out = 0;
  if (!causal_) {
    count /= 2;
    if (distance > 0) out = count;
    distance = std::abs(distance);
  } else {
    distance = std::max<std::int64_t>(-distance, 0);
  }
  const std::int64_t exact = count / 2;
  if (distance < exact) return out + distance;
  const float scaled = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                       static_cast<float>(std::log(static_cast<double>(most_) / static_cast<double>(exact))) * static_cast<float>(count - exact);
  return out + std::min(exact + static_cast<std::int64_t>(scaled), count - 1);
}

const float* RelativeBias::bias(ForwardState& state, const Accelerator* device) const {
  if (!lay(state)) return nullptr;
  return device == nullptr ? state.relative_bias.data() : state.numbers().floats(*device, "relative bias", state.relative_bias);
}

/// Whether there is one.
bool RelativeBias::lay(ForwardState& state) const {
  if (table_ == nullptr) return shared_ && !state.relative_bias.empty();
  Tensor all({buckets_}, DType::int64);
  for (std::int64_t b = 0; b < buckets_; ++b) all.i64()[b] = b;
  const Tensor table = (*table_)(all, state).to(cpu_device());
  state.relative_bias.clear();
  state.relative_bias.reserve(static_cast<std::size_t>(heads_ * state.length * state.columns()));
  for (std::int64_t h = 0; h < heads_; ++h) {
    for (std::int64_t q = 0; q < state.length; ++q) {
      for (std::int64_t k = 0; k < state.columns(); ++k) {
        state.relative_bias.push_back(table.f32()[bucket(k - state.past - q) * heads_ + h]);
      }
    }
  }
  return true;
}

}  // namespace bigmodel
