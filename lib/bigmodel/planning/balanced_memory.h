// SPDX-License-Identifier: Apache-2.0
// Budgets that spread a model evenly over the accelerators: accelerate 1.15's get_balanced_memory.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/module_sizes.h"
#include "bigmodel/planning/reference_number.h"

namespace bigmodel {

/// Devices in order with what each may take.
using Budgets = std::vector<std::pair<DeviceKey, ReferenceNumber>>;

struct BalanceRequest {
  Budgets max_memory;                 ///< as get_max_memory orders it
  bool user_gave_max_memory = true;   ///< false: a lone accelerator keeps a tenth free
  std::vector<std::string> no_split;
  SizeRequest sizes;
  bool low_zero = false;              ///< as little as possible on accelerator 0
  /// false: the reference to the letter, where a budget of "disk" or gaps in the numbers of accelerators end in its own exceptions.
  bool mend = false;
};

struct BalancedMemory {
  Budgets max_memory;
  std::vector<std::string> notes;  ///< as the reference logs them (INFO)
};

/// Throws ReferenceError as above.
BalancedMemory get_balanced_memory(const MetaGraph& graph, const BalanceRequest& request);

}  // namespace bigmodel
