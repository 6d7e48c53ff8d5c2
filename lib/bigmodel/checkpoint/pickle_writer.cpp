// SPDX-License-Identifier: Apache-2.0
// Classic dtypes go by _rebuild_tensor_v2 and a typed storage; the later ones (float8, uint16 ...) by _rebuild_tensor_v3 and
// an untyped storage counted in bytes, as torch itself writes them.
#include "bigmodel/checkpoint/pickle_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

std::string_view storage_class(DType dtype) {
  switch (dtype) {
    case DType::float64: return "DoubleStorage";
    case DType::float32: return "FloatStorage";
    case DType::float16: return "HalfStorage";
    case DType::bfloat16: return "BFloat16Storage";
    case DType::int64: return "LongStorage";
    case DType::int32: return "IntStorage";
    case DType::int16: return "ShortStorage";
    case DType::int8: return "CharStorage";
    case DType::uint8: return "ByteStorage";
    case DType::boolean: return "BoolStorage";
    case DType::complex64: return "ComplexFloatStorage";
    case DType::complex128: return "ComplexDoubleStorage";
    default: return {};
  }
}

}  // namespace

PickleWriter::PickleWriter() : out_("\x80\x02}(", 4) {}

void PickleWriter::integer(std::uint64_t value) {
  if (value < 256) {
    out_ += 'K';
    out_ += static_cast<char>(value);
  } else if (value < 65536) {
    out_ += 'M';
    for (int i = 0; i < 2; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xff);
  } else if (value < (std::uint64_t{1} << 31)) {
    out_ += 'J';
    for (int i = 0; i < 4; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xff);
  } else {
    // LONG1 is two's complement: the ninth byte keeps the number positive.
    out_ += '\x8a';
    out_ += '\x09';
    for (int i = 0; i < 8; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xff);
    out_ += '\0';
  }
}

void PickleWriter::text(std::string_view value) {
  out_ += 'X';
  for (int i = 0; i < 4; ++i) out_ += static_cast<char>(static_cast<std::uint64_t>(value.size()) >> (8 * i) & 0xff);
  out_ += value;
}

void PickleWriter::global(std::string_view module, std::string_view name) { out_ += fmt::format("c{}\n{}\n", module, name); }

void PickleWriter::tuple(const std::vector<std::int64_t>& values) {
  out_ += '(';
  for (const std::int64_t value : values) integer(static_cast<std::uint64_t>(value));
  out_ += 't';
}

void PickleWriter::tensor(const TensorInfo& info, const PickleStorageRef& storage, std::uint64_t offset_bytes, const std::vector<std::int64_t>& strides) {
  const auto item = static_cast<std::uint64_t>(bit_size(info.dtype)) / 8;
  if (offset_bytes % item != 0) throw UnsupportedError(fmt::format("tensor \"{}\": begins inside an element of its storage", info.name), "write safetensors");
  const bool typed = storage.dtype == info.dtype && !storage_class(info.dtype).empty();
  text(info.name);
  global("torch._utils", typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
  out_ += "((";
  text("storage");
  if (typed) {
    global("torch", storage_class(info.dtype));
  } else {
    global("torch.storage", "UntypedStorage");
  }
  text(std::to_string(storage.key));
  text("cpu");
  integer(typed ? storage.size_bytes / item : storage.size_bytes);
  out_ += "tQ";
  integer(offset_bytes / item);
  tuple(info.shape);
  if (!strides.empty()) {
    tuple(strides);
  } else {
    std::vector<std::int64_t> row_major(info.shape.size(), 1);
    for (std::size_t i = info.shape.size(); i-- > 1;) row_major[i - 1] = row_major[i] * std::max<std::int64_t>(info.shape[i], 1);
    tuple(row_major);
  }
  out_ += '\x89';
  global("collections", "OrderedDict");
  out_ += ")R";
  if (!typed) global("torch", name(info.dtype));
  out_ += "tR";
}

std::string PickleWriter::finish() { return out_ + "u."; }

}  // namespace bigmodel
