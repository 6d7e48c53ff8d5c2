// SPDX-License-Identifier: Apache-2.0
#include "commands/run_devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <tuple>

#include "bigmodel/core/error.h"
#include "bigmodel/device/gpu_memory.h"
#include "bigmodel/ops/cuda/equip_cuda.h"
#include "bigmodel/planning/device_table.h"

namespace bigmodel::app {
namespace {

/// The number of "0", 0 or "cuda:0"; nullopt for RAM, disk and what is no NVIDIA card.
std::optional<std::int64_t> card_number(const DeviceKey& key) {
  if (const auto* number = std::get_if<std::int64_t>(&key)) return *number;
  std::string_view text = std::get<std::string>(key);
  if (text == "cuda") return 0;
  if (text.starts_with("cuda:")) text.remove_prefix(5);
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

}  // namespace

RunDevices::RunDevices() : state_(read_cuda_state()) {
  if (!state_.usable()) return;
  const std::vector<GpuMemory> memories = memory_of_cards(state_.cards, read_gpu_memory());
  for (std::size_t i = 0; i < state_.cards.size(); ++i) {
    const CudaCard& card = state_.cards[i];
    if (!card.problem.empty()) continue;
    const std::uint64_t free = memories[i].name.empty() ? card.description.memory_bytes : memories[i].free_bytes;
    usable_.emplace_back(card.ordinal, static_cast<std::int64_t>(free / 10 * 9));
  }
}

std::vector<std::int64_t> RunDevices::needed(const DeviceMap& map, std::string_view option) const {
  std::vector<std::int64_t> out;
  for (const auto& [module, device] : map) {
    if (!is_accelerator(device)) continue;
    const std::optional<std::int64_t> number = card_number(device);
    if (!number) throw DeviceError(fmt::format("{}: device '{}' can be planned for but not run on", option, to_string(device)), "use cuda, cpu and disk");
    if (std::ranges::find(usable_, *number, [](const auto& card) { return card.first; }) == usable_.end()) {
      std::string why = state_.problem, remedy = state_.remedy;
      for (const CudaCard& card : state_.cards) {
        if (card.ordinal == *number) std::tie(why, remedy) = std::pair(card.problem, card.remedy);
      }
      if (why.empty()) why = fmt::format("expected a number below {}", state_.cards.size());
      throw DeviceError(fmt::format("{}: there is no device '{}'{}: {}", option, to_string(device), module.empty() ? "" : fmt::format(" for '{}'", module), why), remedy.empty() ? "use cpu or disk" : remedy);
    }
    if (std::ranges::find(out, *number) == out.end()) out.push_back(*number);
  }
  std::ranges::sort(out);
  return out;
}

const DeviceTable& RunDevices::open(const DeviceMap& map) {
  const std::vector<std::int64_t> numbers = needed(map);
  cards_.clear();
  std::vector<const Device*> devices;
  for (const std::int64_t number : numbers) {
    cards_.push_back(open_cuda_card(static_cast<int>(number)));
    ops::equip_cuda(*cards_.back());
    devices.push_back(cards_.back().get());
  }
  table_ = DeviceTable(std::move(devices));
  return table_;
}

TierSpeeds RunDevices::with_stated(TierSpeeds speeds) const {
  if (speeds.every_accelerator) return speeds;
  for (const CudaCard& card : state_.cards) {
    const DeviceKey key = static_cast<std::int64_t>(card.ordinal);
    if (std::ranges::any_of(speeds.measured, [&](const auto& tier) { return tier.first == key; })) continue;
    try {
      const DevicePool pool = parse_device_pool(card.description.name);
      if (pool.bytes_per_second > 0) speeds.measured.emplace_back(key, static_cast<double>(pool.bytes_per_second));
    } catch (const UsageError&) {
      // A card that the table does not know has the speed that is assumed of any.
    }
  }
  return speeds;
}

}  // namespace bigmodel::app
