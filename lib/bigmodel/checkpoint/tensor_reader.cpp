// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/tensor_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "bigmodel/checkpoint/random_tensors.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// Most bytes of one read and of the scratch buffer that a gather uses.
constexpr std::uint64_t kReadBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kScratchBytes = std::uint64_t{32} << 20;
/// Reading through a gap of this many bytes costs less than a second read.
constexpr std::uint64_t kCheapGap = std::uint64_t{32} << 10;

/// A box of a strided tensor: per dimension the first index and the extent.
struct Dimension {
  std::uint64_t extent = 1;
  std::uint64_t stride = 0;   ///< in the file, in elements
  std::uint64_t packed = 0;   ///< in the scratch buffer, in elements
};

/// Flips the sign bit of every real number of `bits`.
void negate(std::span<std::byte> bytes, std::size_t item, std::size_t first, std::size_t step) {
  for (std::size_t at = first; at + item <= bytes.size(); at += step) bytes[at + item - 1] ^= std::byte{0x80};
}

void resolve_views(const CheckpointTensor& tensor, std::span<std::byte> bytes) {
  const auto item = static_cast<std::size_t>(bit_size(tensor.dtype)) / 8;
  if (is_complex(tensor.dtype)) {
    if (tensor.conjugate) negate(bytes, item / 2, item / 2, item);
    if (tensor.negative) negate(bytes, item / 2, 0, item / 2);
    return;
  }
  if (!tensor.negative) return;
  if (!is_floating_point(tensor.dtype)) throw UnsupportedError(fmt::format("tensor \"{}\": a negated view of {}", tensor.name, name(tensor.dtype)));
  negate(bytes, item, 0, item);
}

/// Copies the box from scratch (described by dims) to `out`, row-major.
void unpack(const std::vector<Dimension>& dims, std::size_t item, const std::byte* from, std::byte* out) {
  std::vector<std::uint64_t> index(dims.size(), 0);
  const std::uint64_t inner = dims.empty() ? 1 : dims.back().extent;
  const std::uint64_t inner_packed = dims.empty() ? 0 : dims.back().packed;
  std::uint64_t offset = 0;
  while (true) {
    const std::byte* source = from + offset * item;
    if (inner_packed == 1) {
      std::memcpy(out, source, inner * item);
    } else {
      for (std::uint64_t i = 0; i < inner; ++i) std::memcpy(out + i * item, source + i * inner_packed * item, item);
    }
    out += inner * item;
    std::size_t d = dims.size();
    if (d < 2) return;
    for (--d; d-- > 0;) {
      if (++index[d] < dims[d].extent) {
        offset += dims[d].packed;
        break;
      }
      offset -= (dims[d].extent - 1) * dims[d].packed;
      index[d] = 0;
      if (d == 0) return;
    }
  }
}

}  // namespace

void TensorReader::read_file(std::uint32_t file, std::uint64_t offset, std::span<std::byte> out) {
  if (file != open_file_) {
    const CheckpointFile& wanted = checkpoint_.files[file];
    open_file_ = ~std::uint32_t{0};
    reader_.open(wanted.path);
    if (file_identity(reader_.fd(), wanted.path) != wanted.identity) {
      throw IoError(fmt::format("{}: changed while it was being read", wanted.path.string()), "nothing was written from it; run again once the file rests");
    }
    open_file_ = file;
  }
  reader_.read(offset, out);
}

