// SPDX-License-Identifier: Apache-2.0
// What can be said of CUDA without a card: the words for each problem, which code runs where, and that a machine without any starts and says why.
#include <doctest/doctest.h>

#include <array>

#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cuda_devices.h"
#include "bigmodel/device/cuda/cuda_problems.h"

using namespace bigmodel;

TEST_SUITE("device/cuda") {
  TEST_CASE("compiled code runs on later cards of its own major version, intermediate code on all later ones") {
    constexpr std::array built{75, 80, 90, 100};
    CHECK(has_code_for(75, built, 100));
    CHECK(has_code_for(86, built, 100));
    CHECK(has_code_for(89, built, 100));
    CHECK(has_code_for(103, built, 100));
    CHECK(has_code_for(120, built, 100));
    CHECK(!has_code_for(120, built, 0));
    CHECK(!has_code_for(70, built, 100));
    CHECK(!has_code_for(80, std::array{86}, 0));
    CHECK(has_code_for(80, std::array{86}, 75));
    CHECK(!has_code_for(80, {}, 0));
  }

  TEST_CASE("every problem says what is wrong and what to do") {
    const auto text = [](const CudaFailure& f) {
      const CudaAdvice advice = cuda_advice(f);
      CHECK(!advice.hint.empty());
      CHECK(advice.message.find('\n') == std::string::npos);
      return advice.message;
    };
    CHECK(text({.problem = CudaProblem::no_backend, .object = "cuda:0"}) == "cuda:0: this build has no GPU backend");
    CHECK(text({.problem = CudaProblem::no_driver, .object = "CUDA"}) == "CUDA: no NVIDIA driver answers");
    CHECK(text({.problem = CudaProblem::driver_too_old, .object = "CUDA", .driver_version = 12040, .runtime_version = 13000}) ==
          "CUDA: the driver is too old, expected one for CUDA 13.0 or later, got one for CUDA 12.4");
    CHECK(text({.problem = CudaProblem::no_device, .object = "CUDA"}) == "CUDA: the driver shows no GPU");
    CHECK(text({.problem = CudaProblem::out_of_memory, .object = "cuda:0", .wanted_bytes = 3 << 20, .free_bytes = 1 << 20}) ==
          "cuda:0: out of memory, wanted 3.00 MiB, free 1.00 MiB");
    CHECK(text({.problem = CudaProblem::wrong_architecture, .object = "cuda:2", .capability = 61}) == "cuda:2: this build has no code for its compute capability 6.1");
    CHECK(text({.problem = CudaProblem::lost, .object = "cuda:0", .action = "finish the copies", .code = "cudaErrorIllegalAddress", .text = "an illegal memory access was encountered"}) ==
          "cuda:0: cannot finish the copies: the card stopped working: an illegal memory access was encountered (cudaErrorIllegalAddress)");
    CHECK(text({.problem = CudaProblem::busy, .object = "cuda:0", .action = "use the card", .code = "cudaErrorDevicesUnavailable"}) ==
          "cuda:0: cannot use the card: the card is not to be had: cudaErrorDevicesUnavailable");
    CHECK(text({.problem = CudaProblem::other, .object = "cuda:0", .action = "make a stream", .code = "cudaErrorUnknown", .text = "unknown error"}) ==
          "cuda:0: cannot make a stream: unknown error (cudaErrorUnknown)");
  }

  TEST_CASE("memory that is short is a matter of capacity, all else of the device") {
    CHECK_THROWS_AS(throw_cuda_failure({.problem = CudaProblem::out_of_memory, .object = "cuda:0"}), CapacityError);
    CHECK_THROWS_AS(throw_cuda_failure({.problem = CudaProblem::recording, .object = "cuda:0"}), NotRecordableError);
    CHECK_THROWS_AS(throw_cuda_failure({.problem = CudaProblem::lost, .object = "cuda:0"}), DeviceError);
  }

  TEST_CASE("cards find what NVML says of them, however the two number them") {
    const std::array<CudaCard, 3> cards{CudaCard{.ordinal = 0, .uuid = "GPU-b"}, CudaCard{.ordinal = 1, .uuid = "GPU-a"}, CudaCard{.ordinal = 2, .uuid = ""}};
    const std::array<GpuMemory, 3> gpus{GpuMemory{"first", "GPU-a", 10, 1}, GpuMemory{"second", "GPU-b", 20, 2}, GpuMemory{"third", "", 30, 3}};
    const std::vector<GpuMemory> found = memory_of_cards(cards, gpus);
    REQUIRE(found.size() == 3);
    CHECK(found[0].free_bytes == 2);
    CHECK(found[1].free_bytes == 1);
    CHECK(found[2].name.empty());
  }

  TEST_CASE("a machine without a usable card says why, and opening one throws the same") {
    const CudaState state = read_cuda_state();
    CHECK(state.built == (state.runtime_version > 0));
    if (state.usable()) {
      CHECK(!state.cards.empty());
      CHECK(state.driver_version >= state.runtime_version / 1000 * 1000);
      CHECK_THROWS_AS(open_cuda_card(static_cast<int>(state.cards.size())), DeviceError);
    } else {
      CHECK(!state.remedy.empty());
      try {
        static_cast<void>(open_cuda_card(0));
        FAIL("it opened");
      } catch (const DeviceError& e) {
        CHECK(!e.hint().empty());
        if (state.built) CHECK(e.message() == state.problem);
      }
    }
  }
}
