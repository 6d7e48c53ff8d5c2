// SPDX-License-Identifier: Apache-2.0
// transformers' model surgery on models in memory: embeddings and heads found, resized and tied again, attention heads taken out.
#pragma once

#include <cstdint>
#include <optional>

#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/engine/resize_vocabulary.h"
#include "bigmodel/model/prune_heads.h"

namespace bigmodel {

/// The table of tokens: by the roles (body, text, decoder, embed, words) of a described model; of modules of one's own the first Embedding.
/// Throws NotFoundError where there is none.
Module& get_input_embeddings(Module& model);
/// The layer that scores tokens: a head's role, or of one's own modules a Linear named lm_head; null where there is none (or where a head gives
/// something else than one score a token).
Module* get_output_embeddings(Module& model);

/// Gives the table other elements, [tokens, size]: modules stay, as blocks hold on to them. A tie to the head is broken until tie_weights.
/// Throws NotFoundError, UsageError (no matrix of that width).
void set_input_embeddings(Module& model, StoredTensor weight);
void set_output_embeddings(Module& model, StoredTensor weight);

/// Every group of the graph becomes one parameter again: all names take the elements of the tie's source (input embeddings for heads).
/// Throws UsageError where shapes differ.
void tie_weights(Module& model, const MetaGraph& graph);
void tie_weights(LoadedModel& model);

struct ResizeTokenEmbeddings {
  std::optional<std::int64_t> new_num_tokens;    ///< none: as many as there are
  std::int64_t pad_to_multiple_of = 0;           ///< rounds up; 0: not
  bool mean_resizing = true;                     ///< new rows are the mean of the old ones, else zeros
};

/// Of modules of one's own: the input embeddings and, where there are any, the output embeddings with their bias; ties stay. Returns the former.
/// Where it throws, nothing has changed: NotFoundError (no embeddings), UsageError (a size below 1, weights that sleep, a forward that runs).
Module& resize_token_embeddings(Module& model, const ResizeTokenEmbeddings& wanted);

/// Of a described model: every tensor that the vocabulary shapes, the graph and the config (as resize_vocabulary does on files); save_pretrained
/// writes what it has become. Where it throws, nothing has changed: what plan_vocabulary throws, UsageError (weights that are streamed).
Module& resize_token_embeddings(LoadedModel& model, spec::SpecLibrary& library, const ResizeTokenEmbeddings& wanted);

/// Takes heads out of modules whose roles are known, which need not be a whole model; numbered as before any pruning, `already` are gone.
/// Where it throws, nothing has changed: what the graph's prune_heads throws, UsageError (weights that sleep, a forward that runs).
void prune_heads(Module& model, const HeadsByLayer& heads, const HeadsByLayer& already = {});

/// The same with the graph and the config, whose `pruned_heads` says what is gone; save_pretrained writes what it has become.
void prune_heads(LoadedModel& model, spec::SpecLibrary& library, const HeadsByLayer& heads);

}  // namespace bigmodel
