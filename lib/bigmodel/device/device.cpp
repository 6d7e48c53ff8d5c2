// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/device.h"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

class MetaDevice : public Device {
 public:
  const std::string& name() const noexcept override { return name_; }
  bool is_meta() const noexcept override { return true; }
  std::shared_ptr<std::byte[]> allocate(std::uint64_t) const override { return nullptr; }
  void copy_in(std::byte*, std::span<const std::byte>) const override {}
  void copy_out(const std::byte*, std::span<std::byte>) const override { throw InternalError("bytes are read from the meta device"); }

 private:
  std::string name_ = "meta";
};

}  // namespace

std::shared_ptr<std::byte[]> RamDevice::allocate(std::uint64_t size_bytes) const {
  try {
    return std::make_shared_for_overwrite<std::byte[]>(std::max<std::uint64_t>(size_bytes, 1));
  } catch (const std::bad_alloc&) {
    throw CapacityError(fmt::format("device {}: no memory for a tensor of {} bytes", name_, size_bytes), "place fewer modules there");
  }
}

void RamDevice::copy_in(std::byte* to, std::span<const std::byte> from) const {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

void RamDevice::copy_out(const std::byte* from, std::span<std::byte> to) const {
  if (!to.empty()) std::memcpy(to.data(), from, to.size());
}

const Device& cpu_device() {
  static const RamDevice device("cpu");
  return device;
}

const Device& meta_device() {
  static const MetaDevice device;
  return device;
}

const Device* DeviceTable::find(const std::string& name) const {
  for (const Device* d : accelerators_) {
    if (d->name() == name) return d;
  }
  if (name == "cpu") return &cpu_device();
  if (name == "meta") return &meta_device();
  // Numbers are those of the names, where not all devices are in the table; else they count.
  for (const Device* d : accelerators_) {
    if (d->name().ends_with(":" + name)) return d;
  }
  for (std::size_t i = 0; i < accelerators_.size(); ++i) {
    if (std::to_string(i) == name || (i == 0 && accelerators_[i]->name().starts_with(name + ":"))) return accelerators_[i];
  }
  return nullptr;
}

const Device& DeviceTable::at(const std::string& name) const {
  if (const Device* found = find(name)) return *found;
  std::string known = "cpu";
  for (const Device* d : accelerators_) known += ", " + d->name();
  throw DeviceError(fmt::format("device '{}': there is none of that name, expected one of {} or disk", name.substr(0, 60), known),
                    "bigmodel doctor lists the devices of this machine");
}

const Device& DeviceTable::default_device() const { return accelerators_.empty() ? cpu_device() : *accelerators_.front(); }

}  // namespace bigmodel
