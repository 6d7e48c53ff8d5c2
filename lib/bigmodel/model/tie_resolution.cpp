// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/tie_resolution.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

/// Where a parameter stands in listing order: own parameters (0, k) come before children (1, child, element).
using Position = std::vector<std::int64_t>;

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t dot = path.find('.');
    out.push_back(path.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    path.remove_prefix(dot + 1);
  }
}

struct Match {
  std::string name;
  Position position;
  std::vector<std::string> stars;
};

/// Every parameter below `module` whose path matches the components from `at` on.
void find_matches(const ModuleTemplate& module, const std::vector<std::string_view>& pattern, std::size_t at, Match& prefix,
                  std::vector<Match>& out) {
  const std::string_view part = pattern[at];
  const bool star = part == "*";
  const auto descend = [&](std::string_view name, std::initializer_list<std::int64_t> step, const auto& then) {
    const std::size_t length = prefix.name.size();
    const std::size_t depth = prefix.position.size();
    if (!prefix.name.empty()) prefix.name += '.';
    prefix.name += name;
    prefix.position.insert(prefix.position.end(), step);
    if (star) prefix.stars.emplace_back(name);
    then();
    if (star) prefix.stars.pop_back();
    prefix.position.resize(depth);
    prefix.name.resize(length);
  };
  if (at + 1 == pattern.size()) {
    for (std::size_t i = 0; i < module.parameters.size(); ++i) {
      const std::string& name = module.parameters[i].name;
      if (star || name == part) descend(name, {0, static_cast<std::int64_t>(i)}, [&] { out.push_back(prefix); });
    }
    return;
  }
  for (std::size_t i = 0; i < module.children.size(); ++i) {
    const ModuleChild& child = module.children[i];
    for (std::int64_t k = 0; k < child.count; ++k) {
      const std::string name = child.name_at(k);
      if (!star && name != part) continue;
      descend(name, {1, static_cast<std::int64_t>(i), k}, [&] { find_matches(*child.module, pattern, at + 1, prefix, out); });
    }
  }
}

std::vector<Match> matches(const ModuleTemplate& root, std::string_view path) {
  std::vector<Match> out;
  Match prefix;
  find_matches(root, components(path), 0, prefix, out);
  return out;
}

/// Disjoint sets of parameters, each known by its position.
class Sets {
 public:
  void join(const Match& a, const Match& b) {
    names_.emplace(a.position, a.name);
    names_.emplace(b.position, b.name);
    const Position x = top(a.position);
    const Position y = top(b.position);
    if (x == y) return;
    parent_[std::max(x, y)] = std::min(x, y);  // the first in listing order stays
  }

  /// The tensor of `dst` becomes that of another parameter, so files keep the other one's name.
  void mark_as_copy(const Match& dst) { copies_.insert(dst.position); }

  TiedGroups groups() {
    std::map<Position, std::vector<Position>> by_top;
    for (const auto& [position, name] : names_) by_top[top(position)].push_back(position);
    TiedGroups out;
    for (const auto& [first, members] : by_top) {
      if (members.size() < 2) continue;
      const auto source = std::ranges::find_if(members, [this](const Position& p) { return !copies_.contains(p); });
      out.sources.push_back(names_.at(source == members.end() ? members.front() : *source));
      std::vector<std::string>& group = out.groups.emplace_back();
      for (const Position& member : members) group.push_back(names_.at(member));
    }
    return out;
  }

 private:
  Position top(Position position) const {
    for (auto it = parent_.find(position); it != parent_.end(); it = parent_.find(position)) position = it->second;
    return position;
  }

  std::map<Position, std::string> names_;
  std::map<Position, Position> parent_;
  std::set<Position> copies_;
};

std::string with_stars(std::string_view path, const std::vector<std::string>& stars) {
  std::string out;
  std::size_t used = 0;
  for (const std::string_view part : components(path)) {
    if (!out.empty()) out += '.';
    if (part == "*" && used < stars.size()) {
      out += stars[used++];
    } else {
      out += part;
    }
  }
  return out;
}

}  // namespace

TiedGroups resolve_ties(const ModuleTemplate& root, const std::vector<TieLine>& lines) {
  Sets sets;
  for (const TieLine& line : lines) {
    for (const Match& dst : matches(root, line.dst)) {
      const std::string src = with_stars(line.src, dst.stars);
      const std::vector<Match> hits = matches(root, src);
      if (hits.empty()) throw spec::SpecError(fmt::format("tie: no parameter '{}'", src), line.place);
      sets.join(dst, hits.front());
      sets.mark_as_copy(dst);
    }
  }
  return sets.groups();
}

TiedGroups order_ties(const ModuleTemplate& root, const std::vector<std::vector<std::string>>& groups) {
  Sets sets;
  for (const std::vector<std::string>& group : groups) {
    std::optional<Match> first;
    for (const std::string& name : group) {
      const std::vector<Match> hits = matches(root, name);
      if (hits.empty()) throw FormatError(fmt::format("ties: no parameter '{}' in the tree", name.substr(0, 200)));
      if (first) sets.join(*first, hits.front());
      if (!first) first = hits.front();
    }
  }
  return sets.groups();
}

}  // namespace bigmodel
