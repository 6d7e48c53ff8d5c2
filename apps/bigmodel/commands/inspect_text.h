// SPDX-License-Identifier: Apache-2.0
// How `inspect` prints its one result struct in each view and format.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"
#include "commands/model_argument.h"
#include "render/format.h"
#include "render/output.h"

namespace bigmodel::app {

struct InspectResult {
  FoundModel model;
  MetaGraph graph;
  DType dtype = DType::float32;
  std::vector<std::string> assumptions;
  std::vector<std::string> warnings;
};

struct OverviewParts {
  bool summary = true;
  bool tree = true;
  std::int64_t depth = 1000;
};

void print_tensors(const InspectResult& result, Format format, Output& out);
void print_overview(const InspectResult& result, const OverviewParts& parts, Format format, Output& out);

/// `text_of` gives the text of a description file. Throws NotFoundError with the nearest names.
void print_why(const InspectResult& result, const std::string& name,
               const std::function<std::string(const std::string&)>& text_of, Format format, Output& out);

}  // namespace bigmodel::app
