// SPDX-License-Identifier: Apache-2.0
// Whether the build has code for the card that is current: asked of a kernel that does nothing.
#pragma once

#include <cuda_runtime_api.h>

namespace bigmodel {

/// cudaSuccess, or why kernels of this build cannot run there. Makes the card's context.
cudaError_t find_probe_kernel();

}  // namespace bigmodel
