// SPDX-License-Identifier: Apache-2.0
// Inverse frequencies of rotary positions in all their scalings, from the roles rope_*.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/ops/rope.h"

namespace bigmodel {

class Roles;
struct ForwardState;
class Tensor;

/// default, linear, dynamic, yarn, longrope, llama3, proportional: transformers 5's ROPE_INIT_FUNCTIONS, computed in float32 where
/// the reference does so.
class RopeTable {
 public:
  /// Roles: rope ("half", "interleaved"; null: no rope), rope_dim, rope_theta, rope_scaling (a map with rope_type), rope_max_positions,
  /// rope_original_positions, rope_short_only; rope_sections (pairs that
  /// turn by each axis of state.axis_positions in turn), rope_axes (so many axes, each with the frequencies of its share of the pairs). Throws UnsupportedError for an unknown rope_type.
  explicit RopeTable(Roles& roles, std::int64_t head_dim);

  bool present() const noexcept { return present_; }
  std::int64_t dim() const noexcept { return dim_; }
  ops::RopePairing pairing() const noexcept { return pairing_; }

  struct Frequencies {
    std::vector<float> inv_freq;
    float gain = 1;   ///< on cosine and sine
  };
  /// `longest` is 1 + the largest position of the batch: dynamic and longrope change with it.
  Frequencies frequencies(std::int64_t longest) const;

  /// Turns x [rows, heads, head_dim] in place by the state's positions, where rope is present.
  void apply(const Tensor& x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, ForwardState& state) const;

 private:
  enum class Kind { plain, linear, dynamic, yarn, longrope, llama3, proportional };

  bool present_ = false;
  ops::RopePairing pairing_ = ops::RopePairing::half;
  Kind kind_ = Kind::plain;
  std::int64_t dim_ = 0;
  double theta_ = 10000;
  double factor_ = 1;
  std::int64_t max_positions_ = 0, original_positions_ = 0;
  double gain_ = 1, long_gain_ = 1;
  double beta_fast_ = 32, beta_slow_ = 1;
  bool truncate_ = true;
  double low_ = 1, high_ = 4;
  double proportion_ = 1;
  std::vector<std::int64_t> sections_;   ///< pairs per axis; empty: one axis
  std::int64_t axes_ = 1;                ///< > 1: each axis has frequencies of its own
  bool short_only_ = false;       ///< longrope: the short factors, whatever the length
  std::vector<double> short_factors_, long_factors_;
};

}  // namespace bigmodel
