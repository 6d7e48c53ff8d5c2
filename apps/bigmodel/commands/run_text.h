// SPDX-License-Identifier: Apache-2.0
// What a run has done, as JSON and for people.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/infer.h"
#include "commands/model_argument.h"
#include "render/output.h"

namespace bigmodel::app {

struct RunResult {
  FoundModel model;
  DType dtype = DType::float32;
  TokenBatch prompt;
  GenerateResult generated;
  NamedTensors outputs;             ///< of a model that does not generate
  std::vector<std::string> texts;   ///< empty without a tokenizer
  Placement placement;
  DeviceMap device_map;
  double load_s = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::vector<std::string> assumptions;
  std::vector<std::string> warnings;
};

/// The object of design `run`. `graph` names type and class.
void print_run_json(const RunResult& result, const MetaGraph& graph, Output& out);

/// "4 tokens/s, 1.2 GiB in RAM": the line that follows on stderr.
std::string run_summary(const RunResult& result);

}  // namespace bigmodel::app
