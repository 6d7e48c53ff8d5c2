// SPDX-License-Identifier: Apache-2.0
#include "support/emulated_card.h"

#include "bigmodel/ops/cuda/attention_kernels.cuh"
#include "bigmodel/ops/cuda/elementwise_kernels.cuh"
#include "bigmodel/ops/cuda/linear_kernels.cuh"
#include "bigmodel/ops/cuda/norm_kernels.cuh"
#include "bigmodel/ops/cuda/rope_kernels.cuh"

namespace bigmodel::ops {
template <class L> void KernelOps<L>::route(const float*, std::int64_t, const RoutingRule&, const float*, std::int64_t*, float*) const { throw UnsupportedError("route"); }
template <class L> void KernelOps<L>::experts(const float*, std::int64_t, std::int64_t, const std::int64_t*, const float*, std::int64_t, const ExpertWeights&, float*, const LinearEnd&) const { throw UnsupportedError("experts"); }
template <class L> void KernelOps<L>::causal_conv(const float*, float*, std::int64_t, std::int64_t, const ConvWeights&, float*) const { throw UnsupportedError("conv"); }
template <class L> void KernelOps<L>::selective_scan(const SelectiveScan&, float*) const { throw UnsupportedError("scan"); }
template <class L> void KernelOps<L>::selective_scan2(const SelectiveScan2&, float*) const { throw UnsupportedError("scan2"); }
}  // namespace bigmodel::ops

namespace bigmodel::test {

std::unique_ptr<EmulatedAccelerator> emulated_card(EmulatedOptions options) {
  auto out = std::make_unique<EmulatedAccelerator>(std::move(options));
  out->equip(std::make_shared<const ops::KernelOps<EmulatorLauncher>>(*out, EmulatorLauncher(*out)));
  return out;
}

}  // namespace bigmodel::test
