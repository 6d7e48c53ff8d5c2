// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/weight_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/encode_blocks.h"

namespace bigmodel {
namespace {

/// A box of the memory tensor: where it starts and how far apart its elements are, in elements.
struct Target {
  std::byte* data;
  Shape shape;
  std::vector<std::int64_t> strides;
};

std::vector<std::int64_t> row_major(const Shape& shape) {
  std::vector<std::int64_t> out(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) out[d - 1] = out[d] * shape[d];
  return out;
}

class Assembly {
 public:
  Assembly(const WeightSource& source, TensorReader& reader) : source_(source), reader_(reader), item_(static_cast<std::int64_t>(bit_size(source.dtype)) / 8) {}

  void fill(const SourceForm& form, Target to) {
    switch (form.kind) {
      case DiskForm::Kind::name: return form.packed ? unpack(form.packed, to, 0) : leaf(form, to, 0);
      case DiskForm::Kind::absent: throw InternalError(fmt::format("{}: has no file tensor", source_.name));
      case DiskForm::Kind::transpose:
        std::swap(to.shape[to.shape.size() - 1], to.shape[to.shape.size() - 2]);
        std::swap(to.strides[to.strides.size() - 1], to.strides[to.strides.size() - 2]);
        return fill(form.forms.front(), std::move(to));
      case DiskForm::Kind::stack: {
        Target below{to.data, Shape(to.shape.begin() + 1, to.shape.end()), {to.strides.begin() + 1, to.strides.end()}};
        for (const SourceForm& f : form.forms) {
          fill(f, below);
          below.data += to.strides.front() * item_;
        }
        return;
      }
      case DiskForm::Kind::concat: {
        const auto axis = static_cast<std::size_t>(form.axis);
        const std::int64_t each = to.shape[axis] / static_cast<std::int64_t>(form.forms.size());
        for (std::size_t k = 0; k < form.forms.size(); ++k) {
          to.shape[axis] = form.sizes.empty() ? each : form.sizes[k];
          fill(form.forms[k], to);
          to.data += to.shape[axis] * to.strides[axis] * item_;
        }
        return;
      }
      case DiskForm::Kind::part: return part(form, to);
    }
  }

  /// Entries from `first` on along the first axis, as many as `to` has.
  void fill_slices(const SourceForm& form, std::int64_t first, Target to) {
    const Shape below(to.shape.begin() + 1, to.shape.end());
    const std::int64_t inner = element_count(below, source_.name);
    if (form.kind == DiskForm::Kind::stack) {
      Target one{to.data, below, {to.strides.begin() + 1, to.strides.end()}};
      for (std::int64_t k = 0; k < to.shape.front(); ++k, one.data += inner * item_) fill(form.forms[static_cast<std::size_t>(first + k)], one);
    } else if (form.packed) {
      unpack(form.packed, to, first * (inner / std::max<std::int64_t>(to.shape.back(), 1)));
    } else {
      leaf(form, to, first * inner);
    }
  }

 private:
  void part(const SourceForm& form, const Target& to) {
    const auto axis = static_cast<std::size_t>(form.axis);
    Target whole{nullptr, to.shape, {}};
    std::int64_t before = form.index * to.shape[axis];
    if (form.sizes.empty()) {
      whole.shape[axis] *= form.count;
    } else {
      whole.shape[axis] = std::accumulate(form.sizes.begin(), form.sizes.end(), std::int64_t{0});
      before = std::accumulate(form.sizes.begin(), form.sizes.begin() + form.index, std::int64_t{0});
    }
    whole.strides = row_major(whole.shape);
    std::vector<std::byte> bytes(static_cast<std::size_t>(element_count(whole.shape, source_.name) * item_));
    whole.data = bytes.data();
    fill(form.forms.front(), whole);
    copy(bytes.data() + before * whole.strides[axis] * item_, whole.strides, to);
  }

  /// From the tensor's element `first` on.
  void leaf(const SourceForm& form, const Target& to, std::int64_t first) {
    const CheckpointTensor& tensor = *form.tensor;
    const std::vector<std::int64_t> packed = row_major(to.shape);
    const auto count = static_cast<std::size_t>(element_count(to.shape, source_.name));
    const std::size_t bytes = count * static_cast<std::size_t>(item_);
    const auto begin = static_cast<std::uint64_t>(byte_count(tensor.dtype, first));
    if (tensor.dtype == source_.dtype && to.strides == packed) return reader_.read(tensor, begin, {to.data, bytes});
    std::vector<std::byte> raw(static_cast<std::size_t>(byte_count(tensor.dtype, static_cast<std::int64_t>(count))));
    reader_.read(tensor, begin, raw);
    if (tensor.dtype != source_.dtype) {
      DType from = tensor.dtype;
      if (source_.by_way_of && *source_.by_way_of != from) {
        std::vector<std::byte> between(count * static_cast<std::size_t>(bit_size(*source_.by_way_of)) / 8);
        convert_elements(from, raw, *source_.by_way_of, between);
        raw = std::move(between);
        from = *source_.by_way_of;
      }
      std::vector<std::byte> converted(bytes);
      convert_elements(from, raw, source_.dtype, converted);
      raw = std::move(converted);
    }
    copy(raw.data(), packed, to);
  }

