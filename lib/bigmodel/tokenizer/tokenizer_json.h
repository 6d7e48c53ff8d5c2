// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json, accepting and refusing what the reference accepts and refuses.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/tokenizer.h"

namespace bigmodel::tokenizer {

/// Changes the sections of a tokenizer.json before they are built: all but "version", and "model" without vocab and merges;
/// "added_tokens" is null, and replaces the file's where it is set.
using EditSections = std::function<void(nlohmann::ordered_json& sections)>;

/// `object` names the text in errors. Throws FormatError, UnsupportedError (an unknown component), CapacityError.
std::shared_ptr<TokenizerParts> parse_tokenizer_json(std::string_view text, const std::string& object, const EditSections& edit = {});

/// The same of a file; throws NotFoundError and IoError too.
Tokenizer read_tokenizer_json(const std::filesystem::path& path);

}  // namespace bigmodel::tokenizer
