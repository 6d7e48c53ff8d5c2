// SPDX-License-Identifier: Apache-2.0
// cuda_devices.h over the CUDA runtime.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cuda_accelerator.h"
#include "bigmodel/device/cuda/cuda_devices.h"
#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {
namespace {

/// From the build: the architectures that kernels were compiled for, and the one from which the driver can compile on.
constexpr std::array kBuilt{BIGMODEL_CUDA_BUILT};
constexpr int kPtxFrom = BIGMODEL_CUDA_PTX_FROM;

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string out = "GPU-";
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return out;
}

CudaCard card_at(int ordinal) {
  CudaCard out{.ordinal = ordinal, .description = {}, .uuid = {}, .problem = {}, .remedy = {}};
  cudaDeviceProp properties{};
  CudaFailure failure{.problem = CudaProblem::wrong_architecture, .object = fmt::format("cuda:{}", ordinal)};
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, ordinal); status != cudaSuccess) {
    failure = cuda_failure(status, failure.object, "ask for its properties");
    static_cast<void>(cudaGetLastError());
  } else {
    out.description = {properties.name, properties.totalGlobalMem, properties.multiProcessorCount, 10 * properties.major + properties.minor};
    out.uuid = uuid_text(properties.uuid);
    if (has_code_for(out.description.capability, kBuilt, kPtxFrom)) return out;
    failure.capability = out.description.capability;
  }
  CudaAdvice advice = cuda_advice(failure);
  out.problem = std::move(advice.message);
  out.remedy = std::move(advice.hint);
  return out;
}

}  // namespace

CudaState read_cuda_state() {
  CudaState out{.built = true, .runtime_version = CUDART_VERSION, .driver_version = 0, .cards = {}, .problem = {}, .remedy = {}};
  if (cudaDriverGetVersion(&out.driver_version) != cudaSuccess) out.driver_version = 0;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  static_cast<void>(cudaGetLastError());
  if (status != cudaSuccess || count == 0) {
    CudaAdvice advice = cuda_advice(cuda_failure(status == cudaSuccess ? cudaErrorNoDevice : status, "CUDA", ""));
    out.problem = std::move(advice.message);
    out.remedy = std::move(advice.hint);
    return out;
  }
  for (int i = 0; i < count; ++i) out.cards.push_back(card_at(i));
  if (std::ranges::none_of(out.cards, [](const CudaCard& c) { return c.problem.empty(); })) {
    out.problem = out.cards.front().problem;
    out.remedy = out.cards.front().remedy;
  }
  return out;
}

std::uint64_t free_card_bytes(int ordinal) {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (cudaSetDevice(ordinal) == cudaSuccess && cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) return free_bytes;
  static_cast<void>(cudaGetLastError());
  return 0;
}

std::unique_ptr<Accelerator> open_cuda_card(int ordinal, std::optional<std::uint64_t> budget_bytes) {
  const CudaState state = read_cuda_state();
  if (state.cards.empty()) throw DeviceError(state.problem, state.remedy);
  if (ordinal < 0 || static_cast<std::size_t>(ordinal) >= state.cards.size()) {
    throw DeviceError(fmt::format("cuda:{}: there is no such card, expected one below {}", ordinal, state.cards.size()), "bigmodel doctor lists the cards of this machine");
  }
  const CudaCard& card = state.cards[static_cast<std::size_t>(ordinal)];
  if (!card.problem.empty()) throw DeviceError(card.problem, card.remedy);
  return std::make_unique<CudaAccelerator>(ordinal, budget_bytes);
}

}  // namespace bigmodel
