// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_staging.h"

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cuda_memory.h"

namespace bigmodel {

CudaStaging::CudaStaging(std::string device_name, cudaStream_t stream)
    : device_name_(std::move(device_name)), stream_(stream), ring_(cuda_pinned_memory(kPartBytes * kParts, device_name_)) {}

const std::byte* CudaStaging::put(std::span<const std::byte> from) {
  BIGMODEL_ASSERT(from.size() <= kPartBytes);
  if (used_ + from.size() > kPartBytes) {
    done_[part_] = std::make_shared<CudaEvent>(device_name_, stream_, false);
    part_ = (part_ + 1) % kParts;
    used_ = 0;
    if (done_[part_] != nullptr) done_[part_]->wait();
  }
  std::byte* const place = ring_.get() + part_ * kPartBytes + used_;
  std::memcpy(place, from.data(), from.size());
  used_ += (from.size() + 63) / 64 * 64;
  return place;
}

}  // namespace bigmodel
