// SPDX-License-Identifier: Apache-2.0
// Accelerators by name: memory and bandwidth as their makers state them, usable memory where it was seen.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bigmodel {

struct DeviceModel {
  std::string_view name;
  std::int64_t memory_bytes = 0;      ///< nominal, in GiB as sold
  std::int64_t usable_bytes = 0;      ///< what a driver reports as total; see `source`
  std::int64_t bytes_per_second = 0;  ///< nominal memory bandwidth
  std::string_view source;            ///< of usable_bytes
};

/// All known ones, by maker and age.
std::span<const DeviceModel> device_models();

/// One or several equal devices.
struct DevicePool {
  std::string name;                   ///< as the user wrote it, or the table's name
  std::int64_t count = 1;
  std::int64_t usable_bytes = 0;      ///< of one
  std::int64_t bytes_per_second = 0;  ///< 0: unknown
  std::string source;
};

/// "24GiB", "RTX 4090", "2xH100-80GB", "8 x 80GiB": case, spaces, hyphens and the maker's name do not matter. A size is usable to the
/// byte. Throws UsageError with the nearest names.
DevicePool parse_device_pool(std::string_view text);

}  // namespace bigmodel
