// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generation/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace bigmodel {
namespace {

/// What the reference adds to scores that must not win. Its sums are float32, and so are ours: ties and roundings then agree.
constexpr float kBarred = -1e9F;

struct Beam {
  RowSoFar row;
  std::vector<float> logprobs;   ///< of the new tokens, where asked for
  float score = 0;               ///< running: sum of processed log probabilities; finished: that over the length's power
};

struct Candidate {
  std::size_t beam = 0;          ///< of the prompt
  std::int64_t token = 0;
  float score = 0;
};

struct Finished {
  Beam beam;
  FinishReason reason = FinishReason::length;
  bool complete = false;         ///< false: a place that nothing has taken yet
};

/// Indices of the `count` largest, best first; equal ones in their order.
std::vector<std::size_t> best(std::span<const float> values, std::size_t count) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  count = std::min(count, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(count),
                            [&](std::size_t a, std::size_t b) { return values[a] > values[b] || (values[a] == values[b] && a < b); });
  order.resize(count);
  return order;
}

std::vector<std::size_t> drawn(std::vector<float> values, std::size_t count, std::mt19937_64& random) {
  std::vector<std::size_t> out;
  while (out.size() < count && std::ranges::any_of(values, [](float v) { return v > -std::numeric_limits<float>::infinity(); })) {
    out.push_back(static_cast<std::size_t>(drawn_from(values, random)));
    values[out.back()] = -std::numeric_limits<float>::infinity();
  }
  return out;
}

/// The beams of one prompt.
class BeamGroup {
 public:
  BeamGroup(RowSoFar prompt, const GenerateOptions& options)
      : options_(options), prompt_length_(prompt.ids.size()), running_(static_cast<std::size_t>(options.beams)), finished_(running_.size()) {
    for (std::size_t b = 0; b < running_.size(); ++b) {
      running_[b].row = prompt;
      running_[b].score = b == 0 ? 0 : kBarred;   // else all would begin with the same token
      finished_[b].beam.score = kBarred;
    }
  }

  /// One step: `logits` [beams, vocabulary], the `count`th new token. Fills the beam that each running one continues.
  void advance(const float* logits, std::int64_t vocabulary, std::int64_t count, const EndOfRow& end, std::mt19937_64& random) {
    const std::size_t beams = running_.size();
    const auto width = static_cast<std::size_t>(vocabulary);
    std::vector<float> totals;
    std::vector<std::vector<float>> raw;
    for (std::size_t b = 0; b < beams; ++b) {
      std::vector<float> scores = log_softmax({logits + b * width, width});
      if (options_.logprobs) raw.push_back(scores);
      apply_rules(options_.rules, running_[b].row, scores);
      check_score(scores.front());   // of a softmax all are numbers or none is
      for (const float s : scores) totals.push_back(s + running_[b].score);
    }
    // One candidate more than can end a beam each, so that enough are left to go on with.
    const std::size_t keep = std::max<std::size_t>(2, 1 + options_.eos_ids.size()) * beams;
    const std::vector<std::size_t> chosen = options_.sample ? drawn(totals, keep, random) : best(totals, keep);
    std::vector<Beam> candidates;
    std::vector<std::optional<FinishReason>> ends;
    parents_.clear();
    std::vector<std::size_t> parents;
    for (const std::size_t at : chosen) {
      const Beam& from = running_[at / width];
      Beam& to = candidates.emplace_back(from);
      const auto token = static_cast<std::int64_t>(at % width);
      to.row.ids.push_back(token);
      if (options_.logprobs) to.logprobs.push_back(raw[at / width][at % width]);
      to.score = totals[at];
      ends.push_back(end.reason(to.row.ids, count));
      parents.push_back(at / width);
    }
    all_ended_ = std::ranges::all_of(ends, [](const auto& e) { return e.has_value(); });
    finish(candidates, ends, count);

    std::vector<float> going;
    for (std::size_t c = 0; c < candidates.size(); ++c) going.push_back(candidates[c].score + (ends[c] ? kBarred : 0.0F));
    std::vector<Beam> next;
    for (const std::size_t c : best(going, beams)) {
      next.push_back(candidates[c]);
      next.back().score = going[c];
      parents_.push_back(parents[c]);
    }
    // A vocabulary smaller than the beams: the last one is followed again, without a chance.
    while (next.size() < beams) {
      next.push_back(next.back());
      next.back().score = kBarred;
      parents_.push_back(parents_.back());
    }
    running_ = std::move(next);
    judge(count);
  }

  bool may_improve() const { return may_improve_; }
  bool all_ended() const { return all_ended_; }
  bool full() const { return std::ranges::all_of(finished_, [](const Finished& f) { return f.complete; }); }
  /// Which beams of the last step the running ones continue.
  const std::vector<std::size_t>& parents() const { return parents_; }
  const std::vector<Beam>& running() const { return running_; }
  std::size_t prompt_length() const { return prompt_length_; }
  /// Best first.
  const std::vector<Finished>& finished() const { return finished_; }

