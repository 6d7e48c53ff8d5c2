// SPDX-License-Identifier: Apache-2.0
// Smallest, largest, mean and spread of a tensor's values, gathered chunk by chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

/// Of the finite values. What is no finite double (there is no value, or the sum of squares of huge float64 overflows) is absent.
struct ValueStatistics {
  std::uint64_t zero_count = 0;
  std::optional<double> min;
  std::optional<double> max;
  std::optional<double> mean;
  std::optional<double> standard_deviation;  ///< of the whole population
};

/// Adds up in blocks whose means are merged (Chan, Golub, LeVeque 1979), so that nothing cancels however long the tensor is.
class StatisticsGatherer {
 public:
  /// Whole elements, little-endian. is_real_number(dtype) must hold (element_values.h).
  void add(DType dtype, std::span<const std::byte> bytes);
  ValueStatistics result() const;

 private:
  std::uint64_t count_ = 0;
  std::uint64_t zero_count_ = 0;
  double min_ = 0;
  double max_ = 0;
  double mean_ = 0;
  double squares_ = 0;  ///< sum of squared distances from the mean
};

}  // namespace bigmodel
