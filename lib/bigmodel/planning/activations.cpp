// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "activations";

std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }
std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }

std::int64_t out_of(const ModuleTemplate& module, std::string_view member) { return projection_shape(member_module(module, member)).out; }

class Reader {
 public:
  ActivationWidths widths;

  void walk(const ModuleTemplate& module) {
    if (!seen_.insert(&module).second) return;
    if (module.block && module.block->error.empty()) read(module, *module.block);
    for (const ModuleChild& child : module.children) walk(*child.module);
  }

 private:
  void read(const ModuleTemplate& module, const Block& block) {
    const std::string& kind = block.kind;
    if (kind == "attention" || kind == "latent_attention" || kind == "window_attention" || kind == "disentangled_attention") {
      std::int64_t width = 0;
      for (const char* part : {"q", "k", "v", "qkv", "q_up", "kv_up"}) width = add(width, out_of(module, part));
      const ProjectionShape out = projection_shape(member_module(module, "out"));
      width = add(width, out.in);
      widths.hidden = std::max(widths.hidden, out.out);
      widths.attention = std::max(widths.attention, width);
      if (kind == "attention" && flag_property(block, "causal") && (find_property(block, "window") != nullptr || find_property(block, "chunk") != nullptr)) {
        const std::int64_t separate = add(out_of(module, "k"), out_of(module, "v"));
        const std::int64_t heads = integer_property(block, "heads").value_or(0);
        const std::int64_t fused = mul(mul(2, integer_property(block, "kv_heads").value_or(heads)), integer_property(block, "head_dim").value_or(0));
        widths.windowed = std::max(widths.windowed, separate > 0 ? separate : fused);
      }
      widths.heads = std::max(widths.heads, integer_property(block, "heads").value_or(0));
    } else if (kind == "moe") {
      const std::int64_t top_k = integer_property(block, "top_k").value_or(1);
      const ModuleTemplate* experts = member_module(module, "experts");
      const TensorTemplate* stacked = experts == nullptr ? nullptr : member_tensor(*experts, "gate_up");
      if (stacked != nullptr && stacked->shape.size() == 3) {
        const bool input_first = widths.hidden != 0 && stacked->shape[1] == widths.hidden && stacked->shape[2] != widths.hidden;
        const std::int64_t both = stacked->shape[input_first ? 2 : 1];
        widths.experts = std::max(widths.experts, stacked->shape[0]);
        widths.feed_forward = std::max(widths.feed_forward, mul(top_k, add(both, both / 2)));
      }
    } else {
      // Feed-forward parts by members: gated_mlp, mlp, and layers that hold up and down themselves; mixers by what comes in.
      const std::int64_t up = out_of(module, "up"), gate = out_of(module, "gate"), fused = out_of(module, "gate_up");
      std::int64_t width = fused > 0 ? add(fused, fused / 2) : gate > 0 ? add(add(up, gate), up) : up;
      for (const char* part : {"in", "in_qkvz", "in_ba"}) width = add(width, out_of(module, part));
      widths.feed_forward = std::max(widths.feed_forward, width);
      if (kind == "causal_lm") widths.vocabulary = std::max(widths.vocabulary, out_of(module, "head"));
      const ProjectionShape down = projection_shape(member_module(module, kind.starts_with("mamba") || kind.starts_with("gated_") ? "out" : "down"));
      widths.hidden = std::max(widths.hidden, down.out);
    }
  }

  std::unordered_set<const ModuleTemplate*> seen_;
};

/// Without a causal_lm block: a direct child of the root whose weight has the rows of an embedding.
std::int64_t head_rows(const MetaGraph& graph) {
  for (const std::vector<std::string>& group : graph.tied) {
    for (const std::string& name : group) {
      if (std::count(name.begin(), name.end(), '.') != 1 || !name.ends_with(".weight")) continue;
      const ModuleTemplate* module = find_module(graph, std::string_view(name).substr(0, name.size() - 7));
      if (module != nullptr && module->layer_kind == "Linear") return projection_shape(module).out;
    }
  }
  const ModuleTemplate* head = find_module(graph, "lm_head");
  return projection_shape(head).out;
}

}  // namespace

ActivationWidths activation_widths(const MetaGraph& graph) {
  Reader reader;
  reader.walk(*graph.root);
  if (reader.widths.vocabulary == 0) reader.widths.vocabulary = head_rows(graph);
  return reader.widths;
}

ActivationSize activation_size(const ActivationWidths& widths, const ActivationRequest& request) {
  if (request.tokens < 1 || request.sequences < 1 || request.context < 1) {
    throw UsageError(fmt::format("activations: {} tokens of {} sequences over a context of {} make no sense, expected positive counts",
                                 request.tokens, request.sequences, request.context));
  }
  const auto bytes = [&](std::int64_t elements) { return byte_count(request.dtype, elements); };
  const std::int64_t tokens = request.tokens;
  ActivationSize out;
  out.residual_bytes = bytes(mul(mul(2, tokens), widths.hidden));
  out.attention_bytes = bytes(mul(tokens, add(widths.attention, request.drops_later ? widths.windowed : 0)));
  if (request.eager_attention) {
    const std::int64_t scores = mul(mul(tokens, widths.heads), request.context);
    out.attention_bytes = add(out.attention_bytes, add(request.scores_once ? 0 : bytes(scores), mul(scores, 4)));
  } else {
    out.attention_bytes = add(out.attention_bytes, mul(mul(tokens, widths.heads), 4));  // log-sum-exp
  }
  out.feed_forward_bytes = add(bytes(mul(tokens, widths.feed_forward)), mul(mul(tokens, widths.experts), 4));
  const std::int64_t rows = request.all_logits ? tokens : std::min(request.sequences, tokens);
  const std::int64_t logits = mul(rows, widths.vocabulary);
  out.logits_bytes = add(mul(logits, 4), request.all_logits && request.dtype != DType::float32 ? bytes(logits) : 0);
  out.peak_bytes = add(out.residual_bytes, std::max({out.attention_bytes, out.feed_forward_bytes, out.logits_bytes}));
  return out;
}

}  // namespace bigmodel
