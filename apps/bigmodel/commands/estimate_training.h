// SPDX-License-Identifier: Apache-2.0
// The part of `estimate-memory` that answers for training: --train and the options around it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/planning/device_table.h"
#include "bigmodel/planning/training_memory.h"
#include "commands/command.h"
#include "commands/model_argument.h"
#include "render/terminal.h"

namespace bigmodel::app {

struct TrainingRow {
  DType dtype = DType::bfloat16;
  TrainingMemory memory;
  std::optional<FitVerdict> verdict;
};

struct TrainingResult {
  std::string class_name;
  std::string mode, recompute, offload;    ///< as the options spell them
  TrainingRequest request;        ///< without dtype
  std::optional<DevicePool> pool;
  std::vector<TrainingRow> rows;
  std::vector<std::string> remedies;  ///< where the first row does not fit: cheapest first
  std::vector<std::string> warnings;

  /// Every row fits, tightly at least, and nothing is unknown.
  bool fits() const;
};

/// Rows of the option table: --train, --optimizer, --sharding, --recompute, --master-weights, --chunked-loss,
/// --offload-activations, --optimizer-in-backward, --lora-rank, --lora-targets, --lora-dtype, --sequence, --micro-batch.
std::vector<OptionSpec> training_option_rows();

bool asks_for_training(const Options& options);

/// The dtypes of the rows: --dtypes where given, else bfloat16. Throws UsageError for what contradicts itself or makes no sense,
/// NotFoundError for targets that name nothing.
TrainingResult estimate_training(spec::SpecLibrary& library, const FoundModel& model, const Options& options);

std::string training_text(const TrainingResult& result, const Terminal& terminal);
std::string training_markdown(const TrainingResult& result);
nlohmann::ordered_json training_json(const TrainingResult& result);

}  // namespace bigmodel::app
