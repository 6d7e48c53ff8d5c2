// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/packing.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <unordered_map>

namespace bigmodel {
namespace {

using Counts = std::vector<std::int64_t>;

/// Largest products stay below 2^126: sizes are below 2^63 and counts below 2^31.
using Wide = __int128;

constexpr double kTieWeight = 1e-6;
constexpr std::int64_t kMostWork = 2'000'000;
constexpr std::size_t kMostStates = 4'000;

double objective_of(double run, const std::vector<double>& stores) {
  double step = run, all = run;
  for (const double s : stores) {
    step = std::max(step, s);
    all += s;
  }
  return step + kTieWeight * all;
}

struct CountsHash {
  std::size_t operator()(const Counts& counts) const {
    std::size_t h = 0;
    for (const std::int64_t c : counts) h ^= static_cast<std::size_t>(c) + 0x9e3779b97f4a7c15ULL + (h << 6) + (h >> 2);
    return h;
  }
};

/// How a set of remaining parts was reached with the least running time so far.
struct State {
  double run_seconds = 0;
  const Counts* before = nullptr;  ///< the remaining parts before the last device
  Counts chosen;                   ///< by the last device
};

using States = std::unordered_map<Counts, State, CountsHash>;

class Search {
 public:
  explicit Search(const PackingProblem& problem) : p_(problem), order_(problem.parts.size()) {
    // Parts whose bytes are read most often per byte stored come first: the first packing tried is then already a good one.
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, std::greater{}, [this](std::size_t t) { return density(t); });
  }

  std::optional<Packing> run() {
    Counts all;
    for (const PackingPart& part : p_.parts) all.push_back(part.count);
    stages_.emplace_back();
    stages_.back().emplace(all, State{});
    for (std::size_t d = 1; d < p_.runs.size(); ++d) expand(d);
    finish();
    if (!found_) return std::nullopt;
    return Packing{.counts = best_, .time = *packing_time(p_, best_), .proved = !cut_off_};
  }

 private:
  double density(std::size_t t) const {
    const PackingPart& part = p_.parts[t];
    return part.memory_bytes == 0 ? std::numeric_limits<double>::max() : part.read_bytes / static_cast<double>(part.memory_bytes);
  }

  bool may_work() {
    if (++work_ <= kMostWork) return true;
    cut_off_ = true;
    return false;
  }

  /// Calls `visit` with every choice from `remaining` that fits; only those that leave no room for another part where `maximal`.
  void choices(const Counts& remaining, Wide capacity, bool with_local, bool maximal, const std::function<void(const Counts&)>& visit) {
    if (capacity < 0) return;
    Counts chosen(remaining.size(), 0);
    choose(0, remaining, capacity, with_local, maximal, chosen, visit);
  }

  void choose(std::size_t at, const Counts& remaining, Wide left, bool with_local, bool maximal, Counts& chosen,
              const std::function<void(const Counts&)>& visit) {
    if (!may_work()) return;
    if (at == order_.size()) {
      if (maximal) {
        for (std::size_t t = 0; t < remaining.size(); ++t) {
          if (chosen[t] < remaining[t] && size(t, with_local) <= left) return;
        }
      }
      visit(chosen);
      return;
    }
    const std::size_t t = order_[at];
    const Wide each = size(t, with_local);
    const std::int64_t most = each == 0 ? remaining[t] : static_cast<std::int64_t>(std::min<Wide>(remaining[t], left / each));
    const bool only_most = each == 0 || (maximal && at + 1 == order_.size());
    for (std::int64_t n = most; n >= (only_most ? most : 0); --n) {
      if (work_ > kMostWork) break;
      chosen[t] = n;
      choose(at + 1, remaining, left - n * each, with_local, maximal, chosen, visit);
    }
    chosen[t] = 0;
  }

  Wide size(std::size_t t, bool with_local) const {
    return Wide{p_.parts[t].memory_bytes} + (with_local ? p_.parts[t].local_bytes : 0);
  }

  double run_seconds(const Counts& counts, double bytes_per_second) const {
    double bytes = 0;
    for (std::size_t t = 0; t < counts.size(); ++t) {
      bytes += static_cast<double>(counts[t]) * (p_.parts[t].read_bytes + p_.parts[t].local_read_bytes);
    }
    return bytes / bytes_per_second;
  }

  static bool empty(const Counts& counts) {
    return std::ranges::all_of(counts, [](std::int64_t c) { return c == 0; });
  }

  static Counts minus(const Counts& a, const Counts& b) {
    Counts out(a.size());
    for (std::size_t t = 0; t < a.size(); ++t) out[t] = a[t] - b[t];
    return out;
  }

