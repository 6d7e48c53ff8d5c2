// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/attention.h"
#include "bigmodel/ops/dot_kernels.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel::ops {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// The keys [from, to) that query number `at` may see by distance.
std::pair<std::int64_t, std::int64_t> visible(const AttentionRule& rule, std::int64_t at, std::int64_t keys) {
  std::int64_t from = 0;
  std::int64_t to = keys;
  if (rule.causal) to = std::min(to, at + 1);
  if (rule.window > 0) from = std::max(from, at - rule.window + 1);
  if (rule.window > 0 && !rule.causal && rule.window_ahead >= 0) to = std::min(to, at + rule.window_ahead + 1);
  if (rule.chunk > 0) from = std::max(from, at / rule.chunk * rule.chunk);
  return {from, std::max(from, to)};
}

/// A few queries of one head, with room for their scores.
class HeadBlock {
 public:
  HeadBlock(const DotKernels& kernels, const AttentionInput& in, const AttentionRule& rule, float* out, DType kept)
      : kernels_(kernels), in_(in), rule_(rule), out_(out), kept_(kept), element_bytes_(bit_size(kept) / 8) {}

  void run(std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t count) {
    std::int64_t from = in_.keys;
    std::int64_t end = 0;
    for (std::int64_t i = first; i < first + count; ++i) {
      const auto [f, e] = visible(rule_, in_.first_query + i, in_.keys);
      if (f < e) {
        from = std::min(from, f);
        end = std::max(end, e);
      }
    }
    const std::int64_t kv = b * in_.kv_heads + h / (in_.heads / in_.kv_heads);
    const std::int64_t key_bytes = in_.head_dim * element_bytes_;
    const std::byte* keys = reinterpret_cast<const std::byte*>(in_.k) + kv * in_.capacity * key_bytes;
    width_ = std::max<std::int64_t>(end - from, 0);
    BIGMODEL_ASSERT(width_ == 0 || from >= in_.first_key);
    scores_.resize(static_cast<std::size_t>(std::max(width_ * count, in_.keys)));
    const std::int64_t step = in_.heads * in_.head_dim;
    for (std::int64_t j = 0; j < width_; j += kernels_.tile_outs) {
      kernels_.of(kept_)(in_.q + ((b * in_.queries + first) * in_.heads + h) * in_.head_dim, step, count, keys + (from - in_.first_key + j) * key_bytes,
                         key_bytes, std::min(kernels_.tile_outs, width_ - j), in_.head_dim, scores_.data() + j, width_);
    }
    seen_.clear();
    for (std::int64_t i = 0; i < count; ++i) seen_.push_back(weigh(b, h, first + i, from, scores_.data() + i * width_));
    if (kept_ != DType::float32) {
      for (const Seen& s : seen_) {
        if (s.from == s.end) continue;
        from = std::min(from, s.from);
        end = std::max(end, s.end);
      }
      sum_widened(b, h, kv, first, from, end);
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const Seen& s = seen_[static_cast<std::size_t>(i)];
      if (s.from == s.end) continue;
      float* to = out_ + ((b * in_.queries + first + i) * in_.heads + h) * in_.value_dim;
      kernels_.weighted_sum(s.weights, s.end - s.from, in_.v + (kv * in_.capacity + s.from - in_.first_key) * in_.value_dim, in_.value_dim, to);
    }
  }

 private:
  /// The keys of a query and what each value counts.
  struct Seen {
    const float* weights = nullptr;
    std::int64_t from = 0, end = 0;
  };

