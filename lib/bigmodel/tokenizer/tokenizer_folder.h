// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a model's folder, whichever files hold it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/tokenizer/tokenizer.h"

namespace bigmodel::tokenizer {

/// Names of files that read_tokenizer() and read_chat_templates() look at, as patterns for a download.
std::vector<std::string> tokenizer_files();

/// What transformers' AutoTokenizer makes of a folder.
struct FolderTokenizer {
  Tokenizer tokenizer;  ///< cuts and pads nothing of itself
  /// "bos_token" and its like with their texts, in the reference's order.
  std::vector<std::pair<std::string, std::string>> special_tokens;
  TruncationParams truncation;           ///< for calls that ask for it: the side
  std::optional<PaddingParams> padding;  ///< for calls that ask for it; none without a pad token
};

/// From tokenizer.json, else vocab.json + merges.txt, else vocab.txt, else a SentencePiece model (tokenizer.model, spiece.model,
/// sentencepiece.bpe.model), with what tokenizer_config.json, special_tokens_map.json,
/// added_tokens.json and config.json say beside them: class, special and added tokens, switches. A class of transformers that
/// builds its pipeline from the vocabulary alone does so here. Throws NotFoundError that says what was looked for, FormatError,
/// UnsupportedError, IoError, CapacityError.
FolderTokenizer read_folder_tokenizer(const std::filesystem::path& folder);

/// The tokenizer of a folder, or a tokenizer.json of any name exactly as the file says. Throws as above.
Tokenizer read_tokenizer(const std::filesystem::path& path);

}  // namespace bigmodel::tokenizer
