// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/sentence_piece.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <tuple>
#include <unordered_map>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/utf8.h"
#include "bigmodel/tokenizer/vocabulary_files.h"

namespace bigmodel::tokenizer {
namespace {

constexpr std::size_t kLongestPiece = 1024;  ///< bytes; every cut of a piece is looked up

/// One message of a protocol buffer, field by field. Every length is held against what is left.
class Message {
 public:
  Message(std::string_view bytes, const std::string& object) : bytes_(bytes), object_(object) {}

  /// False at the end; else `field` and `wire` are those of the next field, whose value is read or skipped before the next call.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t tag = varint();
    field = tag >> 3;
    wire = static_cast<unsigned>(tag & 7);
    if (field == 0) fail("field 0");
    return true;
  }

  std::uint64_t integer() {
    expect(0);
    return varint();
  }
  bool boolean() { return integer() != 0; }
  std::int32_t int32() { return static_cast<std::int32_t>(integer()); }
  float real() {
    expect(5);
    return std::bit_cast<float>(fixed32());
  }
  std::string_view text() {
    expect(2);
    return take(varint());
  }
  void skip() {
    if (wire == 0) {
      varint();
    } else if (wire == 1) {
      take(8);
    } else if (wire == 2) {
      take(varint());
    } else if (wire == 5) {
      take(4);
    } else {
      fail(fmt::format("wire type {}", wire));
    }
  }

  std::uint64_t field = 0;
  unsigned wire = 0;

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw FormatError(fmt::format("{}: no SentencePiece model: {} at byte {}", object_, what, at_));
  }
  void expect(unsigned wanted) const {
    if (wire != wanted) fail(fmt::format("field {} of wire type {}, expected {}", field, wire, wanted));
  }
  std::uint64_t varint() {
    std::uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("an integer that is cut off");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      out |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return out;
    }
    fail("an integer of more than ten bytes");
  }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) fail(fmt::format("{} bytes, of which {} are left", size, bytes_.size() - at_));
    const std::string_view out = bytes_.substr(at_, size);
    at_ += size;
    return out;
  }
  std::uint32_t fixed32() {
    std::uint32_t out = 0;
    const std::string_view bytes = take(4);
    for (int i = 3; i >= 0; --i) out = out << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    return out;
  }

  std::string_view bytes_;
  const std::string& object_;
  std::size_t at_ = 0;
};

SentencePieceModel::Piece read_piece(std::string_view bytes, const std::string& object) {
  SentencePieceModel::Piece out;
  Message message(bytes, object);
  while (message.next()) {
    if (message.field == 1) {
      out.text = message.text();
    } else if (message.field == 2) {
      out.score = message.real();
    } else if (message.field == 3) {
      const std::uint64_t kind = message.integer();
      if (kind < 1 || kind > 6) throw FormatError(fmt::format("{}: a piece of kind {}, expected 1 to 6", object, kind));
      out.kind = static_cast<SentencePieceModel::Kind>(kind);
    } else {
      message.skip();
    }
  }
  if (find_invalid_utf8(out.text) != std::string::npos) throw FormatError(fmt::format("{}: a piece that is not UTF-8", object));
  if (out.text.size() > kLongestPiece) throw CapacityError(fmt::format("{}: a piece of {} bytes, expected at most {}", object, out.text.size(), kLongestPiece));
  return out;
}

void read_trainer(SentencePieceModel& out, std::string_view bytes, const std::string& object) {
  Message message(bytes, object);
  while (message.next()) {
    switch (message.field) {
      case 3: {
        const std::uint64_t type = message.integer();
        if (type < 1 || type > 4) throw FormatError(fmt::format("{}: model type {}, expected 1 to 4", object, type));
        out.type = static_cast<SentencePieceModel::Type>(type);
        break;
      }
      case 35: out.byte_fallback = message.boolean(); break;
      case 40: out.unk_id = message.int32(); break;
      case 41: out.bos_id = message.int32(); break;
      case 42: out.eos_id = message.int32(); break;
      case 45: out.unk_piece = message.text(); break;
      case 46: out.bos_piece = message.text(); break;
      case 47: out.eos_piece = message.text(); break;
      default: message.skip();
    }
  }
}

}  // namespace

SentencePieceModel parse_sentence_piece(std::string_view bytes, const std::string& object) {
  refuse_stand_in(bytes, object);
  SentencePieceModel out;
  Message message(bytes, object);
  while (message.next()) {
    if (message.field == 1) {
      out.pieces.push_back(read_piece(message.text(), object));
    } else if (message.field == 2) {
      read_trainer(out, message.text(), object);
    } else if (message.field == 3) {
      Message normalizer(message.text(), object);
      while (normalizer.next()) {
        switch (normalizer.field) {
          case 2: out.charsmap = normalizer.text(); break;
          case 3: out.add_dummy_prefix = normalizer.boolean(); break;
          case 4: out.remove_extra_whitespaces = normalizer.boolean(); break;
          default: normalizer.skip();
        }
      }
    } else {
      message.skip();
    }
  }
  if (out.pieces.empty()) throw FormatError(fmt::format("{}: no SentencePiece model: it has no pieces", object));
  if (out.unk_id < 0 || static_cast<std::size_t>(out.unk_id) >= out.pieces.size()) {
    throw FormatError(fmt::format("{}: unk_id {}, expected one of {} pieces", object, out.unk_id, out.pieces.size()));
  }
  for (const std::string* text : {&out.unk_piece, &out.bos_piece, &out.eos_piece}) {
    if (find_invalid_utf8(*text) != std::string::npos) throw FormatError(fmt::format("{}: a piece that is not UTF-8", object));
  }
  return out;
}

std::vector<PieceMerge> merges_of(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, std::uint32_t> ids;
  // Of equal pieces the last has the id, as in a Python dict.
  for (std::uint32_t id = 0; id < model.pieces.size(); ++id) ids[model.pieces[id].text] = id;
  struct Ranked {
    std::uint32_t piece, left_length, right_length;
    PieceMerge merge;
  };
  std::vector<Ranked> found;
  for (std::uint32_t id = 0; id < model.pieces.size(); ++id) {
    const std::string_view text = model.pieces[id].text;
    if (ids[text] != id) continue;
    std::vector<Ranked> cuts;
    const auto length = static_cast<std::uint32_t>(count_code_points(text));
    std::uint32_t left_length = 0;
    for (std::size_t at = 0; at < text.size();) {
      at += utf8_length(text[at]);
      ++left_length;
      if (at >= text.size()) break;
      const auto left = ids.find(text.substr(0, at)), right = ids.find(text.substr(at));
      if (left != ids.end() && right != ids.end()) cuts.push_back({id, left_length, length - left_length, {left->second, right->second}});
    }
    std::ranges::sort(cuts, {}, [](const Ranked& r) { return std::tuple(r.merge.left, r.merge.right); });
    found.insert(found.end(), cuts.begin(), cuts.end());
  }
  std::ranges::stable_sort(found, {}, [](const Ranked& r) { return std::tuple(r.piece, r.left_length, r.right_length); });
  std::vector<PieceMerge> out;
  out.reserve(found.size());
  for (const Ranked& r : found) out.push_back(r.merge);
  return out;
}

}  // namespace bigmodel::tokenizer
