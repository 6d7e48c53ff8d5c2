// SPDX-License-Identifier: Apache-2.0
// Matrix products of many rows by cuBLASLt, where that library is installed: it is loaded at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

class CudaAccelerator;

/// One thread at a time, the one that queues into the compute lane. The accelerator must outlive it.
class CublasLtProduct {
 public:
  /// Null where the library is not to be had, or says no.
  static std::unique_ptr<CublasLtProduct> open(const CudaAccelerator& device);
  ~CublasLtProduct();
  CublasLtProduct(const CublasLtProduct&) = delete;
  CublasLtProduct& operator=(const CublasLtProduct&) = delete;

  /// As MatrixProduct::multiply of ops/cuda/kernel_ops.h. The way is chosen once for each shape and alignment, so that the same call gives the
  /// same bits. Throws DeviceError, CapacityError.
  bool multiply(const std::byte* x, const std::byte* w, DType dtype, std::int64_t rows, std::int64_t out, std::int64_t in, float alpha, float beta, float* y);

 private:
  struct Library;
  struct Plan;
  struct State;
  explicit CublasLtProduct(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace bigmodel
