// SPDX-License-Identifier: Apache-2.0
// One thing that is wrong, or worth knowing, about a checkpoint: what `bigmodel verify` lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

enum class Severity { note, warning, error };

/// "note", "warning", "error".
constexpr std::string_view to_string(Severity severity) noexcept {
  switch (severity) {
    case Severity::note: return "note";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
  }
  return "error";
}

struct Finding {
  Severity severity = Severity::error;
  std::string kind;     ///< stable word for scripts: "missing_key", "missing_shard", "total_size", ...
  std::string file;     ///< relative to the checkpoint; may be empty
  std::string tensor;   ///< may be empty (then has_tensor is false): a tensor's name may itself be empty
  std::string message;  ///< one line without a final period
  bool has_tensor = false;
};

}  // namespace bigmodel
