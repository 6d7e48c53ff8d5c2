// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/optimal_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/planning/activations.h"
#include "bigmodel/planning/packing.h"

namespace bigmodel {
namespace {

std::string size_text(std::int64_t bytes) { return format_binary(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0))); }

class Mapper {
 public:
  Mapper(const MetaGraph& graph, const OptimalRequest& request) : graph_(graph), request_(request), parts_(placement_parts(graph, request.placement)) {}

  OptimalMap run() {
    read_budgets();
    read_parts();
    const std::optional<Packing> packing = best_packing();
    if (!packing) refuse();
    OptimalMap out;
    out.proved = packing->proved;
    out.main_device = devices_[main_];
    out.workspace_bytes = workspace_;
    place(packing->counts);
    fill_uses(out);
    write_map(out);
    out.predicted = predict_time(parts_, full_map_, request_.speeds, request_.placement.cache.batch);
    return out;
  }

 private:
  void read_budgets() {
    budgets_ = request_.budgets;
    const auto has = [this](std::string_view name) {
      return std::ranges::any_of(budgets_, [name](const auto& b) { return to_string(b.first) == name; });
    };
    for (const auto& [device, bytes] : budgets_) {
      if (bytes < 0) throw UsageError(fmt::format("budget of {}: {} is negative, expected bytes", to_string(device), bytes));
    }
    if (!has("disk")) budgets_.emplace_back(std::string("disk"), INT64_MAX);
    std::vector<std::size_t> runs, stores;
    for (std::size_t i = 0; i < budgets_.size(); ++i) {
      if (is_accelerator(budgets_[i].first) && budgets_[i].second > 0) runs.push_back(i);
    }
    const auto named = [this](std::string_view name) {
      for (std::size_t i = 0; i < budgets_.size(); ++i) {
        if (to_string(budgets_[i].first) == name) return i;
      }
      return budgets_.size();
    };
    if (runs.empty()) {
      if (named("cpu") == budgets_.size()) budgets_.emplace_back(std::string("cpu"), 0);
      runs.push_back(named("cpu"));
    } else if (named("cpu") < budgets_.size()) {
      stores.push_back(named("cpu"));
    }
    stores.push_back(named("disk"));
    // The fastest runs what is only stored elsewhere.
    const auto speed = [this](std::size_t i) { return request_.speeds.of(budgets_[i].first); };
    std::ranges::stable_sort(runs, std::greater{}, speed);
    const bool accelerated = is_accelerator(budgets_[runs.front()].first);
    for (const std::size_t i : runs) {
      problem_.runs.push_back({.capacity_bytes = budgets_[i].second, .bytes_per_second = speed(i)});
      devices_.push_back(budgets_[i].first);
    }
    for (const std::size_t i : stores) {
      const bool link = accelerated && to_string(budgets_[i].first) == "cpu";
      const double s = link ? std::min(speed(i), request_.speeds.link.value_or(speed(i))) : speed(i);
      problem_.stores.push_back({.capacity_bytes = budgets_[i].second, .bytes_per_second = s});
      devices_.push_back(budgets_[i].first);
    }
    problem_.slots = request_.streaming_slots;
    problem_.hop_seconds = kHopSeconds;
    const CacheRequest& cache = request_.placement.cache;
    const std::int64_t sequences = checked_mul(cache.batch, cache.beams, "batch");
    const std::int64_t context = std::max<std::int64_t>(cache.context, 1);
    const std::int64_t prompt = checked_mul(context, sequences, "context");
    workspace_ = activation_size(activation_widths(graph_), {.tokens = std::min(prompt, std::max<std::int64_t>(request_.prefill_tokens, 1)),
                                                             .sequences = sequences,
                                                             .context = context,
                                                             .dtype = request_.workspace_dtype.value_or(request_.placement.dtype),
                                                             .drops_later = request_.placement.cache.engine == CacheEngine::bigmodel})
                     .peak_bytes;
    for (PackingDevice& d : problem_.runs) d.workspace_bytes = workspace_;
  }

