// SPDX-License-Identifier: Apache-2.0
// JSON that stands in the call itself: what is wrong with it is the call's mistake and no file's.
#pragma once

#include "bigmodel/core/error.h"

namespace bigmodel::app {

/// What `read` gives; throws UsageError where it throws FormatError.
template <typename Read>
auto in_call(const Read& read) {
  try {
    return read();
  } catch (const FormatError& e) {
    throw UsageError(e.message(), e.hint());
  }
}

}  // namespace bigmodel::app
