// SPDX-License-Identifier: Apache-2.0
// JSON as the program prints it: two-space indented for people, one line for programs; always valid UTF-8.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace bigmodel::app {

/// Bytes that are no UTF-8 (a file name, say) become U+FFFD.
std::string json_text(const nlohmann::ordered_json& value, bool indented);

}  // namespace bigmodel::app
