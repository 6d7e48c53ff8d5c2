// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/module_sizes.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

std::uint64_t key_of(const GraphEntry& entry) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(entry.module)) << 32U | static_cast<std::uint32_t>(entry.tensor);
}

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// Bytes of an element, in eighths, and whether the reference has them as a float. Its own int2 and int4 take part of a byte;
/// of other names it reads the digits, so that packed types of less than a byte count nothing.
struct Width {
  std::int64_t eighths = 0;
  bool is_float = false;
};

Width width_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return {1, true};
    case DType::int2: return {2, true};
    case DType::int4: return {4, true};
    case DType::float4:
    case DType::float6_e2m3:
    case DType::float6_e3m2:
    case DType::uint4:
    case DType::float4_e2m1fn_x2: return {0, false};
    default: return {bit_size(dtype), false};
  }
}

/// Types that a requested dtype does not touch.
bool keeps_own(DType dtype) {
  switch (dtype) {
    case DType::boolean:
    case DType::uint8:
    case DType::uint16:
    case DType::uint32:
    case DType::uint64:
    case DType::int8:
    case DType::int16:
    case DType::int32:
    case DType::int64:
    case DType::int2:
    case DType::int4:
    case DType::uint4: return true;
    default: return false;
  }
}

}  // namespace

void ModuleSizes::Bits::add(const Bits& other, std::string_view name) {
  eighths = checked_add(eighths, other.eighths, name);
  is_float = is_float || other.is_float;
}

ModuleSizes::ModuleSizes(const ExpandedGraph& graph, const std::vector<std::vector<std::string>>& tied, const SizeRequest& request,
                         const NoSplitClasses& no_split)
    : graph_(graph), request_(request) {
  const std::size_t n = at(graph.size());
  flags_.assign(n, 0);
  for (const std::vector<std::string>& group : tied) {
    for (std::size_t i = 1; i < group.size(); ++i) {
      const std::optional<GraphEntry> entry = graph.find(group[i]);
      if (!entry || !graph.is_parameter(*entry)) continue;
      aliases_.emplace(key_of(*entry), true);
      flags_[at(entry->module)] |= kIrregular;
    }
  }
  for (const auto& [name, dtype] : request.special_dtypes) {
    const std::optional<GraphEntry> entry = graph.find(name);
    if (!entry || entry->is_module()) continue;
    special_.insert_or_assign(key_of(*entry), dtype);
    flags_[at(entry->module)] |= kIrregular;
  }
  eighths_.assign(n, 0);
  buffer_eighths_.assign(n, 0);
  largest_eighths_.assign(n, 0);
  largest_count_.assign(n, 0);

  struct Own {
    Bits parameters, buffers;
    bool no_split = false;
  };
  std::unordered_map<const ModuleTemplate*, Own> memo;
  std::vector<Bits> below(n), buffers(n);
  const auto own_of = [&](std::int32_t i) {
    const ModuleTemplate& m = graph.module(i);
    const bool regular = (flags_[at(i)] & kIrregular) == 0;
    if (regular) {
      if (const auto it = memo.find(&m); it != memo.end()) return it->second;
    }
    Own own;
    own.no_split = no_split.contains(m.class_name);
    const auto parameters = static_cast<std::int32_t>(m.parameters.size());
    for (std::int32_t t = 0; t < parameters; ++t) {
      const GraphEntry entry{i, t};
      if (regular || !is_alias(entry)) own.parameters.add(regular ? tensor_bits(m.parameters[at(t)]) : of_tensor(entry), m.parameters[at(t)].name);
    }
    for (std::size_t b = 0; b < m.buffers.size(); ++b) {
      own.buffers.add(regular ? tensor_bits(m.buffers[b]) : of_tensor({i, parameters + static_cast<std::int32_t>(b)}), m.buffers[b].name);
    }
    if (regular) memo.emplace(&m, own);
    return own;
  };
  for (std::int32_t i = graph.size() - 1; i >= 0; --i) {
    const Own own = own_of(i);
    Bits& all = below[at(i)];
    all.add(own.parameters, "module sizes");
    all.add(own.buffers, "module sizes");
    buffers[at(i)].add(own.buffers, "module sizes");
    if (graph.has_children(i) && !own.no_split) {
      flags_[at(i)] |= kSplits;
      std::int64_t most = 0, count = 0;
      bool is_float = false;
      graph.for_each_child(i, [&](std::int32_t c) {
        if (largest_eighths_[at(c)] > most) {
          most = largest_eighths_[at(c)];
          is_float = (flags_[at(c)] & kFloatLargest) != 0;
          count = 0;
        }
        if (largest_eighths_[at(c)] == most) count += largest_count_[at(c)];
      });
      largest_eighths_[at(i)] = most;
      largest_count_[at(i)] = static_cast<std::int32_t>(count);
      if (is_float) flags_[at(i)] |= kFloatLargest;
    } else {
      largest_eighths_[at(i)] = all.eighths;
      largest_count_[at(i)] = 1;
      if (all.is_float && all.eighths > 0) flags_[at(i)] |= kFloatLargest;
    }
    eighths_[at(i)] = all.eighths;
    if (all.is_float) flags_[at(i)] |= kFloatSize;
    buffer_eighths_[at(i)] = buffers[at(i)].eighths;
    if (buffers[at(i)].is_float) flags_[at(i)] |= kFloatBuffers;
    if (i > 0) {
      below[at(graph.parent(i))].add(all, "module sizes");
      buffers[at(graph.parent(i))].add(buffers[at(i)], "module sizes");
    }
  }
}

