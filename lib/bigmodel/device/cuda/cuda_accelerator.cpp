// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_accelerator.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cuda_errors.h"
#include "bigmodel/device/cuda/cuda_event.h"
#include "bigmodel/device/cuda/cuda_memory.h"
#include "bigmodel/device/cuda/probe_kernel.h"

namespace bigmodel {

CudaAccelerator::CudaAccelerator(int ordinal, std::optional<std::uint64_t> budget_bytes) : ordinal_(ordinal), name_(fmt::format("cuda:{}", ordinal)) {
  use();
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, ordinal), name_, "ask for its properties");
  description_ = {properties.name, properties.totalGlobalMem, properties.multiProcessorCount, 10 * properties.major + properties.minor};
  if (const cudaError_t status = find_probe_kernel(); status != cudaSuccess) {
    CudaFailure failure = cuda_failure(status, name_, "load the kernels");
    failure.capability = description_.capability;
    throw_cuda_failure(failure);
  }
  compute_.emplace(name_);
  copy_.emplace(name_);
  pool_ = std::make_unique<MemoryPool>(name_, std::make_shared<CudaRawMemory>(ordinal), budget_bytes);
  staging_ = std::make_unique<CudaStaging>(name_, compute_->get());
}

CudaAccelerator::~CudaAccelerator() {
  // What is queued still uses the memory that goes now. Errors had their chance to be seen.
  if (cudaSetDevice(ordinal_) == cudaSuccess) cudaDeviceSynchronize();
  static_cast<void>(cudaGetLastError());
}

void CudaAccelerator::use() const { check_cuda(cudaSetDevice(ordinal_), name_, "use the card"); }

CudaAccelerator::Recording* CudaAccelerator::recording() const {
  const std::lock_guard lock(mutex_);
  return recording_ && recording_->thread == std::this_thread::get_id() ? &*recording_ : nullptr;
}

cudaStream_t CudaAccelerator::stream_for(Lane lane) const {
  if (lane == Lane::copy && recording() != nullptr) throw NotRecordableError(fmt::format("{}: recorded work uses the copy lane", name_), "run the work without recording");
  return stream(lane);
}

std::shared_ptr<std::byte[]> CudaAccelerator::allocate(std::uint64_t size_bytes) const { return pool_->allocate(size_bytes); }

std::shared_ptr<std::byte[]> CudaAccelerator::allocate_pinned(std::uint64_t size_bytes) const {
  use();
  return cuda_pinned_memory(size_bytes, name_);
}

void CudaAccelerator::queue_transfer(Lane lane, void* to, const void* from, std::uint64_t size_bytes, cudaMemcpyKind kind, std::string_view action) const {
  if (size_bytes == 0) return;
  use();
  const cudaError_t status = cudaMemcpyAsync(to, from, static_cast<std::size_t>(size_bytes), kind, stream_for(lane));
  if (status != cudaSuccess) throw_cuda_error(status, name_, fmt::format("copy {} bytes {}", size_bytes, action));
}

// In the compute lane: the memory may have had another user there.
void CudaAccelerator::copy_in(std::byte* to, std::span<const std::byte> from) const {
  if (from.empty()) return;
  queue_transfer(Lane::compute, to, from.data(), from.size(), cudaMemcpyHostToDevice, "in");
  finish(Lane::compute);
}

void CudaAccelerator::copy_out(const std::byte* from, std::span<std::byte> to) const {
  if (to.empty()) return;
  queue_transfer(Lane::compute, to.data(), from, to.size(), cudaMemcpyDeviceToHost, "out");
  finish(Lane::compute);
}

void CudaAccelerator::queue_copy_in(Lane lane, std::byte* to, std::span<const std::byte> from) const {
  queue_transfer(lane, to, from.data(), from.size(), cudaMemcpyHostToDevice, "in");
}

void CudaAccelerator::queue_small_copy_in(std::byte* to, std::span<const std::byte> from) const {
  if (from.empty()) return;
  if (Recording* const r = recording()) {
    // Every launch copies again: the bytes stay with the recording.
    use();
    r->memory.pinned.push_back(cuda_pinned_memory(from.size(), name_));
    std::byte* const kept = r->memory.pinned.back().get();
    std::memcpy(kept, from.data(), from.size());
    return queue_transfer(Lane::compute, to, kept, from.size(), cudaMemcpyHostToDevice, "in");
  }
  use();
  while (!from.empty()) {
    const std::span<const std::byte> part = from.first(std::min(from.size(), CudaStaging::kPartBytes));
    queue_transfer(Lane::compute, to, staging_->put(part), part.size(), cudaMemcpyHostToDevice, "in");
    to += part.size();
    from = from.subspan(part.size());
  }
}