  /// Fills one running device (not the main one) from every state so far.
  void expand(std::size_t device) {
    const PackingDevice& d = p_.runs[device];
    // A device as fast as the main one is full or unused: one more part on it costs nothing and frees a slower place.
    const bool maximal = d.bytes_per_second >= p_.runs[0].bytes_per_second;
    const States& from = stages_.back();
    States to;
    const auto offer = [&](const Counts& remaining, const Counts& chosen, double seconds) {
      Counts rest = minus(remaining, chosen);
      const auto it = to.find(rest);
      if (it != to.end() && it->second.run_seconds <= seconds) return;
      to.insert_or_assign(std::move(rest), State{seconds, &remaining, chosen});
    };
    std::vector<const States::value_type*> sorted;
    for (const auto& entry : from) sorted.push_back(&entry);
    std::ranges::sort(sorted, [](const auto* a, const auto* b) { return a->first < b->first; });
    for (const auto* entry : sorted) {
      const Counts& remaining = entry->first;
      const State& state = entry->second;
      offer(remaining, Counts(remaining.size(), 0), state.run_seconds);
      choices(remaining, Wide{d.capacity_bytes} - d.workspace_bytes, true, maximal, [&](const Counts& chosen) {
        if (!empty(chosen)) {
          offer(remaining, chosen, state.run_seconds + run_seconds(chosen, d.bytes_per_second) + p_.hop_seconds);
        }
      });
    }
    if (to.size() > kMostStates) keep_best(to);
    stages_.push_back(std::move(to));
  }

  void keep_best(States& states) {
    cut_off_ = true;
    std::vector<std::pair<double, Counts>> ranked;
    for (const auto& [remaining, state] : states) ranked.emplace_back(lower_bound(remaining, state.run_seconds), remaining);
    std::ranges::sort(ranked);
    for (std::size_t i = kMostStates; i < ranked.size(); ++i) states.erase(ranked[i].second);
  }

  /// No completion of this state has a smaller objective.
  double lower_bound(const Counts& remaining, double run) const {
    Wide need = p_.runs[0].workspace_bytes;
    for (std::size_t t = 0; t < remaining.size(); ++t) need += Wide{remaining[t]} * size(t, true);
    double stored = static_cast<double>(std::max<Wide>(need - p_.runs[0].capacity_bytes, 0));
    const double total = run + run_seconds(remaining, p_.runs[0].bytes_per_second);
    std::vector<double> stores(p_.stores.size(), 0.0);
    // What must lie elsewhere at least, as if parts could be cut: those that are read least.
    double read = 0;
    for (auto it = order_.rbegin(); it != order_.rend() && stored > 0; ++it) {
      const double memory = static_cast<double>(remaining[*it]) * static_cast<double>(p_.parts[*it].memory_bytes);
      if (memory <= 0) continue;
      const double taken = std::min(memory, stored);
      read += taken * density(*it);
      stored -= taken;
    }
    if (!stores.empty()) stores[0] = read / p_.stores[0].bytes_per_second;
    return objective_of(total, stores) * (1 - 1e-12);
  }

  /// The main device and the storing ones, for every state, most promising first.
  void finish() {
    std::vector<std::pair<double, const States::value_type*>> ranked;
    for (const auto& entry : stages_.back()) ranked.emplace_back(lower_bound(entry.first, entry.second.run_seconds), &entry);
    std::ranges::sort(ranked, [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : a.second->first < b.second->first;
    });
    work_ = std::min(work_, kMostWork / 2);  // what filled the devices must not starve this
    for (const auto& [bound, entry] : ranked) {
      if (found_ && bound >= best_objective_) break;
      place_rest(entry->first, entry->second);
    }
  }

  void place_rest(const Counts& remaining, const State& state) {
    const double run = state.run_seconds + run_seconds(remaining, p_.runs[0].bytes_per_second);
    Wide left = Wide{p_.runs[0].capacity_bytes} - (empty(remaining) ? 0 : p_.runs[0].workspace_bytes);
    Wide memory = 0;
    for (std::size_t t = 0; t < remaining.size(); ++t) {
      left -= Wide{remaining[t]} * p_.parts[t].local_bytes;
      memory += Wide{remaining[t]} * p_.parts[t].memory_bytes;
    }
    if (left < 0) return;
    if (memory <= left) {
      offer(state, remaining, remaining, {}, run);
      return;  // nothing that leaves the main device can be faster
    }
    if (p_.stores.empty()) return;
    std::vector<std::int64_t> limits;
    for (std::size_t t = 0; t < remaining.size(); ++t) {
      if (remaining[t] > 0) limits.push_back(p_.parts[t].buffer_bytes());
    }
    std::ranges::sort(limits);
    limits.erase(std::unique(limits.begin(), limits.end()), limits.end());
    for (const std::int64_t limit : limits) {
      // Parts above the limit stay on the main device, so that a buffer need not hold them.
      Wide room = left - Wide{p_.slots} * limit;
      Counts forced(remaining.size(), 0);
      for (std::size_t t = 0; t < remaining.size(); ++t) {
        if (p_.parts[t].buffer_bytes() <= limit) continue;
        forced[t] = remaining[t];
        room -= Wide{remaining[t]} * p_.parts[t].memory_bytes;
      }
      const Counts free = minus(remaining, forced);
      choices(free, room, false, true, [&](const Counts& chosen) {
        Counts on_main = forced;
        for (std::size_t t = 0; t < on_main.size(); ++t) on_main[t] += chosen[t];
        std::vector<Counts> stored;
        store(0, minus(free, chosen), stored, [&] { offer(state, remaining, on_main, stored, run); });
      });
    }
  }

