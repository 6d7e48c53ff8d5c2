// SPDX-License-Identifier: Apache-2.0
// Reference: transformers 5, PreTrainedModel.resize_token_embeddings.
#include "bigmodel/engine/resize_vocabulary.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/disk_names.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

/// The object that states vocab_size: the config, or the text part of a composite.
Json* vocabulary_of(Json& config) {
  if (config.contains("vocab_size")) return &config["vocab_size"];
  for (const char* part : {"text_config", "decoder"}) {
    if (config.contains(part) && config[part].is_object() && config[part].contains("vocab_size")) return &config[part]["vocab_size"];
  }
  return nullptr;
}

std::int64_t rounded(const ResizeVocabulary& wanted) {
  if (wanted.size < 1) throw UsageError(fmt::format("a vocabulary of {} tokens, expected 1 or more", wanted.size));
  if (wanted.pad_to_multiple_of < 0) throw UsageError(fmt::format("pad to a multiple of {}, expected 1 or more", wanted.pad_to_multiple_of));
  if (wanted.pad_to_multiple_of == 0) return wanted.size;
  const std::int64_t multiples = (wanted.size - 1) / wanted.pad_to_multiple_of + 1;
  return checked_mul(multiples, wanted.pad_to_multiple_of, "the vocabulary");
}

/// On-disk name -> shapes before and after, of tensors that differ.
std::vector<ResizedTensor> differing(const MetaGraph& before, const MetaGraph& after) {
  const std::vector<DiskTensor> old = disk_tensors(before, DType::float32), now = disk_tensors(after, DType::float32);
  BIGMODEL_ASSERT(old.size() == now.size());
  std::vector<ResizedTensor> out;
  for (std::size_t i = 0; i < old.size(); ++i) {
    if (old[i].shape == now[i].shape) continue;
    const bool rows_only = old[i].shape.size() == now[i].shape.size() && std::equal(old[i].shape.begin() + 1, old[i].shape.end(), now[i].shape.begin() + 1);
    if (!rows_only) {
      throw UnsupportedError(fmt::format("{}: changes from {} to {} with the vocabulary, not in its rows alone", old[i].name, to_string(old[i].shape), to_string(now[i].shape)));
    }
    out.push_back({old[i].name, old[i].shape, now[i].shape});
    for (const auto& group : before.tied) {
      if (std::ranges::find(group, old[i].memory_name) == group.end()) continue;
      for (const std::string& name : group) {
        if (name != old[i].name) out.push_back({name, old[i].shape, now[i].shape});
      }
    }
  }
  return out;
}

/// A base model's file may lack the prefix that the class has, or have one that the base model has not.
bool is_same_name(const std::string& file, const std::string& wanted) {
  return file == wanted || file.ends_with("." + wanted) || wanted.ends_with("." + file);
}

class RowWriter {
 public:
  RowWriter(const Checkpoint& checkpoint, const Disk& disk, const WorkContext& work) : reader_(checkpoint, disk), disk_(disk), work_(work) {}