  /// Every one of the fastest devices may be the main one, which gives room to buffers; the first of equally good ones is.
  std::optional<Packing> best_packing() {
    const PackingProblem given = problem_;
    const std::vector<DeviceKey> names = devices_;
    std::optional<Packing> best;
    PackingProblem best_problem;
    std::vector<DeviceKey> best_devices;
    bool proved = true;
    for (std::size_t main = 0; main < given.runs.size(); ++main) {
      if (given.runs[main].bytes_per_second < given.runs[0].bytes_per_second) break;
      const auto same_capacity = [&](std::size_t other) { return given.runs[other].capacity_bytes == given.runs[main].capacity_bytes; };
      bool tried = false;
      for (std::size_t other = 0; other < main; ++other) tried = tried || same_capacity(other);
      if (tried) continue;
      problem_ = given;
      devices_ = names;
      std::rotate(problem_.runs.begin(), problem_.runs.begin() + static_cast<std::ptrdiff_t>(main),
                  problem_.runs.begin() + static_cast<std::ptrdiff_t>(main) + 1);
      std::rotate(devices_.begin(), devices_.begin() + static_cast<std::ptrdiff_t>(main),
                  devices_.begin() + static_cast<std::ptrdiff_t>(main) + 1);
      std::optional<Packing> found = pack(problem_);
      proved = proved && (!found || found->proved);
      if (!found || (best && found->time.objective >= best->time.objective * (1 - 1e-9))) continue;
      best = std::move(found);
      best_problem = problem_;
      best_devices = devices_;
    }
    problem_ = best ? best_problem : given;
    devices_ = best ? best_devices : names;
    if (best) best->proved = proved;
    return best;
  }

