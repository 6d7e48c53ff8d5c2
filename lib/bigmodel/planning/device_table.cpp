// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/device_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"

namespace bigmodel {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::string_view kSeen = "total that the driver reports";
constexpr std::string_view kAssumed = "nominal less 3 %, assumed";

constexpr DeviceModel seen(std::string_view name, std::int64_t gib, std::int64_t usable_mib, std::int64_t gb_per_second) {
  return {name, gib * kGiB, usable_mib * kMiB, gb_per_second * 1'000'000'000, kSeen};
}
constexpr DeviceModel assumed(std::string_view name, std::int64_t gib, std::int64_t gb_per_second) {
  return {name, gib * kGiB, gib * kGiB / 100 * 97, gb_per_second * 1'000'000'000, kAssumed};
}

constexpr DeviceModel kDevices[] = {
    // NVIDIA, data centre
    assumed("P100 16GB", 16, 732),
    assumed("V100 16GB", 16, 900),
    assumed("V100 32GB", 32, 900),
    assumed("T4", 16, 320),
    assumed("A10", 24, 600),
    assumed("A30", 24, 933),
    assumed("A40", 48, 696),
    assumed("A100 40GB", 40, 1555),
    assumed("A100 80GB", 80, 2039),
    assumed("L4", 24, 300),
    assumed("L40", 48, 864),
    assumed("L40S", 48, 864),
    seen("H100 80GB", 80, 81080, 3350),
    assumed("H100 NVL 94GB", 94, 3900),
    seen("H200 141GB", 141, 142336, 4800),
    assumed("B200 180GB", 180, 8000),
    seen("B300", 288, 275040, 8000),
    seen("GB200", 186, 189471, 8000),
    seen("GB300", 288, 284208, 8000),
    // NVIDIA, workstation
    assumed("RTX A4000", 16, 448),
    assumed("RTX A5000", 24, 768),
    assumed("RTX A6000", 48, 768),
    assumed("RTX 6000 Ada", 48, 960),
    assumed("RTX PRO 6000", 96, 1792),
    assumed("Titan RTX", 24, 672),
    // NVIDIA, GeForce
    assumed("RTX 2080 Ti", 11, 616),
    assumed("RTX 3060", 12, 360),
    assumed("RTX 3070", 8, 448),
    assumed("RTX 3080", 10, 760),
    assumed("RTX 3090", 24, 936),
    assumed("RTX 3090 Ti", 24, 1008),
    assumed("RTX 4060", 8, 272),
    assumed("RTX 4060 Ti 16GB", 16, 288),
    assumed("RTX 4070", 12, 504),
    assumed("RTX 4070 Ti Super", 16, 672),
    assumed("RTX 4080", 16, 717),
    assumed("RTX 4090", 24, 1008),
    assumed("RTX 5070", 12, 672),
    assumed("RTX 5070 Ti", 16, 896),
    assumed("RTX 5080", 16, 960),
    assumed("RTX 5090", 32, 1792),
    // AMD
    assumed("MI210", 64, 1638),
    assumed("MI250X", 128, 3277),
    assumed("MI300X", 192, 5300),
    assumed("MI325X", 256, 6000),
    assumed("RX 7900 XTX", 24, 960),
};

/// Letters and digits in lower case, without the maker.
std::string key_of(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c + 32);
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  for (const std::string_view maker : {"nvidia", "geforce", "amd", "radeon", "instinct", "tesla"}) {
    if (const std::size_t at = out.find(maker); at != std::string::npos) out.erase(at, maker.size());
  }
  return out;
}

const DeviceModel* find_device(std::string_view text) {
  const std::string key = key_of(text);
  if (key.empty()) return nullptr;
  const DeviceModel* found = nullptr;
  for (const DeviceModel& device : kDevices) {
    const std::string known = key_of(device.name);
    // "4090" and "H100" mean the first such card; a name that says the memory means that one.
    if (known == key || known == "rtx" + key) return &device;
    if (found == nullptr && known.starts_with(key) && known.size() > key.size() && key.size() >= 4 &&
        known.substr(key.size()).find_first_not_of("0123456789gb") == std::string::npos) {
      found = &device;
    }
  }
  return found;
}

bool looks_like_size(std::string_view text) {
  return !text.empty() && text.front() >= '0' && text.front() <= '9' && (text.back() == 'B' || text.back() == 'b');
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::span<const DeviceModel> device_models() { return kDevices; }

DevicePool parse_device_pool(std::string_view text) {
  std::string_view rest = trimmed(text);
  DevicePool pool;
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
  if (error == std::errc() && end != rest.data()) {
    const std::string_view after = trimmed(rest.substr(static_cast<std::size_t>(end - rest.data())));
    if (after.size() > 1 && (after.front() == 'x' || after.front() == 'X')) {
      if (count < 1 || count > 100'000) {
        throw UsageError(fmt::format("device '{}': makes no sense, expected 1 to 100000 devices, got {}", text, count));
      }
      pool.count = count;
      rest = trimmed(after.substr(1));
    }
  }
  if (looks_like_size(rest)) {
    const std::uint64_t bytes = parse_byte_size(rest, fmt::format("device '{}'", text));
    if (bytes == 0 || bytes > std::uint64_t{1} << 60) {
      throw UsageError(fmt::format("device '{}': makes no sense, expected a size of memory, got {} bytes", text, bytes));
    }
    pool.name = std::string(rest);
    pool.usable_bytes = static_cast<std::int64_t>(bytes);
    pool.source = "as given";
    return pool;
  }
  if (const DeviceModel* device = find_device(rest)) {
    pool.name = device->name;
    pool.usable_bytes = device->usable_bytes;
    pool.bytes_per_second = device->bytes_per_second;
    pool.source = device->source;
    return pool;
  }
  std::vector<std::string> names;
  for (const DeviceModel& device : kDevices) names.emplace_back(device.name);
  std::string near = did_you_mean(rest, names);
  if (near.empty()) {
    // What has the text in its name, else what has its first word: cards of the same make.
    const std::string whole = key_of(rest);
    const auto letters = std::ranges::find_if_not(whole, [](char c) { return c >= 'a' && c <= 'z'; });
    for (const std::string& part : {whole, std::string(whole.begin(), letters)}) {
      for (const std::string& name : names) {
        if (part.size() >= 2 && key_of(name).find(part) != std::string::npos) near += (near.empty() ? "did you mean '" : "', '") + name;
      }
      if (!near.empty()) break;
    }
    if (!near.empty()) near += "'?";
  }
  throw UsageError(fmt::format("device '{}': not a known card, expected its name or a size such as 24GiB, got '{}'", text, rest),
                   near.empty() ? "give its memory as a size" : near);
}

}  // namespace bigmodel