  /// Some rows at a time: their values as float32, then in the memory tensor's dtype, then in their places.
  void unpack(const PackedWeight& packed, const Target& to, std::int64_t first_row) {
    const std::int64_t columns = to.shape.back();
    const std::int64_t rows = element_count(to.shape, source_.name) / std::max<std::int64_t>(columns, 1);
    const std::int64_t step = std::clamp<std::int64_t>((std::int64_t{1} << 20) / std::max<std::int64_t>(columns, 1), 1, std::max<std::int64_t>(rows, 1));
    PackedReader reader(packed, reader_);
    std::vector<float> values;
    std::vector<std::byte> converted;
    const Target row{nullptr, {columns}, {to.strides.back()}};
    for (std::int64_t first = 0; first < rows; first += step) {
      const std::int64_t count = std::min(step, rows - first);
      values.resize(static_cast<std::size_t>(count * columns));
      reader.read(first_row + first, count, values);
      converted.resize(static_cast<std::size_t>(count * columns * item_));
      if (source_.by_way_of && *source_.by_way_of != DType::float32) {
        std::vector<std::byte> between(static_cast<std::size_t>(count * columns) * static_cast<std::size_t>(bit_size(*source_.by_way_of)) / 8);
        convert_elements(DType::float32, std::as_bytes(std::span(values)), *source_.by_way_of, between);
        convert_elements(*source_.by_way_of, between, source_.dtype, converted);
      } else {
        convert_elements(DType::float32, std::as_bytes(std::span(values)), source_.dtype, converted);
      }
      for (std::int64_t r = 0; r < count; ++r) {
        std::int64_t left = first + r, place = 0;
        for (std::size_t d = to.shape.size() - 1; d-- > 0;) {
          place += left % to.shape[d] * to.strides[d];
          left /= to.shape[d];
        }
        copy_dimension(converted.data() + r * columns * item_, {1}, to.data + place * item_, row, 0);
      }
    }
  }

  void copy(const std::byte* from, const std::vector<std::int64_t>& strides, const Target& to) {
    copy_dimension(from, strides, to.data, to, 0);
  }

  void copy_dimension(const std::byte* from, const std::vector<std::int64_t>& strides, std::byte* data, const Target& to, std::size_t d) {
    if (d == to.shape.size()) {
      std::memcpy(data, from, static_cast<std::size_t>(item_));
      return;
    }
    const bool last = d + 1 == to.shape.size();
    if (last && strides[d] == 1 && to.strides[d] == 1) {
      std::memcpy(data, from, static_cast<std::size_t>(to.shape[d] * item_));
      return;
    }
    for (std::int64_t i = 0; i < to.shape[d]; ++i) {
      copy_dimension(from + i * strides[d] * item_, strides, data + i * to.strides[d] * item_, to, d + 1);
    }
  }

  const WeightSource& source_;
  TensorReader& reader_;
  std::int64_t item_;
};

/// Rows of a tensor that lies in the file as it does in memory, and goes into blocks.
class BlockEncoder {
 public:
  BlockEncoder(const WeightSource& source, TensorReader& reader) : source_(source), reader_(reader) {}

  void fill(const SourceForm& form, const Shape& shape, std::byte* out) {
    if (form.kind == DiskForm::Kind::stack) {
      const Shape below(shape.begin() + 1, shape.end());
      const std::int64_t step = byte_count(source_.dtype, element_count(below, source_.name));
      for (const SourceForm& f : form.forms) {
        fill(f, below, out);
        out += step;
      }
      return;
    }
    const std::int64_t count = element_count(shape, source_.name);
    if (form.kind == DiskForm::Kind::name) return fill_rows(form, 0, count / shape.back(), out);
    const WeightSource wide{source_.name, shape, DType::float32, form};
    values_.resize(static_cast<std::size_t>(count));
    read_source(wide, reader_, std::as_writable_bytes(std::span(values_)));
    encode(count, out);
  }

