// SPDX-License-Identifier: Apache-2.0
// Where tensors lie: RAM, an accelerator's memory, or nowhere (meta). A backend is a class of devices; hooks and loaders move bytes through it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

class Accelerator;

/// Memory that tensors can live in. Compared by address: one object per device, and it outlives what lies on it.
/// Calls may come from several threads.
class Device {
 public:
  virtual ~Device() = default;
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// As device maps and errors write it: "cpu", "meta", "cuda:0".
  virtual const std::string& name() const noexcept = 0;
  /// Nothing lies here: tensors have a shape and no bytes.
  virtual bool is_meta() const noexcept { return false; }
  /// This device where it computes by itself (device/accelerator.h); null: its memory is RAM, and the processor computes there.
  virtual const Accelerator* accelerator() const noexcept { return nullptr; }
  /// Uninitialised memory (one byte at least). Throws CapacityError, DeviceError.
  virtual std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes) const = 0;
  /// From RAM into this device's memory, and back. Done on return.
  virtual void copy_in(std::byte* to, std::span<const std::byte> from) const = 0;
  virtual void copy_out(const std::byte* from, std::span<std::byte> to) const = 0;
};

/// RAM under a name: the CPU's, or a stand-in for an accelerator where there is none.
class RamDevice : public Device {
 public:
  explicit RamDevice(std::string name) : name_(std::move(name)) {}
  const std::string& name() const noexcept override { return name_; }
  std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes) const override;
  void copy_in(std::byte* to, std::span<const std::byte> from) const override;
  void copy_out(const std::byte* from, std::span<std::byte> to) const override;

 private:
  std::string name_;
};

/// RAM, and nowhere.
const Device& cpu_device();
const Device& meta_device();

/// The devices that names of a device map stand for. "cpu" and "meta" are always there.
class DeviceTable {
 public:
  DeviceTable() = default;
  /// The devices must outlive the table and everything placed by it.
  explicit DeviceTable(std::vector<const Device*> accelerators) : accelerators_(std::move(accelerators)) {}
  /// By name; a bare number n is the accelerator of that number (":n"), else the n-th; "cuda" is the first. Null where there is none.
  const Device* find(const std::string& name) const;
  /// Throws DeviceError naming the devices there are.
  const Device& at(const std::string& name) const;
  /// The first accelerator, else the CPU.
  const Device& default_device() const;

 private:
  std::vector<const Device*> accelerators_;
};

}  // namespace bigmodel
