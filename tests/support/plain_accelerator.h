// SPDX-License-Identifier: Apache-2.0
// An accelerator whose kernels are the processor's operations and whose lanes are done at the call: fast enough to run whole models through
// what the engine does with a device. It cannot record. Tensors on it are out of the processor's reach by Tensor's own check.
#pragma once

#include <cstring>
#include <string>

#include "bigmodel/core/error.h"
#include "bigmodel/device/accelerator.h"
#include "bigmodel/ops/cpu_ops.h"

namespace bigmodel::test {

class PlainAccelerator : public Accelerator {
 public:
  explicit PlainAccelerator(std::string name = "cuda:0") : ram_(name), description_{.name = "plain " + name, .memory_bytes = std::uint64_t{1} << 32, .processors = 1} {
    equip(std::make_shared<const ops::CpuOps>(CpuContext{}));
  }
  const std::string& name() const noexcept override { return ram_.name(); }
  const Description& description() const noexcept override { return description_; }
  std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes) const override { return ram_.allocate(size_bytes); }
  void copy_in(std::byte* to, std::span<const std::byte> from) const override { ram_.copy_in(to, from); }
  void copy_out(const std::byte* from, std::span<std::byte> to) const override { ram_.copy_out(from, to); }
  std::shared_ptr<std::byte[]> allocate_pinned(std::uint64_t size_bytes) const override { return ram_.allocate(size_bytes); }
  void queue_copy_in(Lane, std::byte* to, std::span<const std::byte> from) const override { ram_.copy_in(to, from); }
  void queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const override { ram_.copy_in(to, from); }
  void queue_copy_out(Lane, const std::byte* from, std::span<std::byte> to) const override { ram_.copy_out(from, to); }
  void queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const override { std::memmove(to, from, static_cast<std::size_t>(size_bytes)); }
  void copy_from_peer(std::byte* to, const Accelerator&, const std::byte* from, std::uint64_t size_bytes) const override { queue_copy(to, from, size_bytes); }
  std::shared_ptr<DeviceEvent> record(Lane) const override { return std::make_shared<Done>(); }
  void hold(Lane, const DeviceEvent&) const override {}
  void finish(Lane) const override {}
  std::unique_ptr<RecordedWork> record_work(const std::function<void()>&) const override { return nullptr; }
  std::uint64_t allocated_bytes() const noexcept override { return 0; }
  std::uint64_t peak_bytes() const noexcept override { return 0; }

 private:
  struct Done : DeviceEvent {
    bool is_done() const override { return true; }
    void wait() const override {}
  };
  RamDevice ram_;
  Description description_;
};

}  // namespace bigmodel::test
