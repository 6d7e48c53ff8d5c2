// SPDX-License-Identifier: Apache-2.0
#include "support/emulated_card.h"

namespace bigmodel::test {

std::unique_ptr<EmulatedAccelerator> emulated_card(EmulatedOptions options) {
  auto out = std::make_unique<EmulatedAccelerator>(std::move(options));
  out->equip(std::make_shared<const ops::KernelOps<EmulatorLauncher>>(*out, EmulatorLauncher(*out)));
  return out;
}

}  // namespace bigmodel::test
