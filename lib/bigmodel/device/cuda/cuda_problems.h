// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a CUDA driver or card, in words and with a remedy. Knows no CUDA header, so that every build has and tests it.
#pragma once

#include <cstdint>
#include <string>

#include "bigmodel/core/error.h"

namespace bigmodel {

enum class CudaProblem : std::uint8_t {
  no_backend,          ///< this build has none
  no_driver,
  driver_too_old,
  no_device,
  out_of_memory,
  wrong_architecture,  ///< the build has no code for the card
  lost,                ///< an earlier kernel or the hardware failed: the card's context is gone
  busy,                ///< another process has the card to itself, or the driver holds it back
  recording,           ///< the call cannot be recorded
  other,
};

/// A call that cannot be part of recorded work.
class NotRecordableError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

struct CudaFailure {
  CudaProblem problem = CudaProblem::other;
  std::string object;              ///< "cuda:0", or "CUDA" where no card is meant
  std::string action;              ///< "copy 12 bytes in"; may be empty
  std::string code;                ///< "cudaErrorMemoryAllocation"
  std::string text;                ///< the driver's own words
  std::uint64_t wanted_bytes = 0;  ///< out_of_memory; 0: unknown
  std::uint64_t free_bytes = 0;
  int capability = 0;              ///< wrong_architecture; 0: unknown
  int driver_version = 0;          ///< driver_too_old: 1000 * major + 10 * minor of the CUDA that the driver knows
  int runtime_version = 0;
};

/// Throws CapacityError for out_of_memory, NotRecordableError for recording, else DeviceError.
[[noreturn]] void throw_cuda_failure(const CudaFailure& failure);

/// The same error without throwing it: what is wrong, and what to do.
struct CudaAdvice {
  std::string message;
  std::string hint;
};
CudaAdvice cuda_advice(const CudaFailure& failure);

/// "13.0" of 13000.
std::string cuda_version_text(int version);

}  // namespace bigmodel
