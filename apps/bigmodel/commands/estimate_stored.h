// SPDX-License-Identifier: Apache-2.0
// The part of `estimate-memory` that prices a quantised model as its checkpoint stores it: from headers where there are some, else from
// the config.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/planning/stored_weights.h"
#include "commands/model_argument.h"

namespace bigmodel::app {

struct StoredEstimate {
  StoredWeights weights;      ///< from headers: parts by stored dtype, without parameters of their own
  std::string from;           ///< "config" or "headers"
  DType compute_dtype = DType::bfloat16;  ///< what is computed in: of caches and activations
  std::vector<std::string> warnings;
};

/// Empty where the config states no quantisation.
std::optional<StoredEstimate> estimate_stored(spec::SpecLibrary& library, const FoundModel& model);

/// Layers of multi-token prediction that a checkpoint keeps beside the model: not loaded, not part of any other figure.
struct PredictionEstimate {
  std::int64_t layers = 0;
  StoredWeights weights;      ///< as the config lets expect them in files
};

/// Empty where the config states none, or the description does not know them.
std::optional<PredictionEstimate> estimate_prediction(spec::SpecLibrary& library, const Config& config);

/// "beside it 1 layer of multi-token prediction: 13,463,426,304 parameters, 12.6 GiB stored; not loaded"
std::string prediction_line(const PredictionEstimate& prediction);
nlohmann::ordered_json prediction_json(const PredictionEstimate& prediction);

/// "stored as gptq (from the config): 5.34 GiB: int4, groups of 128 3.48 GiB, float16 1.86 GiB"
std::string stored_weights_line(const StoredEstimate& stored);
nlohmann::ordered_json stored_weights_json(const StoredEstimate& stored);

}  // namespace bigmodel::app