ModuleSizes::Bits ModuleSizes::bits_as(const TensorTemplate& tensor, DType special) const {
  const Width w = width_of(special);
  return {checked_mul(element_count(tensor.shape, tensor.name), w.eighths, tensor.name), w.is_float};
}

ModuleSizes::Bits ModuleSizes::tensor_bits(const TensorTemplate& tensor) const {
  const DType own = tensor.dtype.value_or(request_.model_dtype);
  if (tensor.keep_float32 && request_.dtype.value_or(request_.model_dtype) == DType::float16) return bits_as(tensor, DType::float32);
  if (!request_.dtype || keeps_own(own)) return bits_as(tensor, own);
  const Width wanted = width_of(*request_.dtype);
  return bits_as(tensor, width_of(own).eighths < wanted.eighths ? own : *request_.dtype);
}

const DType* ModuleSizes::special_of(const GraphEntry& entry) const {
  const auto it = special_.find(key_of(entry));
  return it == special_.end() ? nullptr : &it->second;
}

ModuleSizes::Bits ModuleSizes::of_tensor(const GraphEntry& entry) const {
  const TensorTemplate& tensor = graph_.tensor(entry);
  const DType* special = special_.empty() ? nullptr : special_of(entry);
  return special != nullptr ? bits_as(tensor, *special) : tensor_bits(tensor);
}

bool ModuleSizes::is_alias(const GraphEntry& entry) const { return !aliases_.empty() && aliases_.contains(key_of(entry)); }

ReferenceNumber ModuleSizes::of(const GraphEntry& entry) const {
  if (entry.is_module()) return ReferenceNumber::from_eighths(eighths_[at(entry.module)], (flags_[at(entry.module)] & kFloatSize) != 0);
  if (is_alias(entry)) return 0;
  const Bits bits = of_tensor(entry);
  return ReferenceNumber::from_eighths(bits.eighths, bits.is_float);
}

ReferenceNumber ModuleSizes::buffers_of(std::int32_t module) const {
  return request_.special_dtypes.empty() ? buffers_below(module) : special_buffers(module);
}

ReferenceNumber ModuleSizes::buffers_below(std::int32_t module) const {
  return ReferenceNumber::from_eighths(buffer_eighths_[at(module)], (flags_[at(module)] & kFloatBuffers) != 0);
}

ReferenceNumber ModuleSizes::special_buffers(std::int32_t module) const {
  std::unordered_map<std::uint64_t, DType> special;
  const std::string prefix = graph_.name(module);
  for (const auto& [name, dtype] : request_.special_dtypes) {
    const std::optional<GraphEntry> entry = graph_.find(prefix.empty() ? name : prefix + "." + name);
    if (entry && !entry->is_module()) special.insert_or_assign(key_of(*entry), dtype);
  }
  Bits sum;
  for (std::int32_t i = module; i < graph_.end(module); ++i) {
    const ModuleTemplate& m = graph_.module(i);
    for (std::size_t b = 0; b < m.buffers.size(); ++b) {
      const auto it = special.find(key_of({i, static_cast<std::int32_t>(m.parameters.size() + b)}));
      sum.add(it == special.end() ? tensor_bits(m.buffers[b]) : bits_as(m.buffers[b], it->second), m.buffers[b].name);
    }
  }
  return ReferenceNumber::from_eighths(sum.eighths, sum.is_float);
}