void CudaAccelerator::queue_copy_out(Lane lane, const std::byte* from, std::span<std::byte> to) const {
  queue_transfer(lane, to.data(), from, to.size(), cudaMemcpyDeviceToHost, "out");
}

void CudaAccelerator::queue_copy(std::byte* to, const std::byte* from, std::uint64_t size_bytes) const {
  queue_transfer(Lane::compute, to, from, size_bytes, cudaMemcpyDeviceToDevice, "within its memory");
}

void CudaAccelerator::meet(const CudaAccelerator& peer) const {
  const std::lock_guard lock(mutex_);
  if (!met_.insert(peer.ordinal_).second) return;
  // Where the two cannot see each other, the driver copies by way of RAM.
  int possible = 0;
  if (cudaDeviceCanAccessPeer(&possible, ordinal_, peer.ordinal_) == cudaSuccess && possible != 0) cudaDeviceEnablePeerAccess(peer.ordinal_, 0);
  static_cast<void>(cudaGetLastError());
}

void CudaAccelerator::copy_from_peer(std::byte* to, const Accelerator& other, const std::byte* from, std::uint64_t size_bytes) const {
  if (size_bytes == 0) return;
  if (const auto* const peer = dynamic_cast<const CudaAccelerator*>(&other)) {
    const std::shared_ptr<DeviceEvent> ready = peer->record(Lane::compute);
    use();
    meet(*peer);
    hold(Lane::compute, *ready);
    const cudaError_t status = cudaMemcpyPeerAsync(to, ordinal_, from, peer->ordinal_, static_cast<std::size_t>(size_bytes), compute_->get());
    if (status != cudaSuccess) throw_cuda_error(status, name_, fmt::format("copy {} bytes from {}", size_bytes, peer->name_));
    return finish(Lane::compute);
  }
  const std::shared_ptr<std::byte[]> way = allocate_pinned(size_bytes);
  const std::span<std::byte> bytes(way.get(), static_cast<std::size_t>(size_bytes));
  other.copy_out(from, bytes);
  copy_in(to, bytes);
}

std::shared_ptr<DeviceEvent> CudaAccelerator::record(Lane lane) const {
  use();
  // Threads that read files wait for copies; the one that runs the model waits for kernels.
  return std::make_shared<CudaEvent>(name_, stream_for(lane), lane == Lane::copy);
}

void CudaAccelerator::hold(Lane lane, const DeviceEvent& until) const {
  const auto* const event = dynamic_cast<const CudaEvent*>(&until);
  BIGMODEL_ASSERT(event != nullptr);
  use();
  check_cuda(cudaStreamWaitEvent(stream_for(lane), event->get(), 0), name_, "let a lane wait for an event");
}

void CudaAccelerator::finish(Lane lane) const {
  use();
  check_cuda(cudaStreamSynchronize(stream_for(lane)), name_, lane == Lane::compute ? "finish what was computed" : "finish the copies");
}

cudaGraph_t CudaAccelerator::end_capture() const {
  pool_->end_recording();
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(compute_->get(), &graph) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    if (graph != nullptr) cudaGraphDestroy(graph);
    return nullptr;
  }
  return graph;
}

std::unique_ptr<RecordedWork> CudaAccelerator::record_work(const std::function<void()>& work) const {
  use();
  {
    const std::lock_guard lock(mutex_);
    BIGMODEL_ASSERT(!recording_);
    recording_.emplace(Recording{std::this_thread::get_id(), {pool_->begin_recording(), {}}});
  }
  const auto take_memory = [this] {
    const std::lock_guard lock(mutex_);
    CudaRecordingMemory memory = std::move(recording_->memory);
    recording_.reset();
    return memory;
  };
  if (const cudaError_t status = cudaStreamBeginCapture(compute_->get(), cudaStreamCaptureModeThreadLocal); status != cudaSuccess) {
    pool_->end_recording();
    take_memory();
    throw_cuda_error(status, name_, "record work");
  }
  try {
    work();
  } catch (const NotRecordableError&) {
    if (cudaGraph_t graph = end_capture(); graph != nullptr) cudaGraphDestroy(graph);
    take_memory();
    return nullptr;
  } catch (...) {
    if (cudaGraph_t graph = end_capture(); graph != nullptr) cudaGraphDestroy(graph);
    take_memory();
    throw;
  }
  cudaGraph_t graph = end_capture();
  CudaRecordingMemory memory = take_memory();
  if (graph == nullptr) return nullptr;
  return std::make_unique<CudaRecordedWork>(ordinal_, compute_->get(), graph, std::move(memory));
}

}  // namespace bigmodel