  /// Entries from `first` on along the first axis of `shape`.
  void fill_slices(const SourceForm& form, const Shape& shape, std::int64_t first, std::int64_t count, std::byte* out) {
    const Shape below(shape.begin() + 1, shape.end());
    const std::int64_t inner = element_count(below, source_.name);
    if (form.kind == DiskForm::Kind::name) return fill_rows(form, first * (inner / shape.back()), count * (inner / shape.back()), out);
    for (std::int64_t k = 0; k < count; ++k) fill(form.forms[static_cast<std::size_t>(first + k)], below, out + k * byte_count(source_.dtype, inner));
  }

 private:
  static constexpr std::int64_t kPieceElements = std::int64_t{1} << 20;

  /// `rows` rows of a file tensor, of all its dimensions but the last, from `begin` on.
  void fill_rows(const SourceForm& form, std::int64_t begin, std::int64_t rows, std::byte* out) {
    const std::int64_t columns = source_.shape.back();
    std::optional<PackedReader> packed;
    if (form.packed) packed.emplace(form.packed, reader_);
    const std::int64_t step = std::clamp<std::int64_t>(kPieceElements / columns, 1, std::max<std::int64_t>(rows, 1));
    for (std::int64_t first = 0; first < rows; first += step) {
      const std::int64_t count = std::min(step, rows - first);
      values_.resize(static_cast<std::size_t>(count * columns));
      if (packed) packed->read(begin + first, count, values_);
      else read_rows(*form.tensor, (begin + first) * columns);
      encode(count * columns, out + first * byte_count(source_.dtype, columns));
    }
  }

  void read_rows(const CheckpointTensor& tensor, std::int64_t first) {
    raw_.resize(static_cast<std::size_t>(byte_count(tensor.dtype, static_cast<std::int64_t>(values_.size()))));
    reader_.read(tensor, static_cast<std::uint64_t>(byte_count(tensor.dtype, first)), raw_);
    convert_elements(tensor.dtype, raw_, DType::float32, std::as_writable_bytes(std::span(values_)));
  }

  void encode(std::int64_t count, std::byte* out) {
    encode_blocks(source_.dtype, values_, {out, static_cast<std::size_t>(byte_count(source_.dtype, count))});
  }

  const WeightSource& source_;
  TensorReader& reader_;
  std::vector<float> values_;
  std::vector<std::byte> raw_;
};

}  // namespace

std::uint64_t WeightSource::size_bytes() const { return static_cast<std::uint64_t>(byte_count(dtype, element_count(shape, name))); }

const CheckpointTensor* WeightSource::plain() const {
  if (form.kind != DiskForm::Kind::name || form.tensor == nullptr) return nullptr;
  return form.tensor->dtype == dtype && form.tensor->plain() ? form.tensor : nullptr;
}

bool can_slice(const WeightSource& source) {
  if (source.shape.size() < 2 || element_count(source.shape, source.name) == 0) return false;
  return source.form.kind == DiskForm::Kind::stack || (source.form.kind == DiskForm::Kind::name && (source.form.tensor != nullptr || source.form.packed));
}

std::uint64_t slice_file_offset(const WeightSource& source, std::int64_t number) {
  const SourceForm* form = &source.form;
  std::uint64_t before = 0;
  if (form->kind == DiskForm::Kind::stack) {
    form = &form->forms[static_cast<std::size_t>(number)];
  } else {
    before = static_cast<std::uint64_t>(number) * (source.size_bytes() / static_cast<std::uint64_t>(source.shape.front()));
  }
  while (form->kind == DiskForm::Kind::concat) form = &form->forms.front();
  const bool as_it_lies = form->kind == DiskForm::Kind::name && form->tensor != nullptr && form->tensor->dtype == source.dtype && form->tensor->plain();
  return as_it_lies ? form->tensor->offset + before : 0;
}

void read_slices(const WeightSource& source, TensorReader& reader, std::int64_t first, std::int64_t count, std::span<std::byte> out) {
  BIGMODEL_ASSERT(can_slice(source) && first >= 0 && count > 0 && first + count <= source.shape.front());
  if (block_size(source.dtype) > 1) return BlockEncoder(source, reader).fill_slices(source.form, source.shape, first, count, out.data());
  Shape shape = source.shape;
  shape.front() = count;
  std::vector<std::int64_t> strides = row_major(shape);
  Assembly(source, reader).fill_slices(source.form, first, {out.data(), std::move(shape), std::move(strides)});
}

void read_source(const WeightSource& source, TensorReader& reader, std::span<std::byte> out) {
  BIGMODEL_ASSERT(out.size() == source.size_bytes());
  if (block_size(source.dtype) > 1) return BlockEncoder(source, reader).fill(source.form, source.shape, out.data());
  Assembly(source, reader).fill(source.form, {out.data(), source.shape, row_major(source.shape)});
}

}  // namespace bigmodel
