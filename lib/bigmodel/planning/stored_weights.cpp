// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/stored_weights.h"

#include <algorithm>
#include <set>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/planning/packed_forms.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "stored size";

class Pricer {
 public:
  Pricer(const MetaGraph& graph, const QuantizationConfig& quantization, std::optional<DType> plain)
      : forms_(graph, quantization), plain_(plain.value_or(graph.stored_dtype.value_or(DType::bfloat16))) {
    out_.method = quantization.method;
    out_.unknown = quantization.unknown;
    out_.warnings = quantization.warnings;
    for_each_tensor(graph, [this](const TensorVisit& visit) { take(visit); });
    // Packed forms first, in order of appearance.
    std::ranges::stable_sort(out_.parts, {}, [this](const StoredWeights::Part& part) { return !packed_.contains(part.form); });
  }

  StoredWeights result() && { return std::move(out_); }

 private:
  void take(const TensorVisit& visit) {
    if (!visit.tied_to.empty() || (visit.is_buffer && !visit.tensor.persistent)) return;
    const std::int64_t elements = element_count(visit.tensor.shape, visit.name);
    if (const PackedTensor packed = forms_.of(visit); packed.form != nullptr) {
      packed_.insert(packed.form->name);
      add(packed.form->name, elements, packed.bytes(), packed.elements());
    } else {
      const DType dtype = resolved_dtype(visit.tensor, plain_);
      add(std::string(bigmodel::name(dtype)), elements, byte_count(dtype, elements), elements);
    }
  }

  void add(const std::string& form, std::int64_t elements, std::int64_t bytes, std::int64_t listed) {
    auto it = std::ranges::find(out_.parts, form, &StoredWeights::Part::form);
    if (it == out_.parts.end()) it = out_.parts.insert(it, {form, 0, 0});
    it->parameters = checked_add(it->parameters, elements, kObject);
    it->bytes = checked_add(it->bytes, bytes, kObject);
    out_.parameters = checked_add(out_.parameters, elements, kObject);
    out_.bytes = checked_add(out_.bytes, bytes, kObject);
    out_.elements = checked_add(out_.elements, listed, kObject);
  }

  PackedForms forms_;
  DType plain_;
  std::set<std::string> packed_;
  StoredWeights out_;
};

}  // namespace

StoredWeights price_stored_weights(const MetaGraph& graph, const QuantizationConfig& quantization, std::optional<DType> plain) {
  return Pricer(graph, quantization, plain).result();
}

}  // namespace bigmodel
