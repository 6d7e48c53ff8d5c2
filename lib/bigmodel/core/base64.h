// SPDX-License-Identifier: Apache-2.0
// Base64 of RFC 4648 section 4: the standard alphabet with padding. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bigmodel {

std::string encode_base64(std::string_view bytes);

/// Nothing where the text is no base64: other characters, missing padding, bits set in what the padding cuts off.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace bigmodel
