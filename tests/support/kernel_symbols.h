// SPDX-License-Identifier: Apache-2.0
// Where a kernel's shared arrays lie in the emulator: they are its function's own thread-local variables, as this program's symbol table names them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace bigmodel::emulator {

/// The shared arrays of a kernel in the calling thread. None where the program has no symbol table. Thread-safe.
std::vector<std::span<std::byte>> shared_arrays(const void* kernel);

}  // namespace bigmodel::emulator
