// SPDX-License-Identifier: Apache-2.0
// An NVIDIA card as an Accelerator: two streams, a pool over cudaMalloc, events, graphs.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/device/cuda/cuda_launcher.h"
#include "bigmodel/device/cuda/cuda_recording.h"
#include "bigmodel/device/cuda/cuda_staging.h"
#include "bigmodel/device/cuda/cuda_stream.h"
#include "bigmodel/device/memory_pool.h"

namespace bigmodel {

class CudaAccelerator final : public Accelerator {
 public:
  /// The card of that number among those that CUDA shows; makes its context. The pool keeps to the budget. Throws DeviceError where the card
  /// cannot be used, with the reason; CapacityError.
  explicit CudaAccelerator(int ordinal, std::optional<std::uint64_t> budget_bytes = {});
  ~CudaAccelerator() override;

  const Description& description() const noexcept override { return description_; }
  const std::string& name() const noexcept override { return name_; }

  std::shared_ptr<std::byte[]> allocate(std::uint64_t size_bytes) const override;
  void copy_in(std::byte* to, std::span<const std::byte> from) const override;
  void copy_out(const std::byte* from, std::span<std::byte> to) const override;

  std::shared_ptr<std::byte[]> allocate_pinned(std::uint64_t size_bytes) const override;
  void queue_copy_in(Lane lane, std::byte* to, std::span<const std::byte> from) const override;
  void queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const override;
  void queue_copy_out(Lane lane, const std::byte* from, std::span<std::byte> to) const override;
  void queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const override;
  void copy_from_peer(std::byte* to, const Accelerator& other, const std::byte* from, std::uint64_t size_bytes) const override;

  std::shared_ptr<DeviceEvent> record(Lane lane) const override;
  void hold(Lane lane, const DeviceEvent& until) const override;
  void finish(Lane lane) const override;
  std::unique_ptr<RecordedWork> record_work(const std::function<void()>& work) const override;

  std::uint64_t allocated_bytes() const noexcept override { return pool_->allocated_bytes(); }
  std::uint64_t peak_bytes() const noexcept override { return pool_->peak_bytes(); }

  CudaLauncher launcher() const noexcept { return {ordinal_, compute_->get()}; }
  int ordinal() const noexcept { return ordinal_; }

 private:
  struct Recording {
    std::thread::id thread;
    CudaRecordingMemory memory;
  };

  void use() const;
  cudaStream_t stream(Lane lane) const noexcept { return lane == Lane::compute ? compute_->get() : copy_->get(); }
  /// Throws NotRecordableError where this thread is recording and the call is not for the compute lane.
  cudaStream_t stream_for(Lane lane) const;
  /// Null where this thread records nothing.
  Recording* recording() const;
  void queue_transfer(Lane lane, void* to, const void* from, std::uint64_t size_bytes, cudaMemcpyKind kind, std::string_view action) const;
  void meet(const CudaAccelerator& peer) const;
  /// Ends the capture of the compute stream; null where nothing came of it.
  cudaGraph_t end_capture() const;

  int ordinal_;
  std::string name_;
  Description description_;
  std::optional<CudaStream> compute_, copy_;
  std::unique_ptr<MemoryPool> pool_;
  mutable std::unique_ptr<CudaStaging> staging_;
  mutable std::mutex mutex_;                          ///< of what follows
  mutable std::unordered_set<int> met_;               ///< cards whose memory was asked for once
  mutable std::optional<Recording> recording_;
};

}  // namespace bigmodel
