// SPDX-License-Identifier: Apache-2.0
// Parameters that are one tensor under several names, as accelerate 1.15 lists, checks and restores them.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/device_map.h"

namespace bigmodel {

using TieGroups = std::vector<std::vector<std::string>>;

/// Groups in order of their first duplicate in module order (the reference's set in order of first appearance), names sorted.
TieGroups find_tied_parameters(const MetaGraph& graph);

/// One warning, in the reference's words, for every group that a map spreads over several devices. A name's device is that of the
/// longest dotted prefix in the map. Throws ReferenceError (ValueError) where a name has none.
std::vector<std::string> check_tied_parameters_on_same_device(const TieGroups& ties, const DeviceMap& device_map);

/// For every name of a group of which something lies elsewhere than on meta: (name, the name whose tensor it is from then on).
/// Groups that lie on meta altogether stay as they are.
std::vector<std::pair<std::string, std::string>> retie_parameters(const TieGroups& ties, const std::function<bool(const std::string&)>& is_on_meta);

}  // namespace bigmodel
