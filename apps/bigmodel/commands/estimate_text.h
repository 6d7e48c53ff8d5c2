// SPDX-License-Identifier: Apache-2.0
// How `estimate-memory` prints its result structs in each format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/planning/memory_estimate.h"
#include "commands/estimate_components.h"
#include "commands/estimate_inference.h"
#include "commands/estimate_stored.h"
#include "commands/estimate_training.h"
#include "commands/model_argument.h"
#include "render/format.h"
#include "render/output.h"

namespace bigmodel::app {

struct CheckpointClass {
  std::string class_name;
  std::int64_t parameters = 0;
  std::int64_t total_bytes = 0;  ///< in the first dtype of the call
};

struct EstimateResult {
  FoundModel model;
  /// Beside the rest a sentence-transformers model's; of pipelines, adapters and GGUF alone all that there is (`components_only`).
  std::optional<ComponentsResult> components;
  bool components_only = false;
  std::string model_type;
  std::string class_name;
  std::int64_t parameters = 0;  ///< elements, tied tensors once
  std::int64_t buffers = 0;     ///< elements
  std::int64_t tensors = 0;
  MemoryEstimate estimate;
  std::optional<CheckpointClass> checkpoint_class;  ///< where it differs from the class of the rows
  std::optional<StoredEstimate> stored;      ///< of a quantised model
  std::optional<PredictionEstimate> prediction;  ///< what a checkpoint keeps beside the model
  std::optional<InferenceResult> inference;  ///< where the call asks for it
  std::optional<TrainingResult> training;
  std::vector<std::string> assumptions;
  std::vector<std::string> warnings;
  std::vector<std::string> incomplete;  ///< what the figures leave out or guess; --strict ends with 1 where there is any
};

/// One result as Markdown.
std::string estimate_markdown(const EstimateResult& result);

/// All results of one call in one format; quiet prints one number a model: the total of the first dtype.
void print_estimates(const std::vector<EstimateResult>& results, Format format, bool quiet, Output& out);

}  // namespace bigmodel::app
