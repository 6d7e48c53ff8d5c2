// SPDX-License-Identifier: Apache-2.0
// Replays one trace of accelerate's hooks (goldens/hooks) on our modules and says where they part.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace bigmodel::test {

struct TraceResult {
  std::string difference;    ///< empty: events, moves, devices, dtypes, outputs, errors and messages are equal in every step
  /// Where the reference fails by a mistake of its own, the trace ends there for us: what was meant is checked instead.
  bool reference_failed = false;
};

TraceResult replay_trace(const nlohmann::ordered_json& trace);

}  // namespace bigmodel::test
