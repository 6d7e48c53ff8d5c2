// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/weight_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_set>

#include "bigmodel/checkpoint/convert_elements.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/disk_layout.h"

namespace bigmodel {
namespace {

/// Finds file tensors by name, also where the file was written from the base model alone (no prefix) or from a model with a head.
class NameFinder {
 public:
  explicit NameFinder(const Checkpoint& checkpoint) {
    for (const CheckpointTensor& t : checkpoint.tensors) {
      by_name_.emplace(t.name, &t);
      if (const std::size_t dot = t.name.find('.'); dot != std::string::npos) prefixes_.insert(t.name.substr(0, dot + 1));
    }
  }

  const CheckpointTensor* find(const std::string& name) const {
    if (const CheckpointTensor* hit = exact(name)) return hit;
    if (const std::size_t dot = name.find('.'); dot != std::string::npos && !prefixes_.contains(name.substr(0, dot + 1))) {
      if (const CheckpointTensor* hit = exact(name.substr(dot + 1))) return hit;
    }
    const CheckpointTensor* found = nullptr;
    for (const std::string& prefix : prefixes_) {
      const CheckpointTensor* hit = exact(prefix + name);
      if (hit != nullptr && found != nullptr) return nullptr;
      if (hit != nullptr) found = hit;
    }
    return found;
  }

 private:
  const CheckpointTensor* exact(const std::string& name) const {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : it->second;
  }