  /// The first rows, then means or zeros. `rows` counts those of the result.
  void write(const CheckpointTensor& tensor, std::int64_t rows, bool mean, const std::filesystem::path& path) {
    const std::int64_t old_rows = tensor.shape.front();
    const auto row_count = static_cast<std::uint64_t>(element_count(std::span(tensor.shape).subspan(1)));
    const auto row_bytes = static_cast<std::uint64_t>(byte_count(tensor.dtype, static_cast<std::int64_t>(row_count)));
    const bool adds = rows > old_rows;
    if (adds && mean && !can_convert(tensor.dtype, DType::float32)) {
      throw UnsupportedError(fmt::format("{}: no mean of {} can be made", tensor.name, name(tensor.dtype)), "add rows of zeros");
    }
    const UniqueFd fd = open_on(disk_, path, O_WRONLY | O_CREAT | O_EXCL);
    std::vector<double> sums(adds && mean ? static_cast<std::size_t>(row_count) : 0);
    const std::int64_t read = adds ? old_rows : rows;
    const std::int64_t at_once = std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunkBytes / std::max<std::uint64_t>(row_bytes, 1)));
    std::vector<std::byte> chunk;
    std::vector<float> values;
    for (std::int64_t row = 0; row < read; row += at_once) {
      work_.throw_if_stopped();
      const std::int64_t count = std::min(at_once, read - row);
      chunk.resize(static_cast<std::size_t>(count) * row_bytes);
      reader_.read(tensor, static_cast<std::uint64_t>(row) * row_bytes, chunk);
      write_exactly(disk_, fd.get(), chunk, static_cast<std::uint64_t>(row) * row_bytes, path);
      if (sums.empty()) continue;
      values.resize(static_cast<std::size_t>(count) * row_count);
      convert_elements(tensor.dtype, chunk, DType::float32, std::as_writable_bytes(std::span(values)));
      for (std::size_t i = 0; i < values.size(); ++i) sums[i % row_count] += static_cast<double>(values[i]);
    }
    if (!adds) return;
    std::vector<std::byte> added(static_cast<std::size_t>(row_bytes));
    if (!sums.empty()) {
      std::vector<float> means(sums.size());
      std::ranges::transform(sums, means.begin(), [&](double s) { return static_cast<float>(s / static_cast<double>(old_rows)); });
      convert_elements(DType::float32, std::as_bytes(std::span(means)), tensor.dtype, added);
    }
    for (std::int64_t row = old_rows; row < rows; ++row) write_exactly(disk_, fd.get(), added, static_cast<std::uint64_t>(row) * row_bytes, path);
  }

 private:
  static constexpr std::uint64_t kChunkBytes = std::uint64_t{8} << 20;
  TensorReader reader_;
  const Disk& disk_;
  const WorkContext& work_;
};

}  // namespace

ResizedCheckpoint resize_vocabulary(spec::SpecLibrary& library, const Config& config, const Checkpoint& checkpoint, const ResizeVocabulary& wanted,
                                    const std::filesystem::path& output, const Disk& disk, const WorkContext& work) {
  ResizedCheckpoint out;
  out.size = rounded(wanted);
  Json json = Json::parse(config.text);
  Json* const vocabulary = vocabulary_of(json);
  if (vocabulary == nullptr) throw UnsupportedError(fmt::format("{}: states no vocab_size", config.where), "only models of text have a vocabulary");
  const MetaGraph before = build_meta_graph(library, config, {.class_name = "auto"});
  *vocabulary = out.size;
  out.config_text = json.dump(2) + "\n";
  const MetaGraph after = build_meta_graph(library, parse_config(out.config_text, config.where), {.class_name = "auto"});
  const std::vector<ResizedTensor> changes = differing(before, after);

  out.checkpoint = checkpoint;
  out.scratch = std::make_unique<ScratchFolder>(output, "vocabulary");
  RowWriter writer(checkpoint, disk, work);
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> written;   ///< place in the source -> file: tied names share it
  for (CheckpointTensor& t : out.checkpoint.tensors) {
    const auto change = std::ranges::find_if(changes, [&](const ResizedTensor& c) { return is_same_name(t.name, c.name); });
    if (change == changes.end()) continue;
    if (t.shape != change->from) {
      throw FormatError(fmt::format("{}: has shape {}, expected {} by its config", t.name, to_string(t.shape), to_string(change->from)), "the config belongs to another checkpoint");
    }
    out.tensors.push_back({t.name, t.shape, change->to});
    const auto [place, is_new] = written.emplace(std::pair(t.file, t.offset), static_cast<std::uint32_t>(out.checkpoint.files.size()));
    if (is_new) {
      const std::filesystem::path path = out.scratch->path() / fmt::format("{}.dat", written.size());
      writer.write(t, change->to.front(), wanted.mean_resizing, path);
      out.checkpoint.files.push_back({.path = path, .name = path.filename().string(), .container = Container::raw});
      const UniqueFd fd = open_on(disk, path, O_RDONLY);
      out.checkpoint.files.back().identity = file_identity(fd.get(), path);
    }
    t.file = place->second;
    t.shape = change->to;
    t.offset = t.storage = t.storage_offset = 0;
    t.strides.clear();
    t.size_bytes = t.storage_bytes = static_cast<std::uint64_t>(byte_count(t.dtype, element_count(t.shape, t.name)));
  }
  if (out.tensors.empty() && !changes.empty()) {
    throw FormatError(fmt::format("{}: has none of the tensors that the vocabulary shapes ({} is one)", checkpoint.path.string(), changes.front().name));
  }
  return out;
}

}  // namespace bigmodel
