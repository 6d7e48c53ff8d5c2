// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/assembler.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/zip_text.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

using Kind = OutputPiece::Kind;

/// Source bytes of one conversion step.
constexpr std::uint64_t kConvertBytes = std::uint64_t{1} << 20;

}  // namespace

Assembler::Assembler(const Checkpoint& checkpoint, const OutputFile& file)
    : checkpoint_(checkpoint), file_(file), crc32_(file.records.size(), 0) {}

std::size_t Assembler::piece_at(std::uint64_t offset) const {
  const auto after = std::ranges::upper_bound(file_.pieces, offset, {}, &OutputPiece::offset);
  return static_cast<std::size_t>(after - file_.pieces.begin()) - 1;
}

/// Bytes [begin, ...) of a tensor piece; an element may straddle either end.
void Assembler::fill_tensor(TensorReader& reader, const OutputPiece& piece, std::uint64_t begin, std::span<std::byte> out) const {
  const CheckpointTensor& tensor = checkpoint_.tensors[piece.tensor];
  // Sub-byte dtypes are never converted or strided: whole bytes serve.
  const std::uint64_t in_item = std::max(1, bit_size(tensor.dtype) / 8);
  const std::uint64_t out_item = std::max(1, bit_size(piece.dtype) / 8);
  const bool same = tensor.dtype == piece.dtype;
  std::vector<std::byte> source, target;
  while (!out.empty()) {
    const std::uint64_t first = begin / out_item;
    const std::uint64_t lead = begin - first * out_item;
    const std::uint64_t most = same ? std::uint64_t{4} << 20 : kConvertBytes;
    const std::uint64_t count = std::min((lead + out.size() + out_item - 1) / out_item, most / in_item);
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), count * out_item - lead));
    if (same && lead == 0 && part == count * out_item) {
      reader.read(tensor, begin, out.first(part));
    } else {
      source.resize(static_cast<std::size_t>(count * in_item));
      reader.read(tensor, first * in_item, source);
      if (same) {
        target = source;
      } else {
        target.resize(static_cast<std::size_t>(count * out_item));
        convert_elements(tensor.dtype, source, piece.dtype, target);
      }
      std::memcpy(out.data(), target.data() + lead, part);
    }
    begin += part;
    out = out.subspan(part);
  }
}

void Assembler::fill(TensorReader& reader, std::uint64_t offset, std::span<std::byte> out) const {
  for (std::size_t i = piece_at(offset); !out.empty(); ++i) {
    const OutputPiece& piece = file_.pieces[i];
    const std::uint64_t begin = offset - piece.offset;
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), piece.size_bytes - begin));
    switch (piece.kind) {
      case Kind::text: std::memcpy(out.data(), piece.text.data() + begin, part); break;
      case Kind::range: reader.read_file(piece.file, piece.from + begin, out.first(part)); break;
      case Kind::tensor: fill_tensor(reader, piece, begin, out.first(part)); break;
      case Kind::descriptor:
      case Kind::directory: break;
    }
    offset += part;
    out = out.subspan(part);
  }
}

void Assembler::finish(std::uint64_t offset, std::span<std::byte> bytes) {
  if (!needs_finish()) return;
  for (std::size_t i = piece_at(offset); !bytes.empty(); ++i) {
    const OutputPiece& piece = file_.pieces[i];
    const std::uint64_t begin = offset - piece.offset;
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), piece.size_bytes - begin));
    if (piece.kind == Kind::descriptor || piece.kind == Kind::directory) {
      const auto [it, fresh] = late_text_.try_emplace(piece.offset);
      if (fresh) {
        it->second = piece.kind == Kind::descriptor ? zip_descriptor(file_.records[piece.record], crc32_[piece.record]) : zip_directory(file_.records, crc32_, piece.offset);
        BIGMODEL_ASSERT(it->second.size() == piece.size_bytes);
      }
      std::memcpy(bytes.data(), it->second.data() + begin, part);
      if (begin + part == piece.size_bytes) late_text_.erase(it);
    } else if (piece.record != OutputPiece::kNoRecord) {
      std::uint32_t& crc = crc32_[piece.record];
      crc = static_cast<std::uint32_t>(::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), part));
    }
    offset += part;
    bytes = bytes.subspan(part);
  }
}

}  // namespace bigmodel
