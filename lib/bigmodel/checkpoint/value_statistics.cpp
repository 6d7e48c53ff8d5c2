// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/value_statistics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "bigmodel/checkpoint/element_values.h"

namespace bigmodel {
namespace {

constexpr std::size_t kBlock = 4096;  // a multiple of 8, so that blocks of sub-byte elements begin at whole bytes

std::optional<double> finite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }

}  // namespace

void StatisticsGatherer::add(DType dtype, std::span<const std::byte> bytes) {
  std::array<double, kBlock> buffer;
  const std::size_t total = elements_in(dtype, bytes.size());
  const auto bits = static_cast<std::size_t>(bit_size(dtype));
  for (std::size_t done = 0; done < total;) {
    std::span values = std::span(buffer).first(std::min(kBlock, total - done));
    element_values(dtype, bytes.subspan(done * bits / 8, (values.size() * bits + 7) / 8), values);
    done += values.size();
    if (std::ranges::any_of(values, [](double value) { return !std::isfinite(value); })) {
      const auto rest = std::remove_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); });
      values = values.first(static_cast<std::size_t>(rest - values.begin()));
      if (values.empty()) continue;
    }
    const auto [low, high] = std::ranges::minmax(values);
    min_ = count_ == 0 ? low : std::min(min_, low);
    max_ = count_ == 0 ? high : std::max(max_, high);
    zero_count_ += static_cast<std::uint64_t>(std::ranges::count(values, 0.0));
    const auto size = static_cast<double>(values.size());
    double sum = 0;
    for (const double value : values) sum += value;
    const double mean = sum / size;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const auto before = static_cast<double>(count_);
    const double step = mean - mean_;
    mean_ += step * (size / (before + size));
    squares_ += squares + step * step * (before * size / (before + size));
    count_ += values.size();
  }
}

ValueStatistics StatisticsGatherer::result() const {
  ValueStatistics out{.zero_count = zero_count_};
  if (count_ == 0) return out;
  out.min = min_;
  out.max = max_;
  out.mean = finite(mean_);
  out.standard_deviation = finite(std::sqrt(squares_ / static_cast<double>(count_)));
  return out;
}

}  // namespace bigmodel
