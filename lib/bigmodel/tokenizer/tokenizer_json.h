// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json, accepting and refusing what the reference accepts and refuses.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/tokenizer.h"

namespace bigmodel::tokenizer {

/// `object` names the text in errors. Throws FormatError, UnsupportedError (an unknown component), CapacityError.
std::shared_ptr<TokenizerParts> parse_tokenizer_json(std::string_view text, const std::string& object);

/// The same of a file; throws NotFoundError and IoError too.
Tokenizer read_tokenizer_json(const std::filesystem::path& path);

}  // namespace bigmodel::tokenizer
