// SPDX-License-Identifier: Apache-2.0
// An emulated accelerator with all kernels: what the engine can run models on where there is no card.
#pragma once

#include <memory>

#include "support/emulated_accelerator.h"

namespace bigmodel::test {

std::unique_ptr<EmulatedAccelerator> emulated_card(EmulatedOptions options = {});

}  // namespace bigmodel::test
