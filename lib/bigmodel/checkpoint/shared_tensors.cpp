// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/shared_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

namespace bigmodel {
namespace {

using Group = std::vector<std::uint32_t>;

/// Tensors by storage, groups in order of their first names. Empty storages share nothing.
std::vector<Group> groups_of(const Checkpoint& checkpoint) {
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::size_t> by_storage;
  std::vector<Group> groups;
  for (std::uint32_t i = 0; i < checkpoint.tensors.size(); ++i) {
    const CheckpointTensor& tensor = checkpoint.tensors[i];
    if (tensor.storage_bytes == 0) continue;
    const auto [it, fresh] = by_storage.emplace(std::pair(tensor.file, tensor.storage), groups.size());
    if (fresh) groups.emplace_back();
    groups[it->second].push_back(i);
  }
  return groups;
}

KeptTensors without(const Checkpoint& checkpoint, const std::unordered_set<std::uint32_t>& gone) {
  KeptTensors out;
  for (std::uint32_t i = 0; i < checkpoint.tensors.size(); ++i) {
    if (!gone.contains(i)) out.kept.push_back(i);
  }
  return out;
}

/// Splits a storage's tensors where one begins after all before it have ended: those share nothing.
std::vector<Group> overlapping(const Checkpoint& checkpoint, Group group) {
  if (group.size() < 2) return {std::move(group)};
  const auto end_of = [&](std::uint32_t i) { return checkpoint.tensors[i].offset + checkpoint.tensors[i].size_bytes; };
  std::ranges::sort(group, {}, [&](std::uint32_t i) { return std::tuple(checkpoint.tensors[i].offset, end_of(i), checkpoint.tensors[i].name); });
  std::vector<Group> out{{group.front()}};
  std::uint64_t last_stop = end_of(group.front());
  for (std::size_t k = 1; k < group.size(); ++k) {
    if (checkpoint.tensors[group[k]].offset >= last_stop) {
      out.push_back({group[k]});
    } else {
      out.back().push_back(group[k]);
    }
    // As in the reference: the end of the last one looked at, not the furthest.
    last_stop = end_of(group[k]);
  }
  return out;
}

}  // namespace

KeptTensors keep_distinct(const Checkpoint& checkpoint) {
  std::unordered_set<std::uint32_t> gone;
  std::vector<std::pair<std::string, std::string>> dropped;
  for (const Group& group : groups_of(checkpoint)) {
    if (group.size() < 2) continue;
    std::map<std::tuple<std::uint64_t, Shape, std::vector<std::int64_t>, DType, bool, bool>, std::uint32_t> views;
    for (const std::uint32_t i : group) {
      const CheckpointTensor& t = checkpoint.tensors[i];
      if (t.size_bytes == 0) continue;
      const auto [it, fresh] = views.emplace(std::tuple(t.offset, t.shape, t.strides, t.dtype, t.conjugate, t.negative), i);
      if (fresh) continue;
      gone.insert(i);
      dropped.emplace_back(t.name, checkpoint.tensors[it->second].name);
    }
  }
  KeptTensors out = without(checkpoint, gone);
  out.dropped = std::move(dropped);
  return out;
}

KeptTensors keep_like_hub(const Checkpoint& checkpoint) {
  std::unordered_set<std::uint32_t> gone;
  std::vector<std::pair<std::string, std::string>> dropped;
  const auto refuse = [&](std::string why) {
    KeptTensors out = without(checkpoint, {});
    out.refused = true;
    out.why = std::move(why);
    return out;
  };
  for (const Group& all : groups_of(checkpoint)) {
    if (all.size() > 1) {
      for (const std::uint32_t i : all) {
        if (!checkpoint.tensors[i].contiguous()) return refuse(fmt::format("\"{}\" is a strided view of shared memory", checkpoint.tensors[i].name));
      }
    }
    for (const Group& group : overlapping(checkpoint, all)) {
      const CheckpointTensor* keep = nullptr;
      for (const std::uint32_t i : group) {
        const CheckpointTensor& t = checkpoint.tensors[i];
        const bool complete = t.offset == t.storage_offset && t.size_bytes == t.storage_bytes;
        if (complete && (keep == nullptr || t.name < keep->name)) keep = &t;
      }
      if (keep == nullptr) return refuse(fmt::format("\"{}\" is a part of a larger storage", checkpoint.tensors[group.front()].name));
      std::vector<std::pair<std::string, std::uint32_t>> others;
      for (const std::uint32_t i : group) {
        if (&checkpoint.tensors[i] != keep) others.emplace_back(checkpoint.tensors[i].name, i);
      }
      std::ranges::sort(others);
      for (const auto& [name, i] : others) {
        gone.insert(i);
        dropped.emplace_back(name, keep->name);
      }
    }
  }
  KeptTensors out = without(checkpoint, gone);
  out.dropped = std::move(dropped);
  return out;
}

}  // namespace bigmodel
