// SPDX-License-Identifier: Apache-2.0
// What the processor knows of a pass and kernels need: positions, masks, counters, small constants. Each lies on an accelerator once, at an
// address that stays while its size does, so that recorded work can be repeated with new numbers.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/engine/tensor.h"

namespace bigmodel {

struct ForwardState;

/// One thread. Uploads only what differs from what is there.
class DeviceNumbers {
 public:
  /// state.positions, or those of an axis (>= 0).
  const std::int64_t* positions(const Accelerator& device, const ForwardState& state, int axis = -1);
  /// state.past, one number.
  const std::int64_t* past(const Accelerator& device, const ForwardState& state);
  /// state.valid; null where there is no padding.
  const std::uint8_t* valid(const Accelerator& device, const ForwardState& state);
  /// The last `length` columns of state.valid, [batch * length]; null where there is no padding.
  const std::uint8_t* valid_rows(const Accelerator& device, const ForwardState& state);
  /// state.memory_valid; null where there is no padding.
  const std::uint8_t* memory_valid(const Accelerator& device, const ForwardState& state);
  /// Other numbers under a name of the caller's.
  const float* floats(const Accelerator& device, const std::string& name, std::span<const float> values);

  /// Brings positions and the past up to date where recorded work reads them. Sizes are as they were.
  void update(const Accelerator& device, const ForwardState& state);

 private:
  struct Entry {
    std::vector<std::byte> bytes;
    std::shared_ptr<std::byte[]> memory;
  };
  const std::byte* put(const Accelerator& device, const std::string& name, std::span<const std::byte> bytes);
  std::map<std::pair<const Accelerator*, std::string>, Entry> entries_;
};

}  // namespace bigmodel
