// SPDX-License-Identifier: Apache-2.0
// Machines made of files.
#include "bigmodel/device/machine_info.h"

#include <doctest/doctest.h>

#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

constexpr const char* kMemory = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n";

}  // namespace

TEST_SUITE("device/machine_info") {
  TEST_CASE("reads processor and memory") {
    const TempFolder root;
    root.write("proc/meminfo", kMemory);
    root.write("proc/cpuinfo",
               "processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fpu avx2 fma f16c lm\n\nprocessor\t: 1\nmodel name\t: A Chip\n");
    const MachineInfo info = read_machine_info(root.path());
    CHECK(info.processor.model == "A Chip");
    CHECK(info.processor.logical_count == 2);
    CHECK(info.processor.features == std::vector<std::string>{"avx2", "fma", "f16c"});
    CHECK(info.memory.total_bytes == 16384000000);
    CHECK(info.memory.usable_bytes() == 8192000000);
    CHECK_FALSE(info.memory.limit_bytes);
    CHECK_FALSE(info.nvidia);
  }

  TEST_CASE("takes the tightest limit of the groups above (v2)") {
    const TempFolder root;
    root.write("proc/meminfo", kMemory);
    root.write("proc/self/cgroup", "0::/a/b\n");
    root.write("sys/fs/cgroup/a/b/memory.max", "max\n");
    root.write("sys/fs/cgroup/a/memory.max", "4000000000\n");
    root.write("sys/fs/cgroup/a/memory.current", "1500000000\n");
    root.write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500000000\n");
    const MemoryInfo memory = read_machine_info(root.path()).memory;
    CHECK(memory.limit_bytes == 4000000000);
    CHECK(memory.limit_used_bytes == 1000000000);
    CHECK(memory.usable_bytes() == 3000000000);
    CHECK(memory.limit_source.ends_with("sys/fs/cgroup/a/memory.max"));
  }

  TEST_CASE("asks the top where the group's own folder is not mounted") {
    const TempFolder root;
    root.write("proc/meminfo", kMemory);
    root.write("proc/self/cgroup", "0::/docker/abc\n");
    root.write("sys/fs/cgroup/memory.max", "1000000\n");
    CHECK(read_machine_info(root.path()).memory.limit_bytes == 1000000);
  }

  TEST_CASE("reads v1 groups and knows their way of saying no limit") {
    const TempFolder root;
    root.write("proc/self/cgroup", "5:cpu,memory:/x\n1:name=systemd:/y\n");
    root.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2000000\n");
    root.write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1000\n");
    root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    const MemoryInfo memory = read_machine_info(root.path()).memory;
    CHECK(memory.limit_bytes == 2000000);
    CHECK(memory.limit_used_bytes == 1000);
  }

  TEST_CASE("reads the NVIDIA driver and its GPUs") {
    const TempFolder root;
    root.write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n");
    root.write("proc/driver/nvidia/gpus/0000:b0:00.0/information", "Model: \t\t Second\n");
    root.write("proc/driver/nvidia/gpus/0000:a0:00.0/information", "Model: \t\t First\nIRQ: 1\n");
    const auto nvidia = read_machine_info(root.path()).nvidia;
    REQUIRE(nvidia);
    CHECK(nvidia->version == "535.104.05");
    CHECK(nvidia->gpu_names == std::vector<std::string>{"First", "Second"});
  }

  TEST_CASE("leaves empty what is not there") {
    const TempFolder root;
    const MachineInfo info = read_machine_info(root.path());
    CHECK(info.processor.model == "");
    CHECK(info.memory.total_bytes == 0);
  }

  TEST_CASE("asks the disk of the nearest folder that exists") {
    const TempFolder root;
    const auto here = read_disk_info(root.path());
    const auto below = read_disk_info(root / "not/there/yet");
    REQUIRE(here);
    REQUIRE(below);
    CHECK(here->total_bytes > 0);
    CHECK(here->total_bytes == below->total_bytes);
    CHECK(below->writable);
  }
}

}  // namespace bigmodel::test
