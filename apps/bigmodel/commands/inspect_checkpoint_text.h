// SPDX-License-Identifier: Apache-2.0
// How `inspect` prints a checkpoint in each view and format.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/checkpoint_totals.h"
#include "bigmodel/checkpoint/tensor_content.h"
#include "render/format.h"
#include "render/output.h"

namespace bigmodel::app {

struct CheckpointInspection {
  std::string argument;
  std::string source;
  Checkpoint checkpoint;
  CheckpointTotals totals = {};
  std::unordered_map<std::string, std::string> tied_to = {};  ///< further names of one and the same view -> its first
  std::vector<TensorContent> contents = {};                   ///< one per tensor, where they were read
};

struct CheckpointView {
  bool tensors = false;
  bool summary = false;  ///< files and dtypes
  bool layers = false;
};

/// Throws UsageError for a format that the view does not have.
void print_checkpoint(const CheckpointInspection& result, const CheckpointView& view, Format format, Output& out);

}  // namespace bigmodel::app
