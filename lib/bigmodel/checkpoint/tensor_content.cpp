// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/tensor_content.h"

#include <algorithm>

#include "bigmodel/checkpoint/count_values.h"
#include "bigmodel/checkpoint/element_values.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/io/sha256.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{12} << 20;  // whole elements of every dtype, those of six bits too

}  // namespace

std::vector<TensorContent> read_contents(const Checkpoint& checkpoint, const ContentOptions& options, const Disk& disk, const WorkContext& work) {
  const std::uint64_t total = checkpoint.tensor_bytes();
  std::uint64_t done = 0;
  TensorReader reader(checkpoint, disk);
  std::vector<std::byte> buffer;
  std::vector<TensorContent> out;
  out.reserve(checkpoint.tensors.size());
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    TensorContent content;
    Sha256 hash;
    StatisticsGatherer statistics;
    const bool gather = options.statistics && is_real_number(tensor.dtype);
    for (std::uint64_t at = 0; at < tensor.size_bytes;) {
      work.throw_if_stopped();
      buffer.resize(std::min(kChunkBytes, tensor.size_bytes - at));
      reader.read(tensor, at, buffer);
      if (options.digest) hash.update(buffer);
      const ValueCounts counts = count_values(tensor.dtype, buffer);
      content.nan_count += counts.nan_count;
      content.inf_count += counts.inf_count;
      if (gather) statistics.add(tensor.dtype, buffer);
      at += buffer.size();
      done += buffer.size();
      work.report("reading", done, total);
    }
    if (options.digest) content.sha256 = hash.finish_hex();
    if (gather) content.statistics = statistics.result();
    out.push_back(std::move(content));
  }
  return out;
}

}  // namespace bigmodel
