// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_problems.h"

#include <fmt/format.h>

#include "bigmodel/core/byte_size.h"

namespace bigmodel {
namespace {

/// "cuda:0: cannot launch a kernel", "CUDA".
std::string beginning(const CudaFailure& f) { return f.action.empty() ? f.object : fmt::format("{}: cannot {}", f.object, f.action); }

std::string driver_words(const CudaFailure& f) { return f.text.empty() ? f.code : fmt::format("{} ({})", f.text, f.code); }

}  // namespace

std::string cuda_version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

CudaAdvice cuda_advice(const CudaFailure& f) {
  switch (f.problem) {
    case CudaProblem::no_backend:
      return {fmt::format("{}: this build has no GPU backend", f.object), "install the CUDA toolkit and build with `cmake --preset cuda`"};
    case CudaProblem::no_driver:
      return {fmt::format("{}: no NVIDIA driver answers", f.object), "install the driver (in a container, start it with GPUs), or run on the CPU"};
    case CudaProblem::driver_too_old:
      return {f.driver_version > 0 ? fmt::format("{}: the driver is too old, expected one for CUDA {} or later, got one for CUDA {}", f.object,
                                                 cuda_version_text(f.runtime_version), cuda_version_text(f.driver_version))
                                   : fmt::format("{}: the driver is too old for this build", f.object),
              "update the driver, or build with an older CUDA toolkit"};
    case CudaProblem::no_device:
      return {fmt::format("{}: the driver shows no GPU", f.object), "look at CUDA_VISIBLE_DEVICES and at nvidia-smi, or run on the CPU"};
    case CudaProblem::out_of_memory:
      return {f.wanted_bytes > 0 ? fmt::format("{}: out of memory, wanted {}, free {}", f.object, format_binary(f.wanted_bytes), format_binary(f.free_bytes))
                                 : fmt::format("{}: out of memory, free {}", beginning(f), format_binary(f.free_bytes)),
              "place fewer modules there (--max-memory), or shorten the context"};
    case CudaProblem::wrong_architecture:
      return {f.capability > 0 ? fmt::format("{}: this build has no code for its compute capability {}.{}", f.object, f.capability / 10, f.capability % 10)
                               : fmt::format("{}: this build has no code for this card", f.object),
              "build with -DCMAKE_CUDA_ARCHITECTURES=native on this machine, or run on the CPU"};
    case CudaProblem::lost:
      return {fmt::format("{}: the card stopped working: {}", beginning(f), driver_words(f)), "start again; where it comes back, look for Xid lines in dmesg"};
    case CudaProblem::busy:
      return {fmt::format("{}: the card is not to be had: {}", beginning(f), driver_words(f)), "end what else runs there, or look at its compute mode (nvidia-smi -q)"};
    case CudaProblem::recording:
      return {fmt::format("{}: this cannot be recorded: {}", beginning(f), driver_words(f)), "run the work without recording"};
    case CudaProblem::other: break;
  }
  return {fmt::format("{}: {}", beginning(f), driver_words(f)), "bigmodel doctor shows what is known of driver and cards"};
}

void throw_cuda_failure(const CudaFailure& failure) {
  CudaAdvice advice = cuda_advice(failure);
  if (failure.problem == CudaProblem::out_of_memory) throw CapacityError(std::move(advice.message), std::move(advice.hint));
  if (failure.problem == CudaProblem::recording) throw NotRecordableError(std::move(advice.message), std::move(advice.hint));
  throw DeviceError(std::move(advice.message), std::move(advice.hint));
}

}  // namespace bigmodel
