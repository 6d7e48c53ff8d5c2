// SPDX-License-Identifier: Apache-2.0
// Which experts a token goes to, and with which weights, from the router's logits.
#pragma once

#include <cstdint>
#include <span>

namespace bigmodel {

class Roles;

/// The rules of one router: roles top_k, score, groups, top_groups, group_score, normalise, normalise_eps (added to the sum), scale, jitter.
class Routing {
 public:
  explicit Routing(Roles& roles);

  std::int64_t top_k() const noexcept { return top_k_; }
  /// logits [experts]; choice_bias is added for the choice only (empty: none); ids and weights [top_k]. Ties go to the lower id.
  void route(std::span<const float> logits, std::span<const float> choice_bias, std::int64_t* ids, float* weights) const;

 private:
  enum class Score {
    softmax,              ///< of all logits
    sigmoid,
    softmax_after_top_k,  ///< of the chosen logits
    sparse_mixer,         ///< two experts, one after the other, each by the softmax of those near the best
  };
  void sparse_mixer(std::span<const float> logits, std::int64_t* ids, float* weights) const;

  std::int64_t top_k_;
  Score score_ = Score::softmax;
  std::int64_t groups_ = 0, top_groups_ = 0;
  bool group_by_max_ = false;   ///< else by the sum of the two best
  bool normalise_ = false;
  float normalise_eps_ = 0;
  float scale_ = 1, jitter_ = 0;
};

}  // namespace bigmodel
