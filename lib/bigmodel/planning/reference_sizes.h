// SPDX-License-Identifier: Apache-2.0
// Sizes and budgets read exactly as accelerate 1.15 and huggingface_hub read them, mistakes included.
// Our own options use core/byte_size.h instead.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/reference_number.h"

namespace bigmodel {

/// Where the reference raises: its exception class and, as message, its text.
class ReferenceError : public UsageError {
 public:
  ReferenceError(std::string exception_class, std::string message)
      : UsageError(std::move(message)), exception_class_(std::move(exception_class)) {}
  const std::string& exception_class() const noexcept { return exception_class_; }

 private:
  std::string exception_class_;
};

/// accelerate's convert_file_size_to_int: KB MB GB KiB MiB GiB in any case, a final lower-case b after a decimal unit means bits.
/// Throws ReferenceError; UsageError where the size does not fit 64 bits (the reference's integers have no end).
std::int64_t parse_accelerate_size(std::string_view text);

/// huggingface_hub's parse_size_to_int: KB MB GB TB in any case, signs allowed. Throws as parse_accelerate_size does.
std::int64_t parse_hub_size(std::string_view text);

/// Bytes, a float, or a text in accelerate's dialect.
using BudgetArgument = std::variant<std::int64_t, double, std::string>;

struct DeviceBudgets {
  std::vector<std::pair<DeviceKey, ReferenceNumber>> bytes;  ///< accelerators by number, then mps, cpu, disk
  std::vector<std::string> warnings;                      ///< as the reference logs them
};

/// accelerate's get_max_memory for budgets that are given; accelerators 0..accelerator_count-1 exist, others give a warning.
/// Throws ReferenceError for unknown devices and malformed sizes.
DeviceBudgets get_max_memory(std::span<const std::pair<DeviceKey, BudgetArgument>> max_memory, std::int64_t accelerator_count);

}  // namespace bigmodel
