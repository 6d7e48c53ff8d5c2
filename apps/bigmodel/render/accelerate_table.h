// SPDX-License-Identifier: Apache-2.0
// The table of `accelerate estimate-memory` (1.15), letter by letter: centred cells, GB for 2^30, and its quirks of width.
// Its layout rules are facts about that program; nothing here is its code.
#pragma once

#include <string>
#include <vector>

namespace bigmodel::app {

/// A size as the reference prints it: 1024 steps under the names bytes, KB, MB, GB, TB, PB; two decimals, trailing zeros
/// dropped as Python does. `whole` says that the number is an int in the reference ("236 bytes", not "236.0 bytes").
std::string accelerate_bytes(double size_bytes, bool whole);

/// Rows of text cells under headers, below a title.
std::string accelerate_table(const std::string& title, const std::vector<std::string>& headers,
                             const std::vector<std::vector<std::string>>& rows);

}  // namespace bigmodel::app
