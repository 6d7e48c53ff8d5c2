// SPDX-License-Identifier: Apache-2.0
// The probes answer with a rate or a reason, and leave nothing behind.
#include "bigmodel/device/bandwidth_probe.h"

#include <doctest/doctest.h>

#include "support/temp_folder.h"

namespace bigmodel::test {

TEST_SUITE("device/bandwidth_probe") {
  TEST_CASE("RAM reads faster than a tape and slower than light") {
    for (const int threads : {-1, 1, 3}) {
      const std::optional<double> rate = probe_memory(threads, 64 << 20);
      REQUIRE(rate.has_value());
      CHECK(*rate > 1e8);
      CHECK(*rate < 1e14);
    }
    CHECK_FALSE(probe_memory(2, 100).has_value());
    std::stop_source stopped;
    stopped.request_stop();
    CHECK_FALSE(probe_memory(2, 1 << 20, stopped.get_token()).has_value());
  }

  TEST_CASE("the disk gives a rate or says why not, and keeps nothing") {
    const TempFolder folder;
    const DiskProbe probe = probe_disk(folder.path(), 8 << 20, 2);
    CHECK(probe.bytes_per_second.has_value() == probe.problem.empty());
    if (probe.bytes_per_second) CHECK(*probe.bytes_per_second > 1e5);
    CHECK(std::filesystem::is_empty(folder.path()));
    CHECK(probe_disk(folder / "nowhere", 8 << 20, 2).problem == "cannot write there");
    std::stop_source stopped;
    stopped.request_stop();
    CHECK(probe_disk(folder.path(), 8 << 20, 2, stopped.get_token()).problem != "");
  }

  TEST_CASE("GPUs copy inside faster than through the bus") {
    for (const GpuProbe& gpu : probe_gpus()) CHECK(gpu.memory_bytes_per_second > gpu.upload_bytes_per_second);
  }
}

}  // namespace bigmodel::test
