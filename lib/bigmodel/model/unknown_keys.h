// SPDX-License-Identifier: Apache-2.0
// Config keys that a description never reads: notes, or warnings where the name looks as if it shaped the model.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/spec/config_view.h"

namespace bigmodel {

void report_unknown_keys(const spec::ConfigView& config, std::vector<std::string>& notes, std::vector<std::string>& warnings);

}  // namespace bigmodel
