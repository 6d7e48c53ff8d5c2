// SPDX-License-Identifier: Apache-2.0
// Compares a meta graph with a record of the reference implementation.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "bigmodel/spec/spec_library.h"

namespace bigmodel::test {

/// Empty where equal, else the first difference. Understands both record forms: a tied tensor once with `tied`
/// [[name, kept]], or under each of its names with `tied` groups. Compares names, order, shapes, dtypes, persistence, ties,
/// no-split classes, and module classes and disk names where the record has them.
std::string graph_difference(spec::SpecLibrary& library, const nlohmann::ordered_json& record);

}  // namespace bigmodel::test
