// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/shard_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/checked_math.h"

namespace bigmodel {
namespace {

/// What is placed as one: the first name of a storage; later names follow it.
struct Item {
  std::uint32_t first = 0;
  std::vector<std::uint32_t> aliases;
  std::uint64_t size_bytes = 0;
};

/// Items in order of their first names; aliases in the order in which they occur.
std::vector<Item> items_of(std::span<const ShardInput> tensors) {
  std::vector<Item> items;
  std::unordered_map<std::uint64_t, std::size_t> by_storage;
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    const ShardInput& tensor = tensors[i];
    if (tensor.storage) {
      const auto [it, fresh] = by_storage.emplace(*tensor.storage, items.size());
      if (!fresh) {
        items[it->second].aliases.push_back(i);
        continue;
      }
    }
    items.push_back({.first = i, .size_bytes = tensor.storage_bytes});
  }
  return items;
}

/// Shards as lists of items.
using Cut = std::vector<std::vector<std::size_t>>;

Cut next_fit(const std::vector<Item>& items, std::uint64_t limit) {
  Cut cut;
  std::vector<std::size_t> open;
  std::uint64_t open_bytes = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::uint64_t size = items[i].size_bytes;
    if (size > limit) {
      cut.push_back({i});
      continue;
    }
    if (checked_add(open_bytes, size, "shard") > limit) {
      cut.push_back(std::move(open));
      open.clear();
      open_bytes = 0;
    }
    open.push_back(i);
    open_bytes += size;
  }
  if (!open.empty()) cut.push_back(std::move(open));
  return cut;
}

/// A run of items of one layer, which balanced shards keep together.
struct Run {
  std::size_t begin = 0, end = 0;
  std::uint64_t size_bytes = 0;
};

std::vector<Run> layer_runs(const std::vector<Item>& items, std::span<const ShardInput> tensors, std::uint64_t limit) {
  std::vector<Run> runs;
  std::string_view layer;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string_view mine = layer_of(tensors[items[i].first].name);
    const bool joins = !runs.empty() && mine == layer && checked_add(runs.back().size_bytes, items[i].size_bytes, "layer") <= limit;
    if (joins) {
      runs.back().end = i + 1;
      runs.back().size_bytes += items[i].size_bytes;
    } else {
      runs.push_back({i, i + 1, items[i].size_bytes});
    }
    layer = mine;
  }
  return runs;
}

/// Cuts the runs, in order, into shards of at most `limit` (a larger run stands alone).
std::vector<std::vector<std::size_t>> fill(const std::vector<Run>& runs, std::uint64_t limit) {
  std::vector<std::vector<std::size_t>> out;
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (out.empty() || size > limit || runs[i].size_bytes > limit - size) {
      out.emplace_back();
      size = 0;
    }
    out.back().push_back(i);
    size = checked_add(size, runs[i].size_bytes, "shard");
  }
  return out;
}

/// The smallest bound on shard size that needs no more shards than the limit does, found by bisection.
Cut balanced(const std::vector<Item>& items, std::span<const ShardInput> tensors, std::uint64_t limit) {
  const std::vector<Run> runs = layer_runs(items, tensors, limit);
  const std::size_t count = fill(runs, limit).size();
  std::uint64_t low = 0;
  std::uint64_t high = limit;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (fill(runs, middle).size() <= count) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  Cut cut;
  for (const std::vector<std::size_t>& shard : fill(runs, high)) {
    cut.emplace_back();
    for (const std::size_t run : shard) {
      for (std::size_t i = runs[run].begin; i < runs[run].end; ++i) cut.back().push_back(i);
    }
  }
  return cut;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::uint64_t parse_max_shard_size(std::string_view text, std::string_view object) {
  const std::uint64_t exact = parse_byte_size(text, object);
  text = trimmed(text);
  if (text.size() < 3 || (text.back() != 'B' && text.back() != 'b')) return exact;
  double scale = 0;
  switch (text[text.size() - 2]) {
    case 'k': case 'K': scale = 1e3; break;
    case 'm': case 'M': scale = 1e6; break;
    case 'g': case 'G': scale = 1e9; break;
    case 't': case 'T': scale = 1e12; break;
    default: return exact;
  }
  const std::string_view number = trimmed(text.substr(0, text.size() - 2));
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  const double product = value * scale;
  if (error != std::errc() || end != number.data() + number.size() || product >= 9.0e18) return exact;
  return static_cast<std::uint64_t>(product);
}

std::string_view layer_of(std::string_view name) {
  std::size_t begin = 0;
  while (begin < name.size()) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos) return name.substr(0, end);
    begin = end + 1;
  }
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(0, dot);
}

ShardNames usual_names(bool bin, std::string variant) {
  return bin ? ShardNames{.stem = "pytorch_model", .suffix = ".bin", .variant = std::move(variant)} : ShardNames{.variant = std::move(variant)};
}

ShardPlan plan_shards(std::span<const ShardInput> tensors, std::uint64_t max_shard_size_bytes, const ShardNames& names,
                      ShardPolicy policy) {
  const std::vector<Item> items = items_of(tensors);
  const Cut cut = policy == ShardPolicy::hf ? next_fit(items, max_shard_size_bytes) : balanced(items, tensors, max_shard_size_bytes);
  ShardPlan plan;
  for (std::size_t s = 0; s < cut.size(); ++s) {
    PlannedShard shard;
    shard.file = cut.size() == 1 ? names.one() : fmt::format("{}-{:05}-of-{:05}{}", names.varied_stem(), s + 1, cut.size(), names.suffix);
    for (const std::size_t i : cut[s]) shard.tensors.push_back(items[i].first);
    plan.shards.push_back(std::move(shard));
  }
  // Aliases come after all first names of their shard, storage by storage in order of first names.
  std::vector<std::size_t> shard_of(items.size());
  for (std::size_t s = 0; s < cut.size(); ++s) {
    for (const std::size_t i : cut[s]) {
      shard_of[i] = s;
      plan.shards[s].size_bytes = checked_add(plan.shards[s].size_bytes, items[i].size_bytes, "shard");
    }
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    plan.total_size = checked_add(plan.total_size, items[i].size_bytes, "total_size");
    std::vector<std::uint32_t>& into = plan.shards[shard_of[i]].tensors;
    into.insert(into.end(), items[i].aliases.begin(), items[i].aliases.end());
  }
  return plan;
}

}  // namespace bigmodel