LargestLayers ModuleSizes::largest(const GraphEntry& entry) const {
  if (!entry.is_module()) {
    const ReferenceNumber size = of(entry);
    return {size > 0 ? size : ReferenceNumber(0), 1};
  }
  const std::size_t i = at(entry.module);
  return {ReferenceNumber::from_eighths(largest_eighths_[i], (flags_[i] & kFloatLargest) != 0), largest_count_[i]};
}

void ModuleSizes::name_layers(std::int32_t module, const ReferenceNumber& bytes, std::vector<std::string>& names) const {
  std::int32_t i = module;
  while (i < graph_.end(module)) {
    if (largest({i}).bytes != bytes) {
      i = graph_.end(i);
    } else if (splits(i)) {
      ++i;
    } else {
      names.push_back(graph_.name(i));
      i = graph_.end(i);
    }
  }
}

std::vector<GraphEntry> root_entries(const ExpandedGraph& graph) {
  std::vector<GraphEntry> out;
  const auto parameters = static_cast<std::int32_t>(graph.module(0).parameters.size());
  const auto buffers = static_cast<std::int32_t>(graph.module(0).buffers.size());
  for (std::int32_t t = 0; t < parameters; ++t) out.push_back({0, t});
  graph.for_each_child(0, [&out](std::int32_t c) { out.push_back({c}); });
  for (std::int32_t t = 0; t < buffers; ++t) out.push_back({0, parameters + t});
  return out;
}

std::vector<std::pair<std::string, ReferenceNumber>> compute_module_sizes(const MetaGraph& graph, const SizeRequest& request, bool buffers_only) {
  const ExpandedGraph expanded(graph);
  const ModuleSizes sizes(expanded, graph.tied, request);
  std::vector<std::pair<std::string, ReferenceNumber>> out;
  std::vector<bool> named(at(expanded.size()), false);
  const auto visit = [&](const GraphEntry& entry) {
    std::vector<std::int32_t> fresh;
    for (std::int32_t i = entry.module; i >= 0 && !named[at(i)]; i = expanded.parent(i)) fresh.push_back(i);
    for (auto it = fresh.rbegin(); it != fresh.rend(); ++it) {
      named[at(*it)] = true;
      out.emplace_back(expanded.name(*it), buffers_only ? sizes.buffers_below(*it) : sizes.of({*it}));
    }
    out.emplace_back(expanded.name(entry), sizes.of(entry));
  };
  for (const bool buffers : {false, true}) {
    if (buffers_only && !buffers) continue;
    for (std::int32_t i = 0; i < expanded.size(); ++i) {
      const auto parameters = static_cast<std::int32_t>(expanded.module(i).parameters.size());
      const auto count = buffers ? static_cast<std::int32_t>(expanded.module(i).buffers.size()) : parameters;
      for (std::int32_t t = 0; t < count; ++t) {
        const GraphEntry entry{i, buffers ? parameters + t : t};
        if (!sizes.is_alias(entry)) visit(entry);
      }
    }
  }
  return out;
}

namespace {

MaximumSizes maximum_of(const ExpandedGraph& graph, const ModuleSizes& sizes, const std::vector<GraphEntry>& entries) {
  MaximumSizes out;
  out.total_bytes = sizes.total();
  for (const GraphEntry& e : entries) out.largest_bytes = first_max(out.largest_bytes, sizes.largest(e).bytes);
  for (const GraphEntry& e : entries) {
    if (sizes.largest(e).bytes != out.largest_bytes) continue;
    if (e.is_module()) sizes.name_layers(e.module, out.largest_bytes, out.layers);
    else out.layers.push_back(graph.name(e));
  }
  return out;
}

}  // namespace

MaximumSizes calculate_maximum_sizes(const MetaGraph& graph, const NoSplitClasses& no_split) {
  const ExpandedGraph expanded(graph);
  return maximum_of(expanded, ModuleSizes(expanded, graph.tied, {}, no_split), root_entries(expanded));
}

MaximumSizes get_max_layer_size(const MetaGraph& graph, const std::vector<std::string>& modules, const SizeRequest& request,
                                const NoSplitClasses& no_split) {
  const ExpandedGraph expanded(graph);
  std::vector<GraphEntry> entries;
  for (const std::string& name : modules) {
    const std::optional<std::int32_t> module = expanded.find_module(name);
    if (!module) throw NotFoundError(fmt::format("module '{}': the graph has none", name));
    entries.push_back({*module});
  }
  return maximum_of(expanded, ModuleSizes(expanded, graph.tied, request, no_split), entries);
}

}  // namespace bigmodel
