// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/shard_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/safetensors_header.h"
#include "bigmodel/checkpoint/safetensors_writer.h"
#include "bigmodel/checkpoint/shared_tensors.h"
#include "bigmodel/checkpoint/side_files.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

bool all_safetensors(const Checkpoint& checkpoint) {
  return !checkpoint.files.empty() && std::ranges::all_of(checkpoint.files, [](const CheckpointFile& f) { return f.container == Container::safetensors; });
}

std::string json_string(std::string_view text) {
  // The index writer escapes keys; values are given to it as JSON.
  const std::string wrapped = checkpoint_index_text({}, {{"", std::string(text)}}, IndexLayout::hub);
  const std::size_t begin = wrapped.find("\"\": ") + 4;
  return wrapped.substr(begin, wrapped.rfind('"') - begin + 1);
}

/// __metadata__ of the outputs: what all source files agree on, and always a format.
Pairs merged_metadata(const Checkpoint& checkpoint, std::vector<std::string>& warnings) {
  Pairs out;
  std::unordered_map<std::string, std::pair<std::string, bool>> seen;
  Pairs in_order;
  for (const CheckpointFile& file : checkpoint.files) {
    for (const auto& [key, value] : file.metadata) {
      const auto [it, fresh] = seen.emplace(key, std::pair(value, true));
      if (fresh) in_order.emplace_back(key, value);
      if (!fresh && it->second.first != value) it->second.second = false;
    }
  }
  bool has_format = false;
  for (const auto& [key, value] : in_order) {
    if (!seen.at(key).second) {
      warnings.push_back(fmt::format("the source files disagree about \"{}\" in __metadata__; it is left out", key));
      continue;
    }
    has_format |= key == "format";
    out.emplace_back(key, value);
  }
  if (!has_format) out.insert(out.begin(), {"format", "pt"});
  return out;
}

/// The limit's inputs. Sizes are what is written, except that the reference counts whole storages of a .bin.
std::vector<ShardInput> inputs_of(const Checkpoint& checkpoint, const std::vector<std::uint32_t>& kept, const ShardOptions& options, bool bin) {
  const LayoutOptions layout{.dtype = options.dtype};
  std::unordered_map<std::uint64_t, std::unordered_map<std::uint64_t, std::uint64_t>> numbers;
  std::uint64_t next = 1;
  std::vector<ShardInput> inputs;
  inputs.reserve(kept.size());
  for (const std::uint32_t i : kept) {
    const CheckpointTensor& tensor = checkpoint.tensors[i];
    ShardInput input{.name = tensor.name};
    const DType dtype = written_dtype(tensor, layout);
    if (bin) {
      const bool converted = dtype != tensor.dtype || tensor.conjugate || tensor.negative;
      input.storage_bytes = converted ? static_cast<std::uint64_t>(byte_count(dtype, element_count(tensor.shape))) : tensor.storage_bytes;
      std::uint64_t& number = numbers[tensor.file][tensor.storage];
      if (number == 0) number = next++;
      input.storage = number;
    } else {
      input.storage_bytes = static_cast<std::uint64_t>(byte_count(dtype, element_count(tensor.shape)));
      // Packed types count their bytes, as in the file.
      if (dtype == tensor.dtype) input.storage_bytes = tensor.size_bytes;
    }
    // The reference tells storages apart by address and size: empty ones are all the same to it, unless they came out of a
    // safetensors file, where each keeps its place.
    const bool placed = checkpoint.files[tensor.file].container == Container::safetensors;
    if (options.policy == ShardPolicy::hf && input.storage_bytes == 0 && !placed) input.storage = 0;
    inputs.push_back(std::move(input));
  }
  return inputs;
}

void warn_about_headers(ShardJob& job) {
  for (const OutputFile& file : job.files) {
    const std::uint64_t header = file.pieces.front().text.size();
    if (job.format != OutputFormat::safetensors || header <= kHubHeaderLimit) continue;
    if (header > kSafetensorsHeaderLimit) {
      throw UnsupportedError(fmt::format("{}: its header would have {} bytes, expected at most {}", file.name, header, kSafetensorsHeaderLimit), "write smaller shards");
    }
    job.warnings.push_back(fmt::format("{}: a header of {} bytes; the Hub reads at most {}", file.name, header, kHubHeaderLimit));
  }
}

}  // namespace

