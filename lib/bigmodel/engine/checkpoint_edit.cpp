// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/checkpoint_edit.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{8} << 20;

/// Reads a tensor's bytes from an offset on.
using Read = std::function<void(std::uint64_t, std::span<std::byte>)>;
/// Takes the result's bytes, one after the other.
using Write = std::function<void(std::span<const std::byte>)>;

class Editor {
 public:
  Editor(const TensorEdit& edit, DType dtype, Read read, Write write) : edit_(edit), dtype_(dtype), read_(std::move(read)), write_(std::move(write)) {
    if (bit_size(dtype) % 8 != 0) throw UnsupportedError(fmt::format("{}: tensors of {} are not cut", edit.name, name(dtype)));
    const std::span from(edit.from);
    const auto item = static_cast<std::uint64_t>(bit_size(dtype)) / 8;
    slice_bytes_ = static_cast<std::uint64_t>(element_count(from.subspan(edit.axis + 1))) * item;
    rows_ = element_count(from.first(edit.axis));
    for (const auto& [begin, end] : edit.kept) kept_ += end - begin;
  }

  void run() {
    if (edit_.axis == 0) {
      const bool adds = edit_.to.front() > kept_;
      if (adds && edit_.mean) {
        if (!can_convert(dtype_, DType::float32)) throw UnsupportedError(fmt::format("{}: no mean of {} can be made", edit_.name, name(dtype_)), "add rows of zeros");
        sums_.resize(static_cast<std::size_t>(slice_bytes_ * 8 / static_cast<std::uint64_t>(bit_size(dtype_))));
      }
      for (const auto& [begin, end] : edit_.kept) copy_rows(begin, end);
      if (adds) add_rows(edit_.to.front() - kept_);
    } else {
      cut_rows();
    }
  }

 private:
  void copy_rows(std::int64_t begin, std::int64_t end) {
    const std::int64_t at_once = std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunkBytes / std::max<std::uint64_t>(slice_bytes_, 1)));
    std::vector<float> values;
    for (std::int64_t row = begin; row < end; row += at_once) {
      const std::int64_t count = std::min(at_once, end - row);
      chunk_.resize(static_cast<std::size_t>(static_cast<std::uint64_t>(count) * slice_bytes_));
      read_(static_cast<std::uint64_t>(row) * slice_bytes_, chunk_);
      write_(chunk_);
      if (sums_.empty()) continue;
      values.resize(static_cast<std::size_t>(count) * sums_.size());
      convert_elements(dtype_, chunk_, DType::float32, std::as_writable_bytes(std::span(values)));
      for (std::size_t i = 0; i < values.size(); ++i) sums_[i % sums_.size()] += static_cast<double>(values[i]);
    }
  }

  void add_rows(std::int64_t count) {
    std::vector<std::byte> added(static_cast<std::size_t>(slice_bytes_));
    if (!sums_.empty()) {
      std::vector<float> means(sums_.size());
      std::ranges::transform(sums_, means.begin(), [&](double s) { return static_cast<float>(s / static_cast<double>(kept_)); });
      convert_elements(DType::float32, std::as_bytes(std::span(means)), dtype_, added);
    }
    const std::int64_t at_once = std::min(count, std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunkBytes / std::max<std::uint64_t>(slice_bytes_, 1))));
    chunk_.resize(static_cast<std::size_t>(static_cast<std::uint64_t>(at_once) * slice_bytes_));
    for (std::int64_t i = 0; i < at_once; ++i) std::memcpy(chunk_.data() + static_cast<std::uint64_t>(i) * slice_bytes_, added.data(), added.size());
    for (; count > 0; count -= at_once) write_(std::span<const std::byte>(chunk_).first(static_cast<std::size_t>(static_cast<std::uint64_t>(std::min(count, at_once)) * slice_bytes_)));
  }

  /// Some rows at a time, each without what goes.
  void cut_rows() {
    const std::uint64_t row_bytes = static_cast<std::uint64_t>(edit_.from[edit_.axis]) * slice_bytes_;
    const std::int64_t at_once = std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunkBytes / std::max<std::uint64_t>(row_bytes, 1)));
    for (std::int64_t row = 0; row < rows_; row += at_once) {
      const std::int64_t count = std::min(at_once, rows_ - row);
      chunk_.resize(static_cast<std::size_t>(static_cast<std::uint64_t>(count) * row_bytes));
      read_(static_cast<std::uint64_t>(row) * row_bytes, chunk_);
      std::byte* to = chunk_.data();
      for (std::int64_t r = 0; r < count; ++r) {
        for (const auto& [begin, end] : edit_.kept) {
          const auto size = static_cast<std::size_t>(static_cast<std::uint64_t>(end - begin) * slice_bytes_);
          std::memmove(to, chunk_.data() + static_cast<std::uint64_t>(r) * row_bytes + static_cast<std::uint64_t>(begin) * slice_bytes_, size);
          to += size;
        }
      }
      write_({chunk_.data(), to});
    }
  }

  const TensorEdit& edit_;
  DType dtype_;
  Read read_;
  Write write_;
  std::uint64_t slice_bytes_ = 0;
  std::int64_t rows_ = 1, kept_ = 0;
  std::vector<std::byte> chunk_;
  std::vector<double> sums_;
};

}  // namespace

