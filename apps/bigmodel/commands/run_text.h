// SPDX-License-Identifier: Apache-2.0
// What a run has done, as JSON and for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/infer.h"
#include "commands/model_argument.h"
#include "commands/run_answers.h"
#include "commands/run_model.h"
#include "commands/run_plan.h"
#include "render/output.h"

namespace bigmodel::app {

struct RunResult {
  FoundModel model;
  DType dtype = DType::float32;
  std::optional<DType> storage_dtype;      ///< of weights that are kept smaller than they are run in
  std::vector<std::vector<std::int64_t>> prompt_ids;   ///< of each prompt, without padding
  GenerateResult generated;
  NamedTensors outputs;             ///< of a model that does not generate
  std::vector<Answers> answers;     ///< what those mean; may be empty
  std::vector<std::string> texts;   ///< of each result; empty without a tokenizer
  Placement placement;
  DeviceMap device_map;
  RunPlan plan;
  double load_s = 0;
  std::optional<std::int64_t> drawn_seed;  ///< where tokens are drawn
  std::vector<std::string> assumptions;
  std::vector<std::string> warnings;

  /// New tokens behind each result's first one, a second: what decoding achieved. 0 where there were none.
  double tokens_per_second() const;
  /// What the model says of itself; before it is loaded its placement is the plan's.
  void describe(const RunModel& model, RunPlan planned);
};

/// The object of design `run`. `graph` names type and class.
nlohmann::ordered_json run_json(const RunResult& result, const MetaGraph& graph);

/// --plan: the object or the text, and nothing is run.
ExitStatus show_plan(const RunModel& model, RunPlan plan, const Options& options, Output& out);

/// "4 tokens/s, 1.2 GiB in RAM": the line that follows on stderr.
std::string run_summary(const RunResult& result);

}  // namespace bigmodel::app
