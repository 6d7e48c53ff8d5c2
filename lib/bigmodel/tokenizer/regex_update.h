// SPDX-License-Identifier: Apache-2.0
// Brings a pattern's character classes to Unicode 16.0 where the installed regex engine knows an older one.
#pragma once

#include <string>
#include <string_view>

namespace bigmodel::tokenizer {

/// The pattern with \p{..}, \P{..}, \w, \d, \b and [:..:] spelled out where Unicode 16.0 changed them. Anything it does not
/// understand stays as it is.
std::string update_classes(std::string_view pattern);

}  // namespace bigmodel::tokenizer