std::uint64_t ShardJob::total_bytes() const {
  std::uint64_t sum = 0;
  for (const OutputFile& file : files) sum = checked_add(sum, file.size_bytes, "output");
  return sum;
}

ShardJob plan_shard_job(const Checkpoint& checkpoint, const ShardOptions& options) {
  ShardJob job;
  const bool bin = options.format == OutputFormat::bin || (options.format == OutputFormat::keep && !all_safetensors(checkpoint));
  job.format = bin ? OutputFormat::bin : OutputFormat::safetensors;
  if (options.dtype && !is_floating_point(*options.dtype)) throw UsageError(fmt::format("dtype {}: is no floating-point type", name(*options.dtype)));
  if (options.dtype && !can_convert(DType::float32, *options.dtype)) {
    throw UnsupportedError(fmt::format("dtype {}: nothing is converted to it", name(*options.dtype)), "float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2");
  }
  KeptTensors kept;
  if (bin) {
    for (std::uint32_t i = 0; i < checkpoint.tensors.size(); ++i) kept.kept.push_back(i);
  } else if (options.compat_hf) {
    kept = keep_like_hub(checkpoint);
    if (kept.refused) job.warnings.push_back(fmt::format("huggingface_hub refuses this checkpoint: {}; every tensor was copied out first", kept.why));
  } else {
    kept = keep_distinct(checkpoint);
  }
  // The reference lists a lone safetensors file by name, whatever the order in the file.
  if (options.compat_hf && !checkpoint.index && all_safetensors(checkpoint)) {
    std::ranges::sort(kept.kept, {}, [&](std::uint32_t i) { return std::string_view(checkpoint.tensors[i].name); });
  }
  job.dropped = kept.dropped;
  job.inputs = inputs_of(checkpoint, kept.kept, options, bin);
  job.names = usual_names(bin, options.variant);
  const std::uint64_t limit = options.merge ? ~std::uint64_t{0} : options.max_shard_size_bytes;
  job.plan = plan_shards(job.inputs, limit, job.names, options.policy);

  LayoutOptions layout{.dtype = options.dtype, .canonical = options.compat_hf};
  if (options.compat_hf) {
    layout.metadata = {{"format", "pt"}};
  } else {
    layout.metadata = merged_metadata(checkpoint, job.warnings);
  }
  if (!job.plan.sharded()) {
    for (const auto& [from, to] : job.dropped) {
      const auto same_key = [&from = from](const auto& pair) { return pair.first == from; };
      if (std::ranges::none_of(layout.metadata, same_key)) layout.metadata.emplace_back(from, to);
    }
  }
  Pairs weight_map;
  for (const PlannedShard& shard : job.plan.shards) {
    std::vector<std::uint32_t> tensors;
    for (const std::uint32_t i : shard.tensors) {
      tensors.push_back(kept.kept[i]);
      weight_map.emplace_back(job.inputs[i].name, shard.file);
    }
    job.files.push_back(bin ? layout_pytorch_zip(checkpoint, tensors, shard.file, layout) : layout_safetensors(checkpoint, tensors, shard.file, layout));
    if (!options.merge && shard.size_bytes > options.max_shard_size_bytes) {
      job.warnings.push_back(fmt::format("{}: \"{}\" alone has {} bytes, more than the limit", shard.file, job.inputs[shard.tensors.front()].name, shard.size_bytes));
    }
  }
  warn_about_headers(job);
  if (job.plan.sharded()) {
    job.index_name = options.compat_hf ? job.names.index() : job.names.transformers_index();
    Pairs metadata{{"total_size", std::to_string(job.plan.total_size)}};
    for (const auto& [from, to] : job.dropped) metadata.emplace_back(from, json_string(to));
    if (!options.compat_hf && checkpoint.index) {
      for (const auto& [key, value] : checkpoint.index->metadata) {
        const auto same_key = [&key = key](const auto& pair) { return pair.first == key; };
        if (std::ranges::none_of(metadata, same_key)) metadata.emplace_back(key, value);
      }
    }
    job.index_text = checkpoint_index_text(metadata, weight_map, options.compat_hf ? IndexLayout::hub : IndexLayout::transformers);
  }
  if (options.side_files) job.side_files = side_files_of(checkpoint, job.warnings);
  if (checkpoint.tensors.empty()) job.warnings.push_back("the checkpoint holds no tensors; no weight file is written");
  return job;
}

}  // namespace bigmodel
