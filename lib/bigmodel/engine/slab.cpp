// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/slab.h"

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/io/direct_reader.h"

namespace bigmodel {
namespace {

/// Reading through a gap of this many bytes costs less than a second read.
constexpr std::uint64_t kCheapGap = 16 * 1024;

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t step) { return (value + step - 1) / step * step; }

}  // namespace

Slab plan_slab(std::span<const WeightSource* const> sources) {
  Slab out;
  std::vector<const WeightSource*> plain;
  std::vector<const WeightSource*> moved;
  for (const WeightSource* s : sources) (s->plain() != nullptr ? plain : moved).push_back(s);
  std::ranges::sort(plain, {}, [](const WeightSource* s) { return std::pair(s->plain()->file, s->plain()->offset); });
  std::uint64_t at = 0;
  for (const WeightSource* s : plain) {
    const CheckpointTensor& t = *s->plain();
    if (!out.runs.empty()) {
      SlabRun& run = out.runs.back();
      const std::uint64_t end = run.file_offset + run.size_bytes;
      if (run.file == t.file && t.offset <= end + kCheapGap) {
        out.offsets.emplace(s, run.slab_offset + (t.offset - run.file_offset));
        run.size_bytes = std::max(run.size_bytes, t.offset + t.size_bytes - run.file_offset);
        at = run.slab_offset + run.size_bytes;
        continue;
      }
    }
    at = rounded_up(at, kDirectAlignment) + t.offset % kDirectAlignment;
    out.runs.push_back({t.file, t.offset, at, t.size_bytes});
    out.offsets.emplace(s, at);
    at += t.size_bytes;
  }
  for (const WeightSource* s : moved) {
    at = rounded_up(at, 64);
    out.offsets.emplace(s, at);
    out.assembled.emplace_back(s, at);
    at += s->size_bytes();
    out.read_bytes += s->size_bytes();
  }
  for (const SlabRun& run : out.runs) out.read_bytes += run.size_bytes;
  out.size_bytes = at;
  return out;
}

void read_slab(const Slab& slab, TensorReader& reader, std::span<std::byte> memory) {
  BIGMODEL_ASSERT(memory.size() >= slab.size_bytes);
  for (const SlabRun& run : slab.runs) {
    reader.read_file(run.file, run.file_offset, memory.subspan(static_cast<std::size_t>(run.slab_offset), static_cast<std::size_t>(run.size_bytes)));
  }
  for (const auto& [source, offset] : slab.assembled) {
    read_source(*source, reader, memory.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(source->size_bytes())));
  }
}

}  // namespace bigmodel
