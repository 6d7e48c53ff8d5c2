// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/generation/beam_search.h"
#include "bigmodel/engine/generation/token_choice.h"

namespace bigmodel {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void check(const GenerateOptions& options) {
  if (options.max_new_tokens < 0) throw UsageError(fmt::format("new tokens: {}, expected 0 or more", options.max_new_tokens));
  if (options.beams < 1 || options.beams > kMostBeams) throw UsageError(fmt::format("beams: {}, expected 1 to {}", options.beams, kMostBeams));
  if (options.cache_dtype != DType::float32 && options.cache_dtype != DType::bfloat16 && options.cache_dtype != DType::float16) {
    throw UsageError(fmt::format("keys and values: are not kept in {}, expected float32, bfloat16 or float16", name(options.cache_dtype)));
  }
  const std::int64_t most = options.beams > 1 ? options.beams : options.sample ? kMostBeams : 1;
  if (options.return_sequences < 1 || options.return_sequences > most) {
    throw UsageError(fmt::format("sequences of a prompt: {}, expected 1 to {}", options.return_sequences, most), "more need as many beams, or draws");
  }
}

/// One token a row and pass, until every row has ended.
void choose_tokens(Decoding& decoding, Tensor logits, std::vector<RowSoFar> rows, const GenerateOptions& options, GenerateResult& out) {
  std::mt19937_64 random(options.seed);
  const EndOfRow end(options);
  std::vector<bool> ended(rows.size(), false);
  // Where nothing but the largest logit counts, an accelerator finds it, and the vocabulary stays there.
  const bool largest_alone = !options.sample && options.rules.empty() && !options.logprobs && decoding.chooses_on_device();
  std::vector<std::int64_t> largest;
  for (std::int64_t count = 1; count <= options.max_new_tokens; ++count) {
    std::vector<std::int64_t> next(rows.size(), options.pad_id);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (ended[r]) continue;
      std::span<const float> own;
      if (largest.empty()) {
        const std::int64_t last = logits.rows() / decoding.rows();
        own = {logits.f32() + ((static_cast<std::int64_t>(r) + 1) * last - 1) * logits.width(), static_cast<std::size_t>(logits.width())};
        std::vector<float> scores(own.begin(), own.end());
        apply_rules(options.rules, rows[r], scores);
        next[r] = options.sample ? drawn_from(scores, random) : largest_of(scores);
        check_score(scores[static_cast<std::size_t>(next[r])]);
      } else {
        next[r] = largest[r];
      }
      rows[r].ids.push_back(next[r]);
      out.ids[r].push_back(next[r]);
      if (options.logprobs) out.logprobs[r].push_back(log_softmax(own)[static_cast<std::size_t>(next[r])]);
      if (options.on_token) options.on_token(static_cast<std::int64_t>(r), next[r], options.logprobs ? out.logprobs[r].back() : 0);
      if (const std::optional<FinishReason> reason = end.reason(rows[r].ids, count)) {
        ended[r] = true;
        out.finish[r] = *reason;
      }
    }
    if (std::ranges::all_of(ended, [](bool e) { return e; })) return;
    if (largest_alone) {
      largest = decoding.step_largest(next);
    } else {
      logits = decoding.step(next);
    }
    ++out.decode_steps;
  }
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
  check(options);
  GenerateResult out;
  Decoding decoding(model, prompt, options.max_new_tokens, options.use_cache, options.work, options.cache_dtype);
  auto start = std::chrono::steady_clock::now();
  Tensor logits = decoding.run_prompt(options.all_logits);
  out.prefill_s = seconds_since(start);
  if (options.all_logits) out.logits = logits;

  start = std::chrono::steady_clock::now();
  std::vector<RowSoFar> rows = rows_of(prompt);
  const auto results = static_cast<std::size_t>(prompt.rows * options.return_sequences);
  out.ids.resize(results);
  out.finish.assign(results, FinishReason::length);
  if (options.logprobs) out.logprobs.resize(results);
  if (options.beams > 1) {
    if (options.max_new_tokens > 0) search_beams(decoding, logits, std::move(rows), options, out);
  } else {
    if (options.return_sequences > 1) {
      std::vector<std::int64_t> copies;
      std::vector<RowSoFar> copied;
      for (std::size_t i = 0; i < results; ++i) {
        copies.push_back(static_cast<std::int64_t>(i) / options.return_sequences);
        copied.push_back(rows[static_cast<std::size_t>(copies.back())]);
      }
      decoding.select(copies);
      logits = select_rows(logits, copies);
      rows = std::move(copied);
    }
    choose_tokens(decoding, logits, std::move(rows), options, out);
  }
  out.decode_s = seconds_since(start);
  out.cache_bytes = decoding.cache_bytes();
  return out;
}

}  // namespace bigmodel
