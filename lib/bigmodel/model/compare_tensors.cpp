// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/compare_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/model/disk_names.h"

namespace bigmodel {
namespace {

using Shapes = std::unordered_map<std::string, Shape>;

/// Names that files carry beside the parameters: computed when loading, in every release under these names.
bool is_recomputed(std::string_view name) {
  static constexpr std::string_view kEndings[] = {"position_ids",     "token_type_ids",     "inv_freq", "attn.bias", "attn.masked_bias",
                                                  "attention.bias", "attention.masked_bias", "num_batches_tracked", "attn.attention.bias"};
  return std::ranges::any_of(kEndings, [name](std::string_view ending) { return name.ends_with(ending); });
}

std::string modern_name(std::string name) {
  for (const auto& [old, now] : {std::pair{".gamma", ".weight"}, std::pair{".beta", ".bias"}}) {
    if (name.ends_with(old)) return name.substr(0, name.size() - std::string_view(old).size()) + now;
  }
  return name;
}

/// What the graph expects of files: the tensors as they lie on disk, with the names of memory and of tied copies that also do.
struct Expected {
  std::vector<DiskTensor> disk;
  std::unordered_map<std::string, std::vector<std::string>> copies;  ///< memory name -> names of its tied group
  Shapes memory;                                                     ///< every tensor under its name in memory
};

Expected expectations(const MetaGraph& graph) {
  Expected out;
  out.disk = disk_tensors(graph, DType::float32);
  for (const std::vector<std::string>& group : graph.tied) {
    for (const std::string& name : group) out.copies[name] = group;
  }
  for_each_tensor(graph, [&out](const TensorVisit& t) { out.memory.emplace(t.name, t.tensor.shape); });
  return out;
}

TensorComparison compared(const Expected& expected, const std::string& added, const Shapes& file) {
  TensorComparison out;
  std::unordered_set<std::string> used;
  const auto find = [&](const std::string& name) { return file.find(added + name); };
  for (const DiskTensor& t : expected.disk) {
    auto hit = find(t.name);
    Shape shape = t.shape;
    if (hit == file.end()) {
      hit = find(t.memory_name);
      if (hit != file.end()) shape = expected.memory.at(t.memory_name);
    }
    if (hit == file.end()) {
      if (const auto group = expected.copies.find(t.memory_name); group != expected.copies.end()) {
        for (const std::string& name : group->second) {
          if (hit == file.end()) hit = find(name);
        }
      }
    }
    if (hit == file.end()) {
      if (!is_recomputed(t.name)) out.missing.push_back(t.name);
      continue;
    }
    used.insert(hit->first);
    if (hit->second == shape) {
      ++out.equal;
    } else {
      out.reshaped.push_back(fmt::format("{}: expected {}, got {}", hit->first, to_string(shape), to_string(hit->second)));
    }
  }
  for (const auto& [name, shape] : file) {
    if (used.contains(name) || is_recomputed(name)) continue;
    const bool known = name.starts_with(added) && expected.memory.contains(name.substr(added.size()));
    if (!known) out.unexpected.push_back(name);
  }
  std::ranges::sort(out.unexpected);
  return out;
}

/// The first component that most names share, with its point; empty without.
std::string common_prefix(const Shapes& file) {
  std::map<std::string, std::size_t> counts;
  for (const auto& [name, shape] : file) counts[name.substr(0, name.find('.') + 1)] += 1;
  const auto most = std::ranges::max_element(counts, {}, [](const auto& item) { return item.second; });
  return most == counts.end() || most->second * 2 < file.size() ? std::string{} : most->first;
}

}  // namespace

TensorComparison compare_tensors(const MetaGraph& graph, std::span<const TensorInfo> tensors) {
  const Expected expected = expectations(graph);
  Shapes file;
  for (const TensorInfo& t : tensors) file.emplace(modern_name(t.name), t.shape);
  TensorComparison best = compared(expected, "", file);
  const std::string prefix = common_prefix(file);
  if (!best.agrees() && !prefix.empty()) {
    TensorComparison other = compared(expected, prefix, file);
    if (other.equal > best.equal) best = std::move(other);
  }
  if (!best.agrees()) {
    // A base model's file may lack the prefix that the stated class puts before it.
    Shapes prefixed;
    const std::string first = graph.root->children.empty() ? std::string{} : graph.root->children.front().name + ".";
    for (const auto& [name, shape] : file) prefixed.emplace(first + name, shape);
    TensorComparison other = compared(expected, "", prefixed);
    if (!first.empty() && other.equal > best.equal) best = std::move(other);
  }
  return best;
}

}  // namespace bigmodel