 private:
  float penalised(float score, std::int64_t length) const {
    return score / static_cast<float>(std::pow(static_cast<double>(length), options_.length_penalty));
  }

  /// Puts those of the first `beams` candidates that have ended among the finished ones.
  void finish(const std::vector<Beam>& candidates, const std::vector<std::optional<FinishReason>>& ends, std::int64_t count) {
    const bool closed = (full() && options_.early_stopping == EarlyStopping::yes) || !may_improve_;
    std::vector<float> scores;
    for (const Finished& f : finished_) scores.push_back(f.beam.score);
    std::vector<Finished> all = finished_;
    for (std::size_t c = 0; c < std::min(candidates.size(), running_.size()); ++c) {
      if (!ends[c]) continue;
      const float score = penalised(candidates[c].score, count) + (closed ? kBarred : 0.0F);
      scores.push_back(score);
      all.push_back({candidates[c], *ends[c], true});
      all.back().beam.score = score;
    }
    std::vector<Finished> kept;
    for (const std::size_t i : best(scores, finished_.size())) kept.push_back(all[i]);
    finished_ = std::move(kept);
  }

  /// Whether a running beam can still beat the worst finished one, by the reference's rule of thumb.
  void judge(std::int64_t count) {
    const bool hopeful = options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
    const float possible = penalised(running_.front().score, hopeful ? options_.max_new_tokens : count);
    float least = finished_.front().beam.score;
    for (const Finished& f : finished_) least = std::min(least, f.beam.score);
    const bool beats = std::ranges::any_of(finished_, [&](const Finished& f) { return possible > (f.complete ? least : kBarred); });
    may_improve_ = may_improve_ && beats;
  }

  const GenerateOptions& options_;
  std::size_t prompt_length_;
  std::vector<Beam> running_;
  std::vector<Finished> finished_;
  std::vector<std::size_t> parents_;
  bool may_improve_ = true, all_ended_ = false;
};

}  // namespace

void search_beams(Decoding& decoding, Tensor logits, std::vector<RowSoFar> prompts, const GenerateOptions& options, GenerateResult& out) {
  const auto beams = static_cast<std::size_t>(options.beams);
  const EndOfRow end(options);
  std::mt19937_64 random(options.seed);
  std::vector<BeamGroup> groups;
  std::vector<std::int64_t> from;
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    from.insert(from.end(), beams, static_cast<std::int64_t>(p));
    groups.emplace_back(std::move(prompts[p]), options);
  }
  decoding.select(from);
  logits = select_rows(logits, from);
  for (std::int64_t count = 1;; ++count) {
    const std::int64_t vocabulary = logits.width();
    const std::int64_t positions = logits.rows() / decoding.rows();
    std::vector<float> last;
    std::vector<std::int64_t> next;
    from.clear();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      last.clear();
      for (std::size_t b = 0; b < beams; ++b) {
        const float* row = logits.f32() + (static_cast<std::int64_t>(g * beams + b + 1) * positions - 1) * vocabulary;
        last.insert(last.end(), row, row + vocabulary);
      }
      groups[g].advance(last.data(), vocabulary, count, end, random);
      for (std::size_t b = 0; b < beams; ++b) {
        next.push_back(groups[g].running()[b].row.ids.back());
        from.push_back(static_cast<std::int64_t>(g * beams + groups[g].parents()[b]));
      }
    }
    const bool improvable = std::ranges::any_of(groups, &BeamGroup::may_improve);
    const bool complete = options.early_stopping == EarlyStopping::yes && std::ranges::all_of(groups, &BeamGroup::full);
    if (!improvable || complete || std::ranges::all_of(groups, &BeamGroup::all_ended)) break;
    decoding.select(from);
    logits = decoding.step(next);
    ++out.decode_steps;
  }
  std::size_t row = 0;
  for (const BeamGroup& group : groups) {
    for (std::size_t s = 0; s < static_cast<std::size_t>(options.return_sequences); ++s, ++row) {
      const Finished& f = group.finished()[s];
      out.scores.push_back(f.beam.score);
      out.finish[row] = f.reason;
      if (!f.complete) continue;
      out.ids[row].assign(f.beam.row.ids.begin() + static_cast<std::ptrdiff_t>(group.prompt_length()), f.beam.row.ids.end());
      if (options.logprobs) out.logprobs[row] = f.beam.logprobs;
      if (!options.on_token) continue;
      for (std::size_t i = 0; i < out.ids[row].size(); ++i) {
        options.on_token(static_cast<std::int64_t>(row), out.ids[row][i], options.logprobs ? out.logprobs[row][i] : 0);
      }
    }
  }
}

}  // namespace bigmodel
