// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/rope.h"

namespace bigmodel::ops {

void rope(float* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, std::span<const std::int64_t> positions,
          std::span<const float> inv_freq, float gain, RopePairing pairing) {
  const std::size_t pairs = inv_freq.size();
  BIGMODEL_ASSERT(static_cast<std::int64_t>(2 * pairs) <= head_dim && positions.size() == static_cast<std::size_t>(rows));
  std::vector<float> cosine(pairs);
  std::vector<float> sine(pairs);
  for (std::int64_t r = 0; r < rows; ++r) {
    // The angle is a float32 product in the reference too; for large positions its rounding shows.
    const auto position = static_cast<float>(positions[static_cast<std::size_t>(r)]);
    for (std::size_t i = 0; i < pairs; ++i) {
      const float angle = position * inv_freq[i];
      cosine[i] = std::cos(angle) * gain;
      sine[i] = std::sin(angle) * gain;
    }
    for (std::int64_t h = 0; h < heads; ++h) {
      float* head = x + (r * heads + h) * head_dim;
      for (std::size_t i = 0; i < pairs; ++i) {
        float& a = pairing == RopePairing::half ? head[i] : head[2 * i];
        float& b = pairing == RopePairing::half ? head[i + pairs] : head[2 * i + 1];
        const float first = a * cosine[i] - b * sine[i];
        b = b * cosine[i] + a * sine[i];
        a = first;
      }
    }
  }
}

}  // namespace bigmodel::ops
