// SPDX-License-Identifier: Apache-2.0
// Typed reading of what a block says: the one place where planner and engine turn properties into numbers, texts and members.
// Properties and kinds: section 8 of docs/architecture-language.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

/// The value of a property; null where it is absent or null.
const spec::Value* find_property(const Block& block, std::string_view name);

/// Empty where the property is absent or null. Throw FormatError `block '<kind>': ...` where it is something else.
std::optional<std::int64_t> integer_property(const Block& block, std::string_view name);
std::optional<double> number_property(const Block& block, std::string_view name);
std::optional<std::string> text_property(const Block& block, std::string_view name);
/// Python's truth of the value; `fallback` where it is absent or null.
bool flag_property(const Block& block, std::string_view name, bool fallback = false);

/// The dotted path below the module that a property names; empty where it names none. A number inside a path is an item of a list.
std::string member_path(const Block& block, std::string_view name);

/// The module below `module` that its block's property names, or null (also where it names a tensor).
const ModuleTemplate* member_module(const ModuleTemplate& module, std::string_view property);

/// The parameter or buffer below `module` that its block's property names, or null.
const TensorTemplate* member_tensor(const ModuleTemplate& module, std::string_view property);

/// The parameter `name` of a module, or null.
const TensorTemplate* find_parameter(const ModuleTemplate& module, std::string_view name);

/// Rows and columns of a projection's weight, whichever way round it lies; zeros where it is null or has no matrix.
struct ProjectionShape {
  std::int64_t out = 0, in = 0;
};
ProjectionShape projection_shape(const ModuleTemplate* projection);

/// Of a mixture: the member that holds its experts, and how many of how many a token visits. `member` is empty where the module is no
/// mixture or does not tell.
struct ExpertShare {
  std::string member;  ///< a tensor or child of the module itself
  std::int64_t chosen = 1, of = 1;
};
ExpertShare expert_share(const ModuleTemplate& module);
/// The share of one tensor or child: of the experts the mixture's, else all.
ExpertShare share_of(const ExpertShare& share, std::string_view member);

}  // namespace bigmodel
