// SPDX-License-Identifier: Apache-2.0
// Reference: transformers 5, PreTrainedModel.resize_token_embeddings.
#include "bigmodel/engine/resize_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

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

TensorEdit row_edit(const std::string& name, const Shape& from, const Shape& to, bool mean) {
  const bool rows_only = !from.empty() && from.size() == to.size() && std::equal(from.begin() + 1, from.end(), to.begin() + 1);
  if (!rows_only) throw UnsupportedError(fmt::format("{}: changes from {} to {} with the vocabulary, not in its rows alone", name, to_string(from), to_string(to)));
  return {.name = name, .from = from, .to = to, .kept = {{0, std::min(from.front(), to.front())}}, .mean = mean};
}

}  // namespace

VocabularyEdit plan_vocabulary(spec::SpecLibrary& library, const Config& config, const ResizeVocabulary& wanted, const std::string& class_name) {
  VocabularyEdit out;
  out.size = rounded(wanted);
  out.files.purpose = kVocabularyPurpose;
  Json json = Json::parse(config.text);
  Json* const vocabulary = vocabulary_of(json);
  if (vocabulary == nullptr) throw UnsupportedError(fmt::format("{}: states no vocab_size", config.where), "only models of text have a vocabulary");
  const MetaGraph before = build_meta_graph(library, config, {.class_name = class_name});
  *vocabulary = out.size;
  out.files.config_text = json.dump(2) + "\n";
  out.graph = build_meta_graph(library, parse_config(out.files.config_text, config.where), {.class_name = class_name});

  const std::vector<DiskTensor> old = disk_tensors(before, DType::float32), now = disk_tensors(out.graph, DType::float32);
  BIGMODEL_ASSERT(old.size() == now.size());
  for (std::size_t i = 0; i < old.size(); ++i) {
    if (old[i].shape == now[i].shape) continue;
    out.files.tensors.push_back(row_edit(old[i].name, old[i].shape, now[i].shape, wanted.mean_resizing));
    for (const auto& group : before.tied) {
      if (std::ranges::find(group, old[i].memory_name) == group.end()) continue;
      for (const std::string& name : group) {
        if (name != old[i].name) out.files.tensors.push_back(row_edit(name, old[i].shape, now[i].shape, wanted.mean_resizing));
      }
    }
  }
  std::vector<Shape> shapes;
  for_each_tensor(before, [&](const TensorVisit& visit) { shapes.push_back(visit.tensor.shape); });
  std::size_t place = 0;
  for_each_tensor(out.graph, [&](const TensorVisit& visit) {
    const Shape& from = shapes.at(place++);
    if (from != visit.tensor.shape) out.memory.push_back(row_edit(visit.name, from, visit.tensor.shape, wanted.mean_resizing));
  });
  return out;
}

ResizedCheckpoint resize_vocabulary(spec::SpecLibrary& library, const Config& config, const Checkpoint& checkpoint, const ResizeVocabulary& wanted,
                                    const std::filesystem::path& output, const Disk& disk, const WorkContext& work) {
  const VocabularyEdit plan = plan_vocabulary(library, config, wanted);
  return {edit_checkpoint(checkpoint, plan.files, output, disk, work), plan.files.config_text, plan.size};
}

}  // namespace bigmodel
