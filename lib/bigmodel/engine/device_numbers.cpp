// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/device_numbers.h"

#include <algorithm>

#include "bigmodel/engine/forward_state.h"

namespace bigmodel {
namespace {

constexpr const char* kPositions = "positions";
constexpr const char* kPast = "past";

std::string axis_name(int axis) { return axis < 0 ? kPositions : kPositions + std::to_string(axis); }

}  // namespace

const std::byte* DeviceNumbers::put(const Accelerator& device, const std::string& name, std::span<const std::byte> bytes) {
  Entry& entry = entries_[{&device, name}];
  if (entry.memory != nullptr && std::ranges::equal(entry.bytes, bytes)) return entry.memory.get();
  if (entry.memory == nullptr || entry.bytes.size() != bytes.size()) entry.memory = device.allocate(std::max<std::size_t>(bytes.size(), 1));
  entry.bytes.assign(bytes.begin(), bytes.end());
  device.queue_small_copy_in(entry.memory.get(), entry.bytes);
  return entry.memory.get();
}

const std::int64_t* DeviceNumbers::positions(const Accelerator& device, const ForwardState& state, int axis) {
  const std::vector<std::int64_t>& all = axis < 0 ? state.positions : state.axis_positions[static_cast<std::size_t>(axis)];
  return reinterpret_cast<const std::int64_t*>(put(device, axis_name(axis), std::as_bytes(std::span(all))));
}

const std::int64_t* DeviceNumbers::past(const Accelerator& device, const ForwardState& state) {
  return reinterpret_cast<const std::int64_t*>(put(device, kPast, std::as_bytes(std::span(&state.past, 1))));
}

const std::uint8_t* DeviceNumbers::valid(const Accelerator& device, const ForwardState& state) {
  if (state.valid.empty()) return nullptr;
  return reinterpret_cast<const std::uint8_t*>(put(device, "valid", std::as_bytes(std::span(state.valid))));
}

const std::uint8_t* DeviceNumbers::valid_rows(const Accelerator& device, const ForwardState& state) {
  if (state.valid.empty()) return nullptr;
  std::vector<std::uint8_t> rows;
  for (std::int64_t b = 0; b < state.batch; ++b) {
    const auto end = state.valid.begin() + (b + 1) * state.columns();
    rows.insert(rows.end(), end - state.length, end);
  }
  return reinterpret_cast<const std::uint8_t*>(put(device, "valid rows", std::as_bytes(std::span(rows))));
}

const std::uint8_t* DeviceNumbers::memory_valid(const Accelerator& device, const ForwardState& state) {
  if (state.memory_valid.empty()) return nullptr;
  return reinterpret_cast<const std::uint8_t*>(put(device, "memory valid", std::as_bytes(std::span(state.memory_valid))));
}

const float* DeviceNumbers::floats(const Accelerator& device, const std::string& name, std::span<const float> values) {
  return reinterpret_cast<const float*>(put(device, "floats " + name, std::as_bytes(values)));
}

void DeviceNumbers::update(const Accelerator& device, const ForwardState& state) {
  if (entries_.contains({&device, kPast})) past(device, state);
  if (entries_.contains({&device, kPositions})) positions(device, state);
  for (int axis = 0; axis < static_cast<int>(state.axis_positions.size()); ++axis) {
    if (entries_.contains({&device, axis_name(axis)})) positions(device, state, axis);
  }
}

}  // namespace bigmodel
