// SPDX-License-Identifier: Apache-2.0
// Vocabularies from before tokenizer.json, written as its "model": the text of a JSON object.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "bigmodel/tokenizer/sentence_piece.h"

namespace bigmodel::tokenizer {

inline constexpr std::uint64_t kVocabularyLimitBytes = std::uint64_t{256} << 20;

/// vocab.json and merges.txt: a BPE without options. Throws NotFoundError, IoError, FormatError.
std::string merges_model_text(const std::filesystem::path& folder);

/// vocab.txt, a token a line: a WordPiece without options. Of equal lines the last counts. Throws as above.
std::string word_list_model_text(const std::filesystem::path& folder);

/// A SentencePiece model: `first`, the pieces without the first `drops`, `last`. `type` may differ from the model's own: a BPE, a Unigram,
/// a BPE without merges for characters, a WordLevel that takes a whole text for words.
std::string model_text(const SentencePieceModel& model, SentencePieceModel::Type type, std::size_t drops, std::span<const std::string> first, std::span<const std::string> last);

/// Throws FormatError where the bytes are what often lies in a file's place: a Git LFS pointer, or a web page.
void refuse_stand_in(std::string_view bytes, const std::string& object);

}  // namespace bigmodel::tokenizer