/// Elements [first, first + count) of a strided tensor: cut into boxes, each read in runs that join near elements.
void TensorReader::gather(const CheckpointTensor& tensor, std::uint64_t first, std::uint64_t count, std::byte* out) {
  const auto item = static_cast<std::uint64_t>(bit_size(tensor.dtype)) / 8;
  const std::size_t rank = tensor.shape.size();
  std::vector<std::uint64_t> volume(rank + 1, 1);
  for (std::size_t d = rank; d-- > 0;) volume[d] = volume[d + 1] * static_cast<std::uint64_t>(tensor.shape[d]);
  while (count > 0) {
    // The widest aligned box at `first`: some rows of dimension d, all of what is below it.
    std::size_t d = rank;
    while (d > 0 && first % volume[d - 1] == 0 && volume[d - 1] <= count) --d;
    std::uint64_t rows = 1;
    if (d > 0) {
      const std::uint64_t at = first / volume[d] % static_cast<std::uint64_t>(tensor.shape[d - 1]);
      rows = std::min(count / volume[d], static_cast<std::uint64_t>(tensor.shape[d - 1]) - at);
      --d;
    } else if (rank > 0) {
      rows = static_cast<std::uint64_t>(tensor.shape[0]);
    }
    std::uint64_t base = 0;  // of the box in the file, in elements
    for (std::size_t i = 0; i < rank; ++i) {
      base += first / volume[i + 1] % static_cast<std::uint64_t>(tensor.shape[i]) * static_cast<std::uint64_t>(tensor.strides[i]);
    }
    while (true) {
      std::vector<Dimension> dims;
      for (std::size_t i = d; i < rank; ++i) {
        dims.push_back({.extent = i == d ? rows : static_cast<std::uint64_t>(tensor.shape[i]), .stride = static_cast<std::uint64_t>(tensor.strides[i])});
      }
      // Near dimensions join one run; the others are stepped through, one run each.
      std::vector<std::size_t> by_stride;
      for (std::size_t i = 0; i < dims.size(); ++i) {
        if (dims[i].extent > 1 && dims[i].stride > 0) by_stride.push_back(i);
      }
      std::ranges::sort(by_stride, {}, [&](std::size_t i) { return dims[i].stride; });
      std::uint64_t run = 1;
      std::size_t joined = 0;
      for (; joined < by_stride.size(); ++joined) {
        const Dimension& dim = dims[by_stride[joined]];
        const std::uint64_t span = (dim.extent - 1) * dim.stride + run;
        if ((dim.stride > run && (dim.stride - run) * item > kCheapGap) || span * item > kReadBytes) break;
        run = span;
      }
      for (std::size_t i = 0; i < joined; ++i) dims[by_stride[i]].packed = dims[by_stride[i]].stride;
      std::uint64_t scratch = run;
      std::uint64_t runs = 1;
      for (std::size_t i = joined; i < by_stride.size(); ++i) {
        dims[by_stride[i]].packed = scratch;
        scratch *= dims[by_stride[i]].extent;
        runs *= dims[by_stride[i]].extent;
      }
      if (scratch * item > kScratchBytes && rows > 1) {
        rows = (rows + 1) / 2;
        continue;
      }
      if (scratch * item > kScratchBytes) {
        // One row is still too wide: go a dimension down.
        ++d;
        rows = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(tensor.shape[d]) / 2);
        continue;
      }
      scratch_.resize(static_cast<std::size_t>(scratch * item));
      for (std::uint64_t r = 0; r < runs; ++r) {
        std::uint64_t rest = r;
        std::uint64_t from = base;
        std::uint64_t to = 0;
        for (std::size_t i = joined; i < by_stride.size(); ++i) {
          const Dimension& dim = dims[by_stride[i]];
          from += rest % dim.extent * dim.stride;
          to += rest % dim.extent * dim.packed;
          rest /= dim.extent;
        }
        read_file(tensor.file, tensor.offset + from * item, std::span(scratch_).subspan(static_cast<std::size_t>(to * item), static_cast<std::size_t>(run * item)));
      }
      unpack(dims, static_cast<std::size_t>(item), scratch_.data(), out);
      break;
    }
    const std::uint64_t done = rows * volume[d + (rank > 0 ? 1 : 0)];
    first += done;
    count -= done;
    out += done * item;
  }
}

void TensorReader::read(const CheckpointTensor& tensor, std::uint64_t begin, std::span<std::byte> out) {
  if (out.empty()) return;
  BIGMODEL_ASSERT(begin <= tensor.size_bytes && out.size() <= tensor.size_bytes - begin);
  if (tensor.made) {
    const auto item = static_cast<std::uint64_t>(bit_size(tensor.dtype)) / 8;
    BIGMODEL_ASSERT(begin % item == 0 && out.size() % item == 0);
    return make_elements(tensor, begin / item, out);
  }
  if (tensor.contiguous()) {
    read_file(tensor.file, tensor.offset + begin, out);
  } else {
    const auto item = static_cast<std::uint64_t>(bit_size(tensor.dtype)) / 8;
    BIGMODEL_ASSERT(begin % item == 0 && out.size() % item == 0);
    gather(tensor, begin / item, out.size() / item, out.data());
  }
  if (!tensor.plain()) resolve_views(tensor, out);
}

std::vector<std::byte> TensorReader::read_all(const CheckpointTensor& tensor, std::uint64_t limit_bytes) {
  if (tensor.size_bytes > limit_bytes) {
    throw CapacityError(fmt::format("tensor \"{}\": {}, expected at most {}", tensor.name, format_binary(tensor.size_bytes), format_binary(limit_bytes)));
  }
  std::vector<std::byte> out(static_cast<std::size_t>(tensor.size_bytes));
  read(tensor, 0, out);
  return out;
}

}  // namespace bigmodel
