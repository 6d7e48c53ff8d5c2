// SPDX-License-Identifier: Apache-2.0
// A batch of prompts on its way through a model: the prompt in one pass, then a token a pass, with a cache or without.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/engine/loaded_model.h"

namespace bigmodel {

/// Prompts of a batch, padded to one length.
struct TokenBatch {
  std::int64_t rows = 0, length = 0;
  std::vector<std::int64_t> ids;        ///< [rows, length]
  std::vector<std::uint8_t> valid;      ///< [rows, length], 0 for padding; empty: no padding
  Tensor encoder_input;                 ///< of encoder-decoders: ids [rows, encoder length] or features; `ids` then start the decoder
  Tensor pixels, image_grid;            ///< of models of text and images: as ForwardState has them
  std::vector<std::uint8_t> encoder_valid;   ///< [rows, encoder length], 0 for padding; empty: no padding
};

/// One thread. Throws what the model's forward throws.
class Decoding {
 public:
  /// Without a cache every step runs the whole sequence again. `model` must outlive it.
  /// `new_tokens`: how many steps there will be at most, for which the cache has room from the start. `cache_dtype`: of keys and values in RAM.
  Decoding(LoadedModel& model, const TokenBatch& prompt, std::int64_t new_tokens, bool use_cache, const WorkContext& work, DType cache_dtype = DType::float32);
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;

  /// Logits of the prompt: [rows, 1, vocabulary] of its last token, or [rows, length, vocabulary]. Once, before any step.
  Tensor run_prompt(bool all_logits);
  /// Logits [rows, 1, vocabulary] behind one more token a row.
  Tensor step(std::span<const std::int64_t> next);
  /// Whether step_largest() may be called: one accelerator has everything.
  bool chooses_on_device() const noexcept { return model_.only_accelerator() != nullptr && state_.cache != nullptr; }
  /// The first of the largest logits of every row behind one more token a row, chosen where they lie.
  std::vector<std::int64_t> step_largest(std::span<const std::int64_t> next);
  /// From here on row i goes on from what was row `rows[i]`; there may be more or fewer of them.
  void select(std::span<const std::int64_t> rows);

  std::int64_t rows() const noexcept { return state_.batch; }
  std::uint64_t cache_bytes() const { return cache_.size_bytes(); }
  /// Whether passes are repeated from a recording by now.
  bool is_recorded() const noexcept { return recorded_ != nullptr; }

 private:
  /// Brings device_logits_ where one accelerator does everything: the pass is recorded once, and then repeated.
  void step_on(const Accelerator& device, std::span<const std::int64_t> next);
  void begin_step(std::span<const std::int64_t> next);

  LoadedModel& model_;
  Cache cache_;
  ForwardState state_;
  std::vector<std::int64_t> ids_;   ///< [rows, columns] so far; kept without a cache only
  Tensor encoder_input_;
  Tensor device_ids_, device_logits_, device_largest_;
  std::unique_ptr<RecordedWork> recorded_;
  bool repeatable_ = false;         ///< the last pass on the accelerator could have been recorded
};

}  // namespace bigmodel
