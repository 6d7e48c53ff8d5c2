// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/checked_math.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"

namespace bigmodel {

void throw_overflow(std::string_view object) {
  throw FormatError(fmt::format("{}: a size is too large for 64 bits", object));
}

}  // namespace bigmodel
