// SPDX-License-Identifier: Apache-2.0
// `run --format jsonl`: a line of JSON for the start, for every token and for the end, each flushed at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "commands/run_text.h"

namespace bigmodel::app {

struct TokenEvent {
  std::int64_t row = 0;                  ///< of the run's results
  std::int64_t id = 0;
  std::optional<std::string> text;       ///< what can be shown now: may be empty, and complete a character of earlier tokens
  std::optional<float> logprob;
};

/// {"schema": "bigmodel.run/1", "event": "start", "model", "source", "model_type", "class", "dtype", "hf_device_map"}
void print_start_event(const RunResult& result, const MetaGraph& graph, Output& out);
/// {"event": "token", "row", "id", "text", "logprob"}
void print_token_event(const TokenEvent& event, Output& out);
/// {"event": "done"} with all that --json prints.
void print_done_event(const RunResult& result, const MetaGraph& graph, Output& out);

}  // namespace bigmodel::app
