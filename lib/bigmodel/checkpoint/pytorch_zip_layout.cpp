// SPDX-License-Identifier: Apache-2.0
// data.pkl, byteorder, data/0 ..., version below "archive/", stored, payloads at multiples of 64, checksums in descriptors
// behind the payloads as torch itself writes them, so that a file is written in one pass.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "bigmodel/checkpoint/output_layout.h"
#include "bigmodel/checkpoint/pickle_writer.h"
#include "bigmodel/checkpoint/zip_text.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// A dtype that no tensor of a file has: the storage has no type of its own.
constexpr DType kUntyped = DType::int2;

/// One storage of the output: a span of source bytes shared by views, or one materialised tensor.
struct OutputStorage {
  bool range = false;
  std::uint32_t file = 0;
  std::uint64_t begin = 0, end = 0;  ///< range: in the source file
  std::uint32_t tensor = 0;          ///< else
  DType dtype = DType::float32;
  std::uint64_t size_bytes() const { return end - begin; }
};

/// One past the last byte of the file that a view touches.
std::uint64_t view_end(const CheckpointTensor& tensor) {
  if (tensor.contiguous()) return tensor.offset + tensor.size_bytes;
  std::uint64_t last = 0;
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    if (tensor.shape[d] > 1) last += static_cast<std::uint64_t>(tensor.shape[d] - 1) * static_cast<std::uint64_t>(tensor.strides[d]);
  }
  const auto item = static_cast<std::uint64_t>(bit_size(tensor.dtype)) / 8;
  return tensor.offset + (last + 1) * item;
}

/// torch's name and shape of a safetensors dtype.
TensorInfo torch_info(const CheckpointTensor& tensor, DType dtype) {
  TensorInfo info = tensor;
  info.dtype = dtype;
  if (dtype == DType::float4) {
    if (info.shape.empty() || info.shape.back() % 2 != 0) throw UnsupportedError(fmt::format("tensor \"{}\": F4 of odd length has no place in a PyTorch file", tensor.name));
    info.dtype = DType::float4_e2m1fn_x2;
    info.shape.back() /= 2;
  }
  if (bit_size(info.dtype) % 8 != 0) throw UnsupportedError(fmt::format("tensor \"{}\": PyTorch has no dtype for {}", tensor.name, name(dtype)), "write safetensors");
  return info;
}

class ZipLayout {
 public:
  explicit ZipLayout(std::string name) { out_.name = std::move(name); }

  void add_text(const std::string& name, std::string text) {
    const std::uint64_t size = text.size();
    begin(name, size);
    put({.kind = OutputPiece::Kind::text, .size_bytes = size, .text = std::move(text), .record = record()});
    end(size);
  }
  void add_storage(const std::string& name, const OutputStorage& storage) {
    const std::uint64_t size = storage.size_bytes();
    begin(name, size);
    if (size > 0 && storage.range) put({.kind = OutputPiece::Kind::range, .size_bytes = size, .file = storage.file, .from = storage.begin, .record = record()});
    if (size > 0 && !storage.range) put({.kind = OutputPiece::Kind::tensor, .size_bytes = size, .tensor = storage.tensor, .dtype = storage.dtype, .record = record()});
    end(size);
  }
  OutputFile finish() {
    put({.kind = OutputPiece::Kind::directory, .size_bytes = zip_directory_size(out_.records, out_.size_bytes)});
    return std::move(out_);
  }

 private:
  std::uint32_t record() const { return static_cast<std::uint32_t>(out_.records.size() - 1); }
  void put(OutputPiece piece) {
    piece.offset = out_.size_bytes;
    out_.size_bytes = checked_add(out_.size_bytes, piece.size_bytes, out_.name);
    out_.pieces.push_back(std::move(piece));
  }
  void begin(const std::string& name, std::uint64_t size) {
    out_.records.push_back({.name = "archive/" + name, .header_offset = out_.size_bytes, .size_bytes = size});
    std::string header = zip_local_header(out_.records.back());
    const std::uint64_t length = header.size();
    put({.kind = OutputPiece::Kind::text, .size_bytes = length, .text = std::move(header)});
  }
  void end(std::uint64_t size) {
    if (size > 0) put({.kind = OutputPiece::Kind::descriptor, .size_bytes = zip_descriptor_size(out_.records.back()), .record = record()});
  }

  OutputFile out_;
};

}  // namespace

OutputFile layout_pytorch_zip(const Checkpoint& checkpoint, std::span<const std::uint32_t> tensors, std::string name, const LayoutOptions& options) {
  std::vector<OutputStorage> storages;
  std::vector<std::uint32_t> storage_of(tensors.size());
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> shared;
  // Identical views stay one tensor's storage when they are converted, too.
  std::map<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t, Shape, std::vector<std::int64_t>, DType>, std::uint32_t> converted;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const CheckpointTensor& tensor = checkpoint.tensors[tensors[i]];
    const DType dtype = written_dtype(tensor, options);
    const bool unchanged = dtype == tensor.dtype && !tensor.conjugate && !tensor.negative && !tensor.made;
    const auto number = static_cast<std::uint32_t>(storages.size());
    if (unchanged && tensor.size_bytes > 0) {
      const std::uint64_t end = view_end(tensor);
      const auto [it, fresh] = shared.emplace(std::pair(tensor.file, tensor.storage), number);
      if (fresh) {
        storages.push_back({.range = true, .file = tensor.file, .begin = tensor.offset, .end = end, .dtype = dtype});
      } else {
        OutputStorage& storage = storages[it->second];
        storage.begin = std::min(storage.begin, tensor.offset);
        storage.end = std::max(storage.end, end);
        // Views under several dtypes: torch wants one type per storage, so it is left untyped.
        if (storage.dtype != dtype) storage.dtype = kUntyped;
      }
      storage_of[i] = it->second;
      continue;
    }
    const TensorInfo info = torch_info(tensor, dtype);
    const auto size = static_cast<std::uint64_t>(byte_count(info.dtype, element_count(info.shape, tensor.name)));
    const auto [it, fresh] = converted.emplace(std::tuple(tensor.file, tensor.offset, tensor.storage, tensor.shape, tensor.strides, tensor.dtype), number);
    if (fresh) storages.push_back({.end = size, .tensor = tensors[i], .dtype = dtype});
    storage_of[i] = it->second;
  }
  PickleWriter pickle;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const CheckpointTensor& tensor = checkpoint.tensors[tensors[i]];
    const OutputStorage& storage = storages[storage_of[i]];
    const TensorInfo info = torch_info(tensor, written_dtype(tensor, options));
    const std::uint64_t offset = storage.range ? tensor.offset - storage.begin : 0;
    pickle.tensor(info, {.key = storage_of[i], .size_bytes = storage.size_bytes(), .dtype = storage.dtype == DType::float4 ? info.dtype : storage.dtype},
                  offset, storage.range ? tensor.strides : std::vector<std::int64_t>{});
  }
  ZipLayout layout(std::move(name));
  layout.add_text("data.pkl", pickle.finish());
  layout.add_text("byteorder", "little");
  for (std::size_t i = 0; i < storages.size(); ++i) layout.add_storage(fmt::format("data/{}", i), storages[i]);
  layout.add_text("version", "3\n");
  OutputFile out = layout.finish();
  out.tensors.assign(tensors.begin(), tensors.end());
  return out;
}

}  // namespace bigmodel
