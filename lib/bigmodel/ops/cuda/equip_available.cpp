// SPDX-License-Identifier: Apache-2.0
// equip_cuda: own kernels over the CUDA runtime.
#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cublaslt_product.h"
#include "bigmodel/device/cuda/cuda_accelerator.h"
#include "bigmodel/ops/cuda/equip_cuda.h"
#include "bigmodel/ops/cuda/kernel_ops.h"

namespace bigmodel::ops {
namespace {

/// The card's operations with the library they use.
struct CudaOps {
  class Product final : public MatrixProduct {
   public:
    explicit Product(const CudaAccelerator& card) : library_(CublasLtProduct::open(card)) {}
    bool there() const noexcept { return library_ != nullptr; }
    bool multiply(const std::byte* x, const std::byte* w, DType dtype, std::int64_t rows, std::int64_t out, std::int64_t in, float alpha, float beta, float* y) const override {
      return library_->multiply(x, w, dtype, rows, out, in, alpha, beta, y);
    }

   private:
    std::unique_ptr<CublasLtProduct> library_;
  };

  explicit CudaOps(const CudaAccelerator& card) : product(card), operations(card, card.launcher(), product.there() ? &product : nullptr) {}

  Product product;
  KernelOps<CudaLauncher> operations;
};

}  // namespace

void equip_cuda(Accelerator& card) {
  const auto* const cuda = dynamic_cast<const CudaAccelerator*>(&card);
  BIGMODEL_ASSERT(cuda != nullptr);
  const auto own = std::make_shared<const CudaOps>(*cuda);
  card.equip({own, &own->operations});
}

}  // namespace bigmodel::ops