  std::unordered_map<std::string, const CheckpointTensor*> by_name_;
  std::set<std::string> prefixes_;
};

/// The form with its tensors, or nullopt where one is not in the file.
std::optional<SourceForm> bound(const DiskForm& form, const NameFinder& names, const QuantizationMethod& method) {
  SourceForm out{form.kind, nullptr, form.axis, form.index, form.count, form.sizes, {}, {}};
  if (form.kind == DiskForm::Kind::name) {
    out.packed = find_packed_weight(method, form.name, [&](const std::string& name) { return names.find(name); });
    if (out.packed && method.kind == QuantizationMethod::Kind::mxfp4) {
      // The file's rows are outputs, memory's are inputs.
      SourceForm turned;
      turned.kind = DiskForm::Kind::transpose;
      turned.forms.push_back(std::move(out));
      return turned;
    }
    if (out.packed) return out;
    out.tensor = names.find(form.name);
    if (out.tensor == nullptr) return std::nullopt;
    return out;
  }
  if (form.kind == DiskForm::Kind::absent || form.forms.empty()) return std::nullopt;
  for (const DiskForm& f : form.forms) {
    std::optional<SourceForm> part = bound(f, names, method);
    if (!part) return std::nullopt;
    out.forms.push_back(std::move(*part));
  }
  return out;
}

/// Whether the form's tensors have the shapes that it asks for; `wrong` is one that has not.
bool fits(const SourceForm& form, Shape shape, const CheckpointTensor*& wrong, Shape& wanted) {
  const auto axis = static_cast<std::size_t>(form.axis);
  switch (form.kind) {
    case DiskForm::Kind::name:
      if ((form.packed ? form.packed.shape() : form.tensor->shape) == shape) return true;
      wrong = form.packed ? form.packed.values : form.tensor;
      wanted = shape;
      return false;
    case DiskForm::Kind::absent: return false;
    case DiskForm::Kind::transpose:
      if (shape.size() < 2) return false;
      std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
      break;
    case DiskForm::Kind::stack:
      if (shape.empty() || shape.front() != static_cast<std::int64_t>(form.forms.size())) return false;
      shape.erase(shape.begin());
      break;
    case DiskForm::Kind::concat: {
      const auto parts = static_cast<std::int64_t>(form.forms.size());
      if (!form.sizes.empty()) {
        if (axis >= shape.size() || shape[axis] != std::accumulate(form.sizes.begin(), form.sizes.end(), std::int64_t{0})) return false;
        for (std::size_t k = 0; k < form.forms.size(); ++k) {
          shape[axis] = form.sizes[k];
          if (!fits(form.forms[k], shape, wrong, wanted)) return false;
        }
        return true;
      }
      if (axis >= shape.size() || shape[axis] % parts != 0) return false;
      shape[axis] /= parts;
      break;
    }
    case DiskForm::Kind::part:
      if (axis >= shape.size()) return false;
      if (form.sizes.empty()) {
        shape[axis] *= form.count;
      } else {
        if (shape[axis] != form.sizes[static_cast<std::size_t>(form.index)]) return false;
        shape[axis] = std::accumulate(form.sizes.begin(), form.sizes.end(), std::int64_t{0});
      }
      break;
  }
  return std::ranges::all_of(form.forms, [&](const SourceForm& f) { return fits(f, shape, wrong, wanted); });
}

void leaves(const SourceForm& form, std::vector<const CheckpointTensor*>& out) {
  if (form.packed) out.insert(out.end(), {form.packed.values, form.packed.factors});
  if (form.tensor != nullptr) out.push_back(form.tensor);
  for (const SourceForm& f : form.forms) leaves(f, out);
}

bool is_packed(const SourceForm& form) { return form.packed || std::ranges::any_of(form.forms, is_packed); }

bool is_weight(DType dtype) {
  return dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float16 || dtype == DType::float64;
}

/// What the bytes are in memory.
DType memory_dtype(const TensorTemplate& tensor, DType wanted, const std::vector<const CheckpointTensor*>& files, bool packed) {
  const DType stored = files.front()->dtype;
  if (tensor.dtype && !is_floating_point(*tensor.dtype)) return *tensor.dtype;
  const DType target = resolved_dtype(tensor, wanted);
  const bool uniform = std::ranges::all_of(files, [&](const CheckpointTensor* t) { return t->dtype == stored; });
  const bool widens = target == DType::float32 && (stored == DType::bfloat16 || stored == DType::float16);
  return uniform && widens && !packed ? stored : target;
}

}  // namespace

WeightStore::WeightStore(const MetaGraph& graph, const Checkpoint& checkpoint, DType dtype, const QuantizationMethod& method, const Checkpoint* initial, const StorageCast& storage)
    : checkpoint_(checkpoint), first_names_(tied_names(graph)) {
  const NameFinder names(checkpoint);
  std::unordered_set<const CheckpointTensor*> used;
  std::unordered_set<std::string> preferred(graph.tie_sources.begin(), graph.tie_sources.end());
  for (const TensorLayout& layout : tensor_layouts(graph)) {
    const auto tie = first_names_.find(layout.name);
    const std::string& key = tie == first_names_.end() ? layout.name : tie->second;
    for (const DiskForm& form : layout.forms) {
      std::optional<SourceForm> source = bound(form, names, method);
      if (!source) continue;
      std::vector<const CheckpointTensor*> files;
      leaves(*source, files);
      used.insert(files.begin(), files.end());
      // Of a tied group that is in the file more than once, the tie's source counts, as where PyTorch ties after loading.
      if (sources_.contains(key) && !preferred.contains(layout.name)) break;
      const CheckpointTensor* wrong = nullptr;
      Shape wanted;
      if (!fits(*source, layout.tensor->shape, wrong, wanted)) {
        if (wrong == nullptr) throw FormatError(fmt::format("{}: its on-disk form does not fit shape {}", layout.name, to_string(layout.tensor->shape)));
        throw FormatError(fmt::format("{}: tensor '{}' has shape {}, expected {}", checkpoint.files[wrong->file].path.string(), wrong->name, to_string(wrong->shape), to_string(wanted)),
                          "the checkpoint belongs to another config");
      }
      const bool packed = is_packed(*source);
      DType target = memory_dtype(*layout.tensor, dtype, files, packed);
      std::optional<DType> by_way_of;
      if (storage.names.contains(layout.name) && is_floating_point(target)) {
        by_way_of = resolved_dtype(*layout.tensor, dtype);
        target = storage.dtype;
      }
      for (const CheckpointTensor* t : files) {
        if (packed) break;
        if (t->dtype == target || (is_weight(t->dtype) && can_convert(t->dtype, target))) continue;
        throw UnsupportedError(fmt::format("{}: tensor '{}' is {}, which is not read as a weight", checkpoint.files[t->file].path.string(), t->name, name(t->dtype)),
                               "quantised or packed weights need their own method");
      }
      sources_.insert_or_assign(key, WeightSource{layout.name, layout.tensor->shape, target, std::move(*source), by_way_of});
      break;
    }
  }
  for (const CheckpointTensor& t : checkpoint.tensors) {
    if (!used.contains(&t)) unexpected_.push_back(t.name);
  }
  if (initial == nullptr) return;
  for (const CheckpointTensor& t : initial->tensors) {
    const auto tie = first_names_.find(t.name);
    WeightSource source{t.name, t.shape, t.dtype, {}, {}};
    source.form.tensor = &t;
    if (storage.names.contains(t.name) && is_floating_point(t.dtype)) {
      source.by_way_of = t.dtype;
      source.dtype = storage.dtype;
    }
    if (sources_.try_emplace(tie == first_names_.end() ? t.name : tie->second, std::move(source)).second) initialised_.push_back(t.name);
  }
}

void WeightStore::quantize(DType blocks, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto it = sources_.find(name);
    if (it == sources_.end()) continue;
    BIGMODEL_ASSERT(it->second.shape.back() % block_size(blocks) == 0);
    it->second.dtype = blocks;
  }
}

const WeightSource* WeightStore::find(const std::string& name) const {
  const auto tie = first_names_.find(name);
  const auto it = sources_.find(tie == first_names_.end() ? name : tie->second);
  return it == sources_.end() ? nullptr : &it->second;
}

}  // namespace bigmodel