  /// Equal parts become one kind. Parts without memory follow their neighbours.
  void read_parts() {
    std::map<std::tuple<std::int64_t, std::int64_t, double, std::int64_t>, std::size_t> kinds;
    kind_of_.assign(parts_.size(), SIZE_MAX);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const PlacementPart& part = parts_[i];
      const std::int64_t memory = checked_add(part.weights_bytes, part.buffers_bytes, part.names.front());
      if (memory == 0 && part.cache_bytes == 0) continue;
      const auto [it, fresh] = kinds.try_emplace({memory, part.cache_bytes, part.read_bytes, part.slot_bytes}, problem_.parts.size());
      if (fresh) {
        problem_.parts.push_back({.count = 0,
                                  .memory_bytes = memory,
                                  .slot_bytes = part.slot_bytes,
                                  .local_bytes = part.cache_bytes,
                                  .read_bytes = part.read_bytes,
                                  .local_read_bytes = static_cast<double>(part.cache_bytes)});
      }
      kind_of_[i] = it->second;
      ++problem_.parts[it->second].count;
    }
  }

  /// Hands the parts of each kind out in module order: what the main device runs first, then the other running devices.
  void place(const PackingCounts& counts) {
    std::vector<std::vector<std::size_t>> sequence(problem_.parts.size());
    const std::size_t runs = problem_.runs.size();
    for (std::size_t t = 0; t < counts.size(); ++t) {
      // Streamed parts lie evenly between resident ones: slot k of n goes to the device that is furthest behind its share.
      std::vector<std::size_t> lanes = {0};
      for (std::size_t d = runs; d < devices_.size(); ++d) lanes.push_back(d);
      std::int64_t all = 0;
      for (const std::size_t d : lanes) all += counts[t][d];
      std::vector<std::int64_t> given(devices_.size(), 0);
      for (std::int64_t k = 1; k <= all; ++k) {
        std::size_t best = lanes.front();
        double most = -1;
        for (const std::size_t d : lanes) {
          if (given[d] == counts[t][d]) continue;
          const double behind = static_cast<double>(counts[t][d]) * static_cast<double>(k) / static_cast<double>(all) - static_cast<double>(given[d]);
          if (behind > most) {
            most = behind;
            best = d;
          }
        }
        ++given[best];
        sequence[t].push_back(best);
      }
      for (std::size_t d = 1; d < runs; ++d) sequence[t].insert(sequence[t].end(), static_cast<std::size_t>(counts[t][d]), d);
    }
    std::vector<std::size_t> next(problem_.parts.size(), 0);
    device_of_.assign(parts_.size(), SIZE_MAX);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (kind_of_[i] != SIZE_MAX) device_of_[i] = sequence[kind_of_[i]][next[kind_of_[i]]++];
    }
    std::size_t last = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (device_of_[i] == SIZE_MAX) device_of_[i] = last;
      last = device_of_[i];
    }
  }

  void fill_uses(OptimalMap& out) const {
    std::int64_t largest_stored = 0;
    std::vector<DeviceUse> uses(devices_.size());
    std::vector<bool> runs(devices_.size(), false);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const std::size_t d = device_of_[i];
      const std::size_t runner = d < problem_.runs.size() ? d : main_;
      const std::int64_t memory = parts_[i].weights_bytes + parts_[i].buffers_bytes;
      uses[d].weights_bytes += memory;
      uses[runner].cache_bytes += parts_[i].cache_bytes;
      if (memory + parts_[i].cache_bytes > 0) runs[runner] = true;
      if (d >= problem_.runs.size()) largest_stored = std::max(largest_stored, parts_[i].slot_bytes);
    }
    uses[main_].streaming_bytes = problem_.slots * largest_stored;
    for (const auto& [device, bytes] : budgets_) {
      const auto it = std::ranges::find(devices_, device);
      DeviceUse use;
      if (it != devices_.end()) {
        const auto d = static_cast<std::size_t>(it - devices_.begin());
        use = uses[d];
        if (runs[d]) use.workspace_bytes = workspace_;
      }
      use.device = device;
      use.budget_bytes = bytes;
      out.uses.push_back(use);
    }
  }

  void write_map(OptimalMap& out) {
    // Names in module order, not part order: tied modules stand where they are listed.
    std::map<std::string, std::size_t, std::less<>> where;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      for (const std::string& name : parts_[i].names) where.emplace(name, device_of_[i]);
    }
    std::vector<std::string> order = part_names();
    for (const std::string& name : order) full_map_.emplace_back(name, devices_[where.find(name)->second]);
    out.device_map = request_.clean_result ? clean_device_map(full_map_) : full_map_;
  }

  /// All names as the graph lists them.
  std::vector<std::string> part_names() const {
    PlacementRequest plain = request_.placement;
    plain.cache.context = 0;
    plain.special_dtypes.clear();
    MetaGraph untied = graph_;
    untied.tied.clear();
    std::vector<std::string> out;
    for (PlacementPart& part : placement_parts(untied, plain)) out.push_back(std::move(part.names.front()));
    return out;
  }

  [[noreturn]] void refuse() const {
    std::int64_t weights = 0, caches = 0, room = 0;
    for (const PlacementPart& part : parts_) {
      weights = checked_add(weights, part.weights_bytes + part.buffers_bytes, "the model");
      caches = checked_add(caches, part.cache_bytes, "the model");
    }
    bool endless = false;
    for (const auto* list : {&problem_.runs, &problem_.stores}) {
      for (const PackingDevice& d : *list) {
        endless = endless || d.capacity_bytes == INT64_MAX;
        if (!endless) room = checked_add(room, d.capacity_bytes, "budgets");
      }
    }
    const std::int64_t whole = checked_add(checked_add(weights, caches, "the model"), workspace_, "the model");
    if (!endless && whole > room) {
      throw CapacityError(fmt::format("{}: does not fit, expected at most {} over all budgets, got {} of weights, {} of caches and {} of "
                                      "activations; {} are missing",
                                      graph_.class_name, size_text(room), size_text(weights), size_text(caches), size_text(workspace_),
                                      size_text(whole - room)),
                          request_.hint);
    }
    std::int64_t largest = 0;
    std::string layer;
    for (const PlacementPart& part : parts_) {
      if (part.slot_bytes <= largest) continue;
      largest = part.slot_bytes;
      layer = part.names.front();
    }
    const std::int64_t fixed = checked_add(caches, workspace_, "the model");
    const std::int64_t need = checked_add(fixed, checked_mul(largest, problem_.slots, "the model"), "the model");
    const std::int64_t budget = problem_.runs.front().capacity_bytes;
    throw CapacityError(fmt::format("{}: does not fit, expected a budget of device {} that holds {}: {} of activations, {} of caches and {} for "
                                    "the largest layer, '{}' of {}; got {}{}",
                                    graph_.class_name, to_string(devices_.front()), size_text(need), size_text(workspace_), size_text(caches),
                                    problem_.slots == 1 ? "a slot" : fmt::format("{} slots", problem_.slots), layer, size_text(largest), size_text(budget),
                                    need > budget ? fmt::format("; {} are missing", size_text(need - budget)) : std::string{}),
                        request_.hint);
  }

  const MetaGraph& graph_;
  const OptimalRequest& request_;
  std::vector<PlacementPart> parts_;
  std::vector<std::pair<DeviceKey, std::int64_t>> budgets_;
  std::vector<DeviceKey> devices_;          ///< running, then storing, as in problem_
  std::size_t main_ = 0;
  PackingProblem problem_;
  std::int64_t workspace_ = 0;
  std::vector<std::size_t> kind_of_;        ///< of each part; SIZE_MAX: takes no memory
  std::vector<std::size_t> device_of_;      ///< of each part, into devices_
  DeviceMap full_map_;
};

}  // namespace

OptimalMap infer_optimal_map(const MetaGraph& graph, const OptimalRequest& request) { return Mapper(graph, request).run(); }

}  // namespace bigmodel