bool is_same_name(const std::string& file, const std::string& wanted) {
  return file == wanted || file.ends_with("." + wanted) || wanted.ends_with("." + file);
}

EditedCheckpoint edit_checkpoint(const Checkpoint& checkpoint, const CheckpointEdit& edit, const std::filesystem::path& output, const Disk& disk,
                                 const WorkContext& work) {
  EditedCheckpoint out;
  out.checkpoint = checkpoint;
  out.scratch = std::make_unique<ScratchFolder>(output, edit.purpose);
  TensorReader reader(checkpoint, disk);
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> written;   ///< place in the source -> file: tied names share it
  for (CheckpointTensor& t : out.checkpoint.tensors) {
    const auto change = std::ranges::find_if(edit.tensors, [&](const TensorEdit& c) { return is_same_name(t.name, c.name); });
    if (change == edit.tensors.end()) continue;
    if (t.shape != change->from) {
      throw FormatError(fmt::format("{}: has shape {}, expected {} by its config", t.name, to_string(t.shape), to_string(change->from)), "the config belongs to another checkpoint");
    }
    out.tensors.push_back(*change);
    out.tensors.back().name = t.name;
    // Made-up tensors lie nowhere: each is one of its own.
    const auto place = t.made ? std::pair(~std::uint32_t{0}, static_cast<std::uint64_t>(out.tensors.size())) : std::pair(t.file, t.offset);
    const auto [file, is_new] = written.emplace(place, static_cast<std::uint32_t>(out.checkpoint.files.size()));
    if (is_new) {
      const std::filesystem::path path = out.scratch->path() / fmt::format("{}.dat", written.size());
      const UniqueFd fd = open_on(disk, path, O_RDWR | O_CREAT | O_EXCL);
      std::uint64_t done = 0;
      Editor(*change, t.dtype,
             [&](std::uint64_t begin, std::span<std::byte> bytes) {
               work.throw_if_stopped();
               reader.read(t, begin, bytes);
             },
             [&](std::span<const std::byte> bytes) {
               write_exactly(disk, fd.get(), bytes, done, path);
               done += bytes.size();
             })
          .run();
      out.checkpoint.files.push_back({.path = path, .name = path.filename().string(), .container = Container::raw});
      out.checkpoint.files.back().identity = file_identity(fd.get(), path);
    }
    t.file = file->second;
    t.shape = change->to;
    t.offset = t.storage = t.storage_offset = 0;
    t.strides.clear();
    t.conjugate = t.negative = false;
    t.made.reset();
    t.size_bytes = t.storage_bytes = static_cast<std::uint64_t>(byte_count(t.dtype, element_count(t.shape, t.name)));
  }
  if (out.tensors.empty() && !edit.tensors.empty()) {
    throw FormatError(fmt::format("{}: has none of the tensors that change ({} is one)", checkpoint.path.string(), edit.tensors.front().name));
  }
  return out;
}

std::vector<std::byte> edited_elements(const TensorEdit& edit, DType dtype, std::span<const std::byte> elements) {
  std::vector<std::byte> out;
  out.reserve(static_cast<std::size_t>(byte_count(dtype, element_count(edit.to, edit.name))));
  Editor(edit, dtype,
         [&](std::uint64_t begin, std::span<std::byte> bytes) { std::memcpy(bytes.data(), elements.data() + begin, bytes.size()); },
         [&](std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); })
      .run();
  return out;
}

}  // namespace bigmodel