  void store(std::size_t device, const Counts& rest, std::vector<Counts>& stored, const std::function<void()>& done) {
    if (device == p_.stores.size()) {
      if (empty(rest)) done();
      return;
    }
    choices(rest, p_.stores[device].capacity_bytes, false, true, [&](const Counts& chosen) {
      stored.push_back(chosen);
      store(device + 1, minus(rest, chosen), stored, done);
      stored.pop_back();
    });
  }

  void offer(const State& state, const Counts& remaining, const Counts& on_main, const std::vector<Counts>& stored, double run) {
    std::vector<double> seconds(p_.stores.size(), 0.0);
    double passing = 0;
    for (std::size_t d = stored.size(); d-- > 0;) {
      for (std::size_t t = 0; t < remaining.size(); ++t) passing += static_cast<double>(stored[d][t]) * p_.parts[t].read_bytes;
      seconds[d] = passing / p_.stores[d].bytes_per_second;
    }
    const double objective = objective_of(run, seconds);
    if (found_ && objective >= best_objective_) return;
    found_ = true;
    best_objective_ = objective;
    best_.assign(p_.parts.size(), Counts(p_.runs.size() + p_.stores.size(), 0));
    for (std::size_t t = 0; t < p_.parts.size(); ++t) {
      best_[t][0] = on_main[t];
      for (std::size_t d = 0; d < stored.size(); ++d) best_[t][p_.runs.size() + d] = stored[d][t];
    }
    const State* at = &state;
    for (std::size_t d = p_.runs.size() - 1; d >= 1; --d) {
      for (std::size_t t = 0; t < p_.parts.size(); ++t) best_[t][d] = at->chosen[t];
      at = &stages_[d - 1].at(*at->before);
    }
  }

  const PackingProblem& p_;
  std::vector<std::size_t> order_;
  std::vector<States> stages_;   ///< after each running device but the main one
  std::int64_t work_ = 0;
  bool cut_off_ = false;
  bool found_ = false;
  double best_objective_ = 0;
  PackingCounts best_;
};

}  // namespace

std::optional<PackingTime> packing_time(const PackingProblem& p, const PackingCounts& counts) {
  PackingTime out;
  const std::size_t devices = p.runs.size() + p.stores.size();
  Wide main_extra = 0;
  std::int64_t largest_stored = 0;
  bool any_main = false;
  for (std::size_t d = devices; d-- > 0;) {
    const bool runs = d < p.runs.size();
    const PackingDevice& device = runs ? p.runs[d] : p.stores[d - p.runs.size()];
    Wide used = 0;
    double read = 0;
    bool any = false;
    for (std::size_t t = 0; t < p.parts.size(); ++t) {
      const PackingPart& part = p.parts[t];
      const std::int64_t n = counts[t][d];
      if (n == 0) continue;
      any = true;
      used += Wide{n} * part.memory_bytes;
      if (runs) {
        used += Wide{n} * part.local_bytes;
        read += static_cast<double>(n) * (part.read_bytes + part.local_read_bytes);
      } else {
        main_extra += Wide{n} * part.local_bytes;
        largest_stored = std::max(largest_stored, part.buffer_bytes());
        out.run_seconds += static_cast<double>(n) * (part.read_bytes + part.local_read_bytes) / p.runs[0].bytes_per_second;
      }
    }
    if (!runs) any_main = any_main || any;
    if (d == 0) {
      any = any || any_main;
      used += main_extra + Wide{p.slots} * largest_stored;
    }
    if (runs && any) used += device.workspace_bytes;
    if (any && used > device.capacity_bytes) return std::nullopt;
    if (runs) {
      out.run_seconds += read / device.bytes_per_second;
      if (d > 0 && any) out.run_seconds += p.hop_seconds;
    }
  }
  out.store_seconds.assign(p.stores.size(), 0.0);
  double passing = 0;
  for (std::size_t d = p.stores.size(); d-- > 0;) {
    for (std::size_t t = 0; t < p.parts.size(); ++t) {
      passing += static_cast<double>(counts[t][p.runs.size() + d]) * p.parts[t].read_bytes;
    }
    out.store_seconds[d] = passing / p.stores[d].bytes_per_second;
  }
  out.step_seconds = out.run_seconds;
  for (const double s : out.store_seconds) out.step_seconds = std::max(out.step_seconds, s);
  out.objective = objective_of(out.run_seconds, out.store_seconds);
  return out;
}

std::optional<Packing> pack(const PackingProblem& problem) {
  if (problem.runs.empty()) return std::nullopt;
  return Search(problem).run();
}

}  // namespace bigmodel