  /// The softmax of one query's scores of the keys from `scored_from` on. One that sees nothing is zeros at once, or has equal weights.
  Seen weigh(std::int64_t b, std::int64_t h, std::int64_t query, std::int64_t scored_from, float* scores) {
    const std::uint8_t* valid = rule_.key_valid == nullptr ? nullptr : rule_.key_valid + b * in_.keys;
    const float* key_bias = rule_.key_bias == nullptr ? nullptr : rule_.key_bias + (b * in_.heads + h) * in_.keys;
    const float* bias = rule_.bias == nullptr ? nullptr : rule_.bias + (h * in_.queries + query) * in_.keys;
    float* to = out_ + ((b * in_.queries + query) * in_.heads + h) * in_.value_dim;
    auto [from, end] = visible(rule_, in_.first_query + query, in_.keys);
    float top = rule_.sinks == nullptr ? kNever : rule_.sinks[h];
    const float sink = top;
    bool sees = false;
    for (std::int64_t j = from; j < end; ++j) {
      float& score = scores[j - scored_from];
      if (valid != nullptr && valid[j] == 0) {
        score = kNever;
        continue;
      }
      sees = true;
      score *= rule_.scale;
      if (key_bias != nullptr) score += key_bias[j];
      if (bias != nullptr) score += bias[j];
      if (rule_.soft_cap > 0) score = rule_.soft_cap * std::tanh(score / rule_.soft_cap);
      top = std::max(top, score);
    }
    if (!sees && !rule_.spread_when_blind) {
      std::fill(to, to + in_.value_dim, 0.0F);
      return {};
    }
    if (!sees) {
      BIGMODEL_ASSERT(in_.first_key == 0);
      blind_.assign(static_cast<std::size_t>(in_.keys), 1.0F / static_cast<float>(in_.keys));
      return {blind_.data(), 0, in_.keys};
    }
    float* weights = scores + (from - scored_from);
    const float total = kernels_.exp_and_sum(weights, end - from, top) + (rule_.sinks == nullptr ? 0.0F : std::exp(sink - top));
    for (std::int64_t j = 0; j < end - from; ++j) weights[j] /= total;
    return {weights, from, end};
  }

  /// The sums of values in two bytes, each made float32 once for all queries. Parts of the sums begin at multiples of kAtOnce, so that they do not
  /// depend on which queries are here together.
  void sum_widened(std::int64_t b, std::int64_t h, std::int64_t kv, std::int64_t first, std::int64_t from, std::int64_t end) {
    constexpr std::int64_t kAtOnce = 128;   // rows that are still near when they are summed
    const std::int64_t width = in_.value_dim;
    widened_.resize(static_cast<std::size_t>((kAtOnce + 1) * width));
    float* part = widened_.data() + kAtOnce * width;
    for (std::int64_t part_start = from / kAtOnce * kAtOnce; part_start < end; part_start += kAtOnce) {
      const std::int64_t start = std::max(part_start, in_.first_key);
      const std::int64_t stop = std::min(part_start + kAtOnce, in_.keys);
      const std::byte* values = reinterpret_cast<const std::byte*>(in_.v) + (kv * in_.capacity + start - in_.first_key) * width * 2;
      if (kept_ == DType::float16) {
        kernels_.widen_f16(reinterpret_cast<const std::uint16_t*>(values), widened_.data(), (stop - start) * width);
      } else {
        widen({kept_, {}, values}, 0, (stop - start) * width, widened_.data());
      }
      for (std::size_t i = 0; i < seen_.size(); ++i) {
        const std::int64_t low = std::max(start, seen_[i].from), high = std::min(stop, seen_[i].end);
        if (low >= high) continue;
        float* to = out_ + ((b * in_.queries + first + static_cast<std::int64_t>(i)) * in_.heads + h) * width;
        const bool begins = low == seen_[i].from;
        kernels_.weighted_sum(seen_[i].weights + (low - seen_[i].from), high - low, widened_.data() + (low - start) * width, width, begins ? to : part);
        if (!begins) kernels_.add_scaled(1, part, to, width);
      }
    }
  }

  const DotKernels& kernels_;
  const AttentionInput& in_;
  const AttentionRule& rule_;
  float* out_;
  DType kept_;
  std::int64_t element_bytes_;
  std::int64_t width_ = 0;
  std::vector<float> scores_, blind_, widened_;
  std::vector<Seen> seen_;
};

}  // namespace

void attention(const CpuContext& cpu, const AttentionInput& in, const AttentionRule& rule, float* out, DType kept) {
  BIGMODEL_ASSERT(in.kv_heads > 0 && in.heads % in.kv_heads == 0 && in.first_key >= 0 && in.keys - in.first_key <= in.capacity);
  const DotKernels& kernels = dot_kernels(cpu.isa);
  const std::int64_t blocks = (in.queries + kernels.tile_rows - 1) / kernels.tile_rows;
  // Small work is not worth waking anybody.
  const std::int64_t work = std::max<std::int64_t>(1, in.keys * in.head_dim * std::min(in.queries, kernels.tile_rows));
  cpu.parallel_for(in.batch * in.heads * blocks, std::max<std::int64_t>(1, 32768 / work), [&](std::int64_t begin, std::int64_t end, int) {
    HeadBlock block(kernels, in, rule, out, kept);
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t first = n % blocks * kernels.tile_rows;
      block.run(n / blocks / in.heads, n / blocks % in.heads, first, std::min(kernels.tile_rows, in.queries - first));
    }
  });
}

}  // namespace bigmodel::ops
