// SPDX-License-Identifier: Apache-2.0
// SentencePiece's model file (a protocol buffer): pieces, kinds, and what is done to the text before.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::tokenizer {

struct SentencePieceModel {
  /// As numbered in the file.
  enum class Kind : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;  ///< UTF-8
    float score = 0;
    Kind kind = Kind::normal;
  };
  enum class Type : std::uint8_t { unigram = 1, bpe = 2, word = 3, character = 4 };

  std::vector<Piece> pieces;  ///< by id
  Type type = Type::unigram;
  bool byte_fallback = false;
  std::int32_t unk_id = 0, bos_id = 1, eos_id = 2;
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";
  std::string charsmap;  ///< the precompiled normalizer's bytes, may be empty
  bool add_dummy_prefix = true, remove_extra_whitespaces = true;
};

/// `object` names the bytes in errors. Throws FormatError: no protocol buffer, no pieces, a piece that is not UTF-8, an id beyond
/// the pieces; CapacityError: a piece of more than 1024 bytes.
SentencePieceModel parse_sentence_piece(std::string_view bytes, const std::string& object);

/// A merge of two pieces into a third, by their ids.
struct PieceMerge {
  std::uint32_t left = 0, right = 0;
};

/// The merges that a BPE model's pieces imply, best first: every cut of a piece into two others, in the order of the piece, then
/// of the parts' lengths in code points (transformers' generate_merges).
std::vector<PieceMerge> merges_of(const SentencePieceModel& model);

}  // namespace bigmodel::tokenizer
