// SPDX-License-Identifier: Apache-2.0
// Reference: transformers 4, PreTrainedModel.prune_heads; the union of all pruned heads stands in the config.
#include "bigmodel/engine/prune_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "bigmodel/core/error.h"
#include "bigmodel/model/disk_layout.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

const CheckpointTensor* find_file_tensor(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = std::ranges::find_if(checkpoint.tensors, [&](const CheckpointTensor& t) { return is_same_name(t.name, name); });
  return found == checkpoint.tensors.end() ? nullptr : &*found;
}

bool is_there(const DiskForm& form, const Checkpoint& checkpoint) {
  if (form.kind == DiskForm::Kind::name) return find_file_tensor(checkpoint, form.name) != nullptr;
  return !form.forms.empty() && std::ranges::all_of(form.forms, [&](const DiskForm& f) { return is_there(f, checkpoint); });
}

/// The cut of a memory tensor of that shape as cuts of the file tensors that it is made of.
void cut_files(const DiskForm& form, Shape shape, std::size_t axis, const std::vector<std::pair<std::int64_t, std::int64_t>>& kept, const std::string& memory,
               std::vector<TensorEdit>& out) {
  const auto refuse = [&] { throw UnsupportedError(fmt::format("{}: heads cannot be taken out of the form in which files hold it", memory)); };
  switch (form.kind) {
    case DiskForm::Kind::name: {
      TensorEdit edit{.name = form.name, .from = shape, .to = shape, .axis = axis, .kept = kept};
      edit.to[axis] = 0;
      for (const auto& [begin, end] : kept) edit.to[axis] += end - begin;
      out.push_back(std::move(edit));
      return;
    }
    case DiskForm::Kind::transpose:
      if (shape.size() != 2) refuse();
      std::swap(shape[0], shape[1]);
      return cut_files(form.forms.front(), std::move(shape), 1 - axis, kept, memory, out);
    case DiskForm::Kind::concat: {
      const auto along = static_cast<std::size_t>(form.axis);
      const auto parts = static_cast<std::int64_t>(form.forms.size());
      if (along >= shape.size() || shape[along] % parts != 0) refuse();
      shape[along] /= parts;
      for (std::int64_t p = 0; p < parts; ++p) {
        std::vector<std::pair<std::int64_t, std::int64_t>> inside;
        const std::int64_t from = p * shape[along];
        for (const auto& [begin, end] : kept) {
          if (along != axis) {
            inside.emplace_back(begin, end);
          } else if (const std::int64_t b = std::max(begin, from), e = std::min(end, from + shape[along]); b < e) {
            inside.emplace_back(b - from, e - from);
          }
        }
        if (inside.empty()) refuse();
        cut_files(form.forms[static_cast<std::size_t>(p)], shape, axis, inside, memory, out);
      }
      return;
    }
    default: refuse();
  }
}

}  // namespace

HeadsEdit plan_pruning(spec::SpecLibrary& library, const Config& config, const Checkpoint& checkpoint, const HeadsByLayer& heads, const std::string& class_name) {
  if (!config.quantization_method.empty()) {
    throw UnsupportedError(fmt::format("{}: heads are not taken out of weights quantised by '{}'", config.where, config.quantization_method));
  }
  HeadsEdit out;
  const MetaGraph before = build_meta_graph(library, config, {.class_name = class_name});
  HeadsByLayer all = pruned_heads(config.data, config.where);
  out.pruned = prune_heads(before, heads, all);
  out.files.purpose = kHeadsPurpose;
  std::unordered_map<std::string, const TensorLayout*> layouts;
  const std::vector<TensorLayout> list = tensor_layouts(before);
  for (const TensorLayout& layout : list) layouts.emplace(layout.name, &layout);
  for (const HeadCut& cut : out.pruned.cuts) {
    const TensorLayout& layout = *layouts.at(cut.name);
    const auto form = std::ranges::find_if(layout.forms, [&](const DiskForm& f) { return is_there(f, checkpoint); });
    if (form == layout.forms.end()) throw FormatError(fmt::format("{}: has no tensor for '{}'", checkpoint.path.string(), cut.name), "the config belongs to another checkpoint");
    cut_files(*form, layout.tensor->shape, cut.axis, cut.kept, cut.name, out.files.tensors);
  }
  for (const auto& [layer, numbers] : heads) all[layer].insert(numbers.begin(), numbers.end());
  Json json = Json::parse(config.text);
  Json& stated = json["pruned_heads"] = Json::object();
  for (const auto& [layer, numbers] : all) stated[std::to_string(layer)] = numbers;
  out.files.config_text = json.dump(2) + "\n";
  return out;
}

}  // namespace bigmodel
