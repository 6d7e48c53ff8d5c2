// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <span>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::int64_t largest(const float* logits, std::int64_t count) {
  std::int64_t best = 0;
  for (std::int64_t i = 1; i < count; ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

/// The softmax's share of each token on a line from 0 to 1, and where a random number falls on it.
std::int64_t drawn(std::span<const float> scores, std::mt19937_64& random) {
  const float top = *std::ranges::max_element(scores);
  double total = 0;
  for (const float s : scores) total += std::exp(static_cast<double>(s) - top);
  double left = static_cast<double>(random() >> 11) * 0x1p-53 * total;
  std::int64_t last = largest(scores.data(), static_cast<std::int64_t>(scores.size()));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double share = std::exp(static_cast<double>(scores[i]) - top);
    if (share > 0 && left < share) return static_cast<std::int64_t>(i);
    left -= share;
  }
  return last;
}

/// Every row with one more id behind it.
std::vector<std::int64_t> joined(const std::vector<std::int64_t>& ids, const std::vector<std::int64_t>& next, std::int64_t rows) {
  const auto length = static_cast<std::ptrdiff_t>(ids.size()) / rows;
  std::vector<std::int64_t> out;
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    out.insert(out.end(), ids.begin() + r * length, ids.begin() + (r + 1) * length);
    out.push_back(next[static_cast<std::size_t>(r)]);
  }
  return out;
}

}  // namespace

std::string_view to_string(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::length: return "length";
    case FinishReason::eos: return "eos";
    case FinishReason::stop: return "stop";
  }
  return "";
}

TokenBatch pad_left(const std::vector<std::vector<std::int64_t>>& prompts, std::int64_t pad_id) {
  if (prompts.empty()) throw UsageError("the prompt: there is none, expected at least one");
  TokenBatch out;
  out.rows = static_cast<std::int64_t>(prompts.size());
  bool even = true;
  for (const auto& p : prompts) {
    if (p.empty()) throw UsageError("the prompt: it has no tokens, expected at least one");
    even = even && p.size() == prompts.front().size();
    out.length = std::max(out.length, static_cast<std::int64_t>(p.size()));
  }
  for (const auto& p : prompts) {
    const auto padding = static_cast<std::size_t>(out.length) - p.size();
    out.ids.insert(out.ids.end(), padding, pad_id);
    out.ids.insert(out.ids.end(), p.begin(), p.end());
    if (even) continue;
    out.valid.insert(out.valid.end(), padding, 0);
    out.valid.insert(out.valid.end(), p.size(), 1);
  }
  return out;
}

GenerateResult generate(LoadedModel& model, const TokenBatch& prompt, const GenerateOptions& options) {
  GenerateResult out;
  const auto rows = static_cast<std::size_t>(prompt.rows);
  out.ids.resize(rows);
  out.finish.assign(rows, FinishReason::length);
  std::vector<bool> ended(rows, false);
  std::mt19937_64 random(options.seed);
  std::vector<std::vector<std::int64_t>> history(rows);
  std::vector<std::size_t> padding(rows, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto from = prompt.ids.begin() + static_cast<std::ptrdiff_t>(r) * prompt.length;
    history[r].assign(from, from + prompt.length);
    while (!prompt.valid.empty() && padding[r] < history[r].size() && prompt.valid[r * history[r].size() + padding[r]] == 0) ++padding[r];
  }
  Cache cache;
  ForwardState state;
  state.batch = prompt.rows;
  state.length = prompt.length;
  state.valid = prompt.valid;
  state.cache = options.use_cache ? &cache : nullptr;
  state.last_only = !options.all_logits;
  state.work = options.work;
  state.memory_valid = prompt.encoder_valid;
  place_tokens(state);

  std::vector<std::int64_t> ids = prompt.ids;
  auto start = std::chrono::steady_clock::now();
  Tensor logits = model.forward({Tensor::of_ids({prompt.rows, prompt.length}, prompt.ids), prompt.encoder_input}, state);
  cache.advance(prompt.length);
  out.prefill_s = seconds_since(start);
  if (options.all_logits) out.logits = logits;

  start = std::chrono::steady_clock::now();
  for (std::int64_t step = 0; step < options.max_new_tokens; ++step) {
    const std::int64_t vocabulary = logits.width();
    const std::int64_t last = logits.rows() / prompt.rows;
    std::vector<std::int64_t> next(rows, options.pad_id);
    for (std::size_t r = 0; r < rows; ++r) {
      if (ended[r]) continue;
      const float* row = logits.f32() + ((static_cast<std::int64_t>(r) + 1) * last - 1) * vocabulary;
      std::vector<float> scores(row, row + vocabulary);
      for (const LogitsRule& rule : options.rules) rule.apply(TokenIds(history[r]).subspan(rule.without_padding ? padding[r] : 0), scores);
      next[r] = options.sample ? drawn(scores, random) : largest(scores.data(), vocabulary);
      history[r].push_back(next[r]);
      out.ids[r].push_back(next[r]);
      if (options.on_token) options.on_token(static_cast<std::int64_t>(r), next[r]);
      if (std::ranges::find(options.eos_ids, next[r]) != options.eos_ids.end()) {
        ended[r] = true;
        out.finish[r] = FinishReason::eos;
      }
    }
    if (step + 1 == options.max_new_tokens || std::ranges::all_of(ended, [](bool e) { return e; })) break;
    if (!state.valid.empty()) {
      std::vector<std::uint8_t> valid;
      const std::int64_t columns = state.columns();
      for (std::size_t r = 0; r < rows; ++r) {
        const auto from = state.valid.begin() + static_cast<std::ptrdiff_t>(r) * columns;
        valid.insert(valid.end(), from, from + columns);
        valid.push_back(1);
      }
      state.valid = std::move(valid);
    }
    state.last_only = true;
    if (options.use_cache) {
      state.past = cache.columns();
      state.length = 1;
    } else {
      next = joined(ids, next, prompt.rows);
      ids = next;
      ++state.length;
    }
    place_tokens(state);
    logits = model.forward(Tensor::of_ids({prompt.rows, state.length}, next), state);
    cache.advance(1);
    ++out.decode_steps;
  }
  out.decode_s = seconds_since(start);
  out.cache_bytes = cache.size_bytes();
  return out;
}

}  // namespace bigmodel
