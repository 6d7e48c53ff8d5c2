// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/alibi.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "bigmodel/engine/roles.h"

namespace bigmodel {
namespace {

/// To bfloat16, nearest even; finite values only.
float rounded(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u);
}

}  // namespace

Alibi::Alibi(Roles& roles, std::int64_t heads) {
  const bool on = roles.boolean("alibi", false);
  const float most = roles.number("alibi_max", 8.0F);
  const std::string rounding = roles.text("alibi_rounding", "");
  scale_ = roles.number("alibi_scale", 1.0F);
  if (!on) return;
  if (!rounding.empty() && rounding != "bfloat16") roles.refuse("alibi_rounding", fmt::format("unknown '{}'", rounding));
  round_ = !rounding.empty();
  // The slopes of the next power of two; where there are fewer heads, first every second one, then the others.
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(heads)));
  std::vector<float> all;
  for (std::int64_t i = 1; i <= power; ++i) all.push_back(static_cast<float>(std::exp2(-static_cast<double>(i) * most / static_cast<double>(power))));
  if (power == heads) {
    slopes_ = all;
  } else {
    for (std::size_t i = 1; i < all.size(); i += 2) slopes_.push_back(all[i]);
    for (std::size_t i = 0; i < all.size(); i += 2) slopes_.push_back(all[i]);
    slopes_.resize(static_cast<std::size_t>(heads));
  }
  if (round_) {
    for (float& s : slopes_) s = rounded(s);
  }
}

std::vector<float> Alibi::key_bias(const ForwardState& state) const {
  const std::int64_t columns = state.columns();
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(state.batch * columns) * slopes_.size());
  for (std::int64_t b = 0; b < state.batch; ++b) {
    for (const float slope : slopes_) {
      std::int64_t position = -1;
      for (std::int64_t c = 0; c < columns; ++c) {
        const bool token = state.is_token(b, c);
        if (token) ++position;
        const float bias = token ? slope * static_cast<float>(position) : 0.0F;
        out.push_back((round_ ? rounded(bias) : bias) * scale_);
      }
    }
  }
  return out;
}

}  // namespace bigmodel
