// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/suggestion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace bigmodel {
namespace {

constexpr std::size_t kLongestName = 128;
constexpr std::size_t kShortestPrefix = 3;

/// Optimal string alignment distance (insert, delete, substitute, swap neighbours), letters without case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  };
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> known,
                                       std::size_t limit) {
  if (name.empty() || name.size() > kLongestName) return {};
  const std::size_t most = std::max<std::size_t>(1, name.size() / 3);
  std::vector<std::pair<std::size_t, std::string>> hits;
  for (const std::string& candidate : known) {
    if (name.size() >= kShortestPrefix && candidate.size() > name.size() && candidate.starts_with(name)) {
      hits.emplace_back(1, candidate);
      continue;
    }
    const std::size_t gap =
        candidate.size() > name.size() ? candidate.size() - name.size() : name.size() - candidate.size();
    if (gap > most || candidate == name) continue;
    const std::size_t distance = edit_distance(name, candidate);
    if (distance <= most) hits.emplace_back(distance, candidate);
  }
  std::ranges::stable_sort(hits, {}, &std::pair<std::size_t, std::string>::first);
  std::vector<std::string> out;
  for (const auto& [distance, candidate] : hits) {
    if (out.size() == limit) break;
    if (std::ranges::find(out, candidate) == out.end()) out.push_back(candidate);
  }
  return out;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  const std::vector<std::string> hits = nearest_names(name, known, 1);
  return hits.empty() ? std::string{} : fmt::format("did you mean '{}'?", hits.front());
}

}  // namespace bigmodel
