// SPDX-License-Identifier: Apache-2.0
// What a run will take and how fast it should be, before anything is read: `run --plan`, and the line before every run.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/time_model.h"
#include "commands/run_model.h"

namespace bigmodel::app {

/// Rows of the option table: --plan, --bandwidth.
std::vector<OptionSpec> plan_option_rows();

struct RunPlan {
  DeviceMap map;
  RunSize size;
  std::int64_t ram_bytes = 0, disk_bytes = 0;   ///< weights that stay, and that are read in every pass
  std::vector<std::pair<std::string, std::int64_t>> gpu_bytes;   ///< weights that stay on each accelerator
  std::int64_t cache_bytes = 0;                 ///< keys, values and states of all sequences
  std::int64_t workspace_bytes = 0;             ///< activations of the largest pass
  std::int64_t slot_bytes = 0;                  ///< that streamed weights go through
  bool reads_ahead = true;                      ///< false: of one slot, where two do not fit
  std::int64_t program_bytes = 0;               ///< what this process held when it planned, and a little more: code, descriptions, tokenizer
  Prediction predicted;
  bool generates = true;                        ///< false: a pass computes with all tokens at once; how long that takes is known where the disk is slower alone
  std::string assumed_speeds;                   ///< "cpu=50GB/s": those that nobody measured; empty without

  /// Of RAM without accelerators; with them, of the RAM and, in one sum, what lies beside the weights on theirs.
  std::int64_t peak_bytes() const { return ram_bytes + cache_bytes + workspace_bytes + slot_bytes; }
};

/// Places the weights (run_device_map) and predicts from there. Reads no weights. Throws what run_device_map throws, DeviceError for a map
/// with devices that there are none of. Warns, and adds to the model's warnings, where there are more tokens than the config states positions for.
RunPlan plan_run(RunModel& model, const Options& options, const RunSize& size, Session& session);

/// "1.2 GiB in RAM, 3.4 GiB from disk; about 0.6 tokens/s, bound by disk"; of a model that does not generate no speed, or what the disk allows.
std::string plan_line(const RunPlan& plan);
/// Some lines: every tier, the peak, the prediction with its assumptions, the map.
std::string plan_text(const RunPlan& plan);
/// The members of `predicted` in design `run`, and what the peak is made of.
nlohmann::ordered_json prediction_json(const RunPlan& plan);

}  // namespace bigmodel::app
