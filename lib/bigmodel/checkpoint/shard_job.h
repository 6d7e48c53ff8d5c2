// SPDX-License-Identifier: Apache-2.0
// A reshard, merge or conversion planned completely: every output file to the byte, before anything is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/output_layout.h"
#include "bigmodel/checkpoint/shard_plan.h"

namespace bigmodel {

enum class OutputFormat { keep, safetensors, bin };

struct ShardOptions {
  std::uint64_t max_shard_size_bytes = 10'000'000'000;
  OutputFormat format = OutputFormat::keep;  ///< keep: safetensors stays, everything else becomes .bin as it was
  bool merge = false;                        ///< one file whatever the size
  std::optional<DType> dtype;                ///< convert floating-point tensors
  ShardPolicy policy = ShardPolicy::hf;
  bool compat_hf = false;                    ///< files byte for byte as huggingface_hub writes them
  std::string variant;                       ///< model.VARIANT-00001-of-...; empty: none
  bool side_files = true;                    ///< carry config, tokenizer and the like along
};

struct ShardJob {
  std::vector<OutputFile> files;
  ShardPlan plan;                              ///< tensors are numbers of `inputs`
  std::vector<ShardInput> inputs;              ///< what was planned: the kept tensors
  OutputFormat format = OutputFormat::safetensors;
  ShardNames names;                            ///< of the weight files, the variant in them
  std::string index_name;                      ///< empty: one file, no index
  std::string index_text;
  std::vector<std::pair<std::string, std::string>> dropped;  ///< tied names: dropped -> kept
  std::vector<std::filesystem::path> side_files;             ///< to copy, with their path in the source
  std::vector<std::pair<std::string, std::string>> side_texts;  ///< to write beside the weights: name, content
  std::vector<std::string> warnings;
  std::uint64_t total_bytes() const;           ///< of all weight files
};

/// Plans without reading tensor data. Throws UnsupportedError (a dtype without place in the target format), FormatError.
ShardJob plan_shard_job(const Checkpoint& checkpoint, const ShardOptions& options);

}  // namespace bigmodel
