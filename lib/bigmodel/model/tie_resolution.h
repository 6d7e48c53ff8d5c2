// SPDX-License-Identifier: Apache-2.0
// Tied parameters: from the `tie dst -> src` lines of a description to groups of full names.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/spec/source.h"

namespace bigmodel {

/// Paths from the root; `*` in dst stands for one component and is copied to the source.
struct TieLine {
  std::string dst, src;
  spec::Place place;
};

/// What MetaGraph::tied and MetaGraph::tie_sources hold.
struct TiedGroups {
  std::vector<std::vector<std::string>> groups;
  std::vector<std::string> sources;
};

/// A missing dst is no tie; a missing src throws SpecError.
TiedGroups resolve_ties(const ModuleTemplate& root, const std::vector<TieLine>& lines);

/// Groups from lists of full names (a module tree from elsewhere): names are put in listing order, groups that share a
/// name are joined; the first is the source. Throws FormatError for a name that is no parameter of the tree.
TiedGroups order_ties(const ModuleTemplate& root, const std::vector<std::vector<std::string>>& groups);

}  // namespace bigmodel
