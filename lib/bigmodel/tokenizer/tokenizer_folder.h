// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a model's folder, whichever files hold it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bigmodel/tokenizer/tokenizer.h"

namespace bigmodel::tokenizer {

/// Names of files that read_tokenizer() and read_chat_templates() look at, as patterns for a download.
std::vector<std::string> tokenizer_files();

/// `path` is a tokenizer.json (any name), or a folder with one; in a folder without it, vocab.json + merges.txt (GPT-2's byte-level
/// BPE) or vocab.txt (BERT's WordPiece, lower-casing unless tokenizer_config.json says otherwise). Throws NotFoundError that
/// says what was looked for, FormatError, UnsupportedError, IoError, CapacityError.
Tokenizer read_tokenizer(const std::filesystem::path& path);

}  // namespace bigmodel::tokenizer
