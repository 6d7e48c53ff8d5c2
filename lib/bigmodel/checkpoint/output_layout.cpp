// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/output_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/core/checked_math.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;

/// Where the longest run of source bytes would like the data to begin, modulo a block. `offset_of` are places from the start
/// of the data.
std::uint64_t best_phase(const std::vector<OutputPiece>& pieces) {
  const OutputPiece* longest = nullptr;
  for (const OutputPiece& piece : pieces) {
    if (piece.kind == OutputPiece::Kind::range && (longest == nullptr || piece.size_bytes > longest->size_bytes)) longest = &piece;
  }
  if (longest == nullptr) return 0;
  return (longest->from % kBlockBytes + kBlockBytes - longest->offset % kBlockBytes) % kBlockBytes;
}

/// Appends a range, joining it to the one before where source and output both go on.
void append_range(std::vector<OutputPiece>& pieces, std::uint32_t file, std::uint64_t from, std::uint64_t offset, std::uint64_t size) {
  if (!pieces.empty()) {
    OutputPiece& last = pieces.back();
    if (last.kind == OutputPiece::Kind::range && last.file == file && last.from + last.size_bytes == from && last.record == OutputPiece::kNoRecord) {
      last.size_bytes += size;
      return;
    }
  }
  pieces.push_back({.kind = OutputPiece::Kind::range, .offset = offset, .size_bytes = size, .file = file, .from = from});
}

}  // namespace

DType written_dtype(const CheckpointTensor& tensor, const LayoutOptions& options) {
  return options.dtype && can_convert(tensor.dtype, *options.dtype) ? *options.dtype : tensor.dtype;
}

OutputFile layout_safetensors(const Checkpoint& checkpoint, std::span<const std::uint32_t> tensors, std::string name, const LayoutOptions& options) {
  OutputFile out;
  out.name = std::move(name);
  std::vector<std::uint32_t> order(tensors.begin(), tensors.end());
  std::vector<TensorInfo> infos;
  const auto info_of = [&](std::uint32_t i) {
    const CheckpointTensor& tensor = checkpoint.tensors[i];
    TensorInfo info = tensor;
    info.dtype = written_dtype(tensor, options);
    return safetensors_info(info);
  };
  if (options.canonical) {
    for (const std::uint32_t i : tensors) infos.push_back(info_of(i));
    const std::vector<std::uint32_t> sorted = safetensors_order(infos);
    std::ranges::transform(sorted, order.begin(), [&](std::uint32_t at) { return tensors[at]; });
  } else {
    std::ranges::stable_sort(order, {}, [&](std::uint32_t i) {
      const CheckpointTensor& t = checkpoint.tensors[i];
      return std::tuple(t.file, t.offset, t.size_bytes);
    });
  }
  infos.clear();
  std::uint64_t offset = 0;
  for (const std::uint32_t i : order) {
    const CheckpointTensor& tensor = checkpoint.tensors[i];
    infos.push_back(info_of(i));
    const auto size = static_cast<std::uint64_t>(byte_count(infos.back().dtype, element_count(infos.back().shape, tensor.name)));
    if (size == 0) continue;
    if (tensor.plain() && written_dtype(tensor, options) == tensor.dtype) {
      append_range(out.pieces, tensor.file, tensor.offset, offset, size);
    } else {
      out.pieces.push_back({.kind = OutputPiece::Kind::tensor, .offset = offset, .size_bytes = size, .tensor = i, .dtype = written_dtype(tensor, options)});
    }
    offset = checked_add(offset, size, out.name);
  }
  std::string header = options.canonical ? safetensors_header_bytes(infos, options.metadata)
                                         : safetensors_header_bytes(infos, options.metadata, kBlockBytes, best_phase(out.pieces));
  for (OutputPiece& piece : out.pieces) piece.offset += header.size();
  out.size_bytes = checked_add(offset, static_cast<std::uint64_t>(header.size()), out.name);
  out.pieces.insert(out.pieces.begin(), OutputPiece{.kind = OutputPiece::Kind::text, .size_bytes = header.size(), .text = std::move(header)});
  out.tensors = std::move(order);
  return out;
}

}  // namespace bigmodel
