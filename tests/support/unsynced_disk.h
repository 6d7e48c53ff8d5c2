// SPDX-License-Identifier: Apache-2.0
// For tests that are about bytes and not about a power cut: nothing waits for the medium.
#pragma once

#include "bigmodel/io/disk.h"

namespace bigmodel::test {

class UnsyncedDisk : public Disk {
 public:
  int fsync(int) const override { return 0; }
};

}  // namespace bigmodel::test
