// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/routing.h"

#include <fmt/format.h>

#include "bigmodel/engine/roles.h"

namespace bigmodel {

ops::RoutingRule routing_rule(Roles& roles) {
  using Score = ops::RoutingRule::Score;
  ops::RoutingRule out;
  out.top_k = roles.integer("top_k");
  out.groups = roles.integer("groups", 0);
  out.top_groups = roles.integer("top_groups", 0);
  out.normalise = roles.boolean("normalise", false);
  out.scale = roles.number("scale", 1.0F);
  out.jitter = roles.number("jitter", 0.0F);
  const std::string score = roles.text("score", "");
  const std::string group_score = roles.text("group_score", "top2_sum");
  if (score == "softmax") {
    out.score = Score::softmax;
  } else if (score == "sigmoid") {
    out.score = Score::sigmoid;
  } else if (score == "softmax_after_top_k") {
    out.score = Score::softmax_after_top_k;
  } else if (score == "sparse_mixer") {
    out.score = Score::sparse_mixer;
    if (out.top_k != 2) roles.refuse("top_k", fmt::format("{} with a router that picks two", out.top_k));
  } else {
    roles.refuse("score", fmt::format("unknown '{}'", score));
  }
  out.normalise_eps = roles.number("normalise_eps", out.score == Score::sigmoid ? 1e-20F : 0.0F);
  if (group_score != "top2_sum" && group_score != "max") roles.refuse("group_score", fmt::format("unknown '{}'", group_score));
  out.group_by_max = group_score == "max";
  if (out.top_k <= 0 || (out.groups > 0 && (out.top_groups <= 0 || out.top_groups > out.groups))) {
    roles.refuse("top_k", fmt::format("{} in {} of {} groups", out.top_k, out.top_groups, out.groups));
  }
  return out;
}

}  // namespace bigmodel
