// SPDX-License-Identifier: Apache-2.0
// The emulator itself: what it exchanges, and that it tells what a card would punish.
#include "support/emulated_accelerator.h"
// The emulator's words come first.
#include "bigmodel/ops/cuda/kernel_language.h"
#include "bigmodel/ops/cuda/warp_mma.cuh"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <numeric>
#include <random>
#include <thread>

using namespace bigmodel;
using test::DeviceArray;
using test::EmulatedAccelerator;
using test::EmulatorLauncher;

namespace {

/// Sums of a block by shuffles and shared memory; `forget`: the barrier is missing.
__global__ void sum_kernel(const float* x, float* out, bool forget) {
  __shared__ float parts[32];
  const unsigned warp = threadIdx.x / 32;
  float v = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xFFFFFFFFU, v, by);
  if (threadIdx.x % 32 == 0) parts[warp] = v;
  if (!forget) __syncthreads();
  if (threadIdx.x == 0) {
    float sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) sum += parts[w];
    out[blockIdx.x] = sum;
  }
}

__global__ void shared_reversal_kernel(int* x) {
  BIGMODEL_DYNAMIC_SHARED(int, held);
  held[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
}

__global__ void poison_kernel(unsigned* out) {
  BIGMODEL_DYNAMIC_SHARED(unsigned, held);
  out[blockIdx.x * blockDim.x + threadIdx.x] = held[threadIdx.x];
  held[threadIdx.x] = 7;
}

__global__ void array_poison_kernel(unsigned* out) {
  __shared__ unsigned held[32];
  out[blockIdx.x * blockDim.x + threadIdx.x] = held[threadIdx.x];
  held[threadIdx.x] = 7;
}

__global__ void shuffles_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* row = out + 6 * lane;
  row[0] = __shfl_sync(0xFFFFFFFFU, lane, 5);
  row[1] = __shfl_sync(0xFFFFFFFFU, lane, 5, 8);
  row[2] = __shfl_down_sync(0xFFFFFFFFU, lane, 3, 8);
  row[3] = __shfl_up_sync(0xFFFFFFFFU, lane, 3);
  row[4] = static_cast<int>(__ballot_sync(0xFFFFFFFFU, lane % 3 == 0));
  // Halves of a warp may go their own ways.
  row[5] = lane < 16 ? __shfl_xor_sync(0x0000FFFFU, lane, 1) : -1;
}

enum class Fault { none, half_at_barrier, two_barriers, lane_left_out, ended_lane, two_shuffles, outside_mask };
__global__ void faulty_kernel(Fault fault) {
  switch (fault) {
    case Fault::none: return;
    case Fault::half_at_barrier:
      if (threadIdx.x < 32) __syncthreads();
      return;
    case Fault::two_barriers:
      if (threadIdx.x < 32) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      return;
    case Fault::lane_left_out:
      if (threadIdx.x == 3) __syncthreads();
      __shfl_xor_sync(0xFFFFFFFFU, 1, 1);
      __syncthreads();
      return;
    case Fault::ended_lane:
      if (threadIdx.x == 9) return;
      __shfl_xor_sync(0xFFFFFFFFU, 1, 1);
      return;
    case Fault::two_shuffles:
      if (threadIdx.x % 2 == 0) {
        __shfl_xor_sync(0xFFFFFFFFU, 1, 1);
      } else {
        __shfl_xor_sync(0xFFFFFFFFU, 1, 2);
      }
      return;
    case Fault::outside_mask:
      if (threadIdx.x < 16) __shfl_sync(0x0000FFFFU, 1, 20);
      return;
  }
}

__global__ void writing_kernel(float* at, float value) { at[threadIdx.x] = value; }
__global__ void adding_kernel(float* at, float value) { at[threadIdx.x] += value; }

template <bool kBFloat16>
__global__ void mma_kernel(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](const std::uint16_t* at) { return at[0] | static_cast<unsigned>(at[1]) << 16; };
  const unsigned fa[4] = {pair(a + g * 16 + 2 * t), pair(a + (g + 8) * 16 + 2 * t), pair(a + g * 16 + 2 * t + 8), pair(a + (g + 8) * 16 + 2 * t + 8)};
  const unsigned fb[2] = {pair(b + g * 16 + 2 * t), pair(b + g * 16 + 2 * t + 8)};
  float fd[4] = {1, 1, 1, 1};
  ops::mma_m16n8k16<kBFloat16>(fd, fa, fb);
  for (int i = 0; i < 4; ++i) d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = fd[i];
}

}  // namespace

TEST_SUITE("ops/gpu_emulator") {
  TEST_CASE("blocks sum up by shuffles and shared memory in any order, and a missing barrier shows") {
    for (const unsigned order : {0U, 1U, 2U, 3U}) {
      CAPTURE(order);
      const EmulatedAccelerator device({.order = order});
      const EmulatorLauncher launcher(device);
      std::vector<float> x(3 * 256);
      std::iota(x.begin(), x.end(), 1.0F);
      const DeviceArray<float> in(device, std::span<const float>(x)), out(device, 3);
      launcher.launch(&sum_kernel, {.grid_x = 3, .threads = 256}, in.data(), out.data(), false);
      for (std::size_t b = 0; b < 3; ++b) CHECK(out.read()[b] == std::accumulate(x.begin() + static_cast<std::ptrdiff_t>(b) * 256, x.begin() + static_cast<std::ptrdiff_t>(b + 1) * 256, 0.0F));
    }
    unsigned seen = 0;
    for (const unsigned order : {0U, 1U, 3U}) {
      const EmulatedAccelerator device({.order = order});
      std::vector<float> x(256);
      std::iota(x.begin(), x.end(), 1000.0F * static_cast<float>(order + 1));
      const DeviceArray<float> in(device, std::span<const float>(x)), out(device, 1);
      EmulatorLauncher(device).launch(&sum_kernel, {.threads = 256}, in.data(), out.data(), true);
      seen += out.read()[0] != std::accumulate(x.begin(), x.end(), 0.0F) ? 1 : 0;
    }
    CHECK(seen >= 1);
  }

  TEST_CASE("shared memory exchanges, and is poisoned before each block") {
    const EmulatedAccelerator device;
    const EmulatorLauncher launcher(device);
    std::vector<int> x(96);
    std::iota(x.begin(), x.end(), 0);
    const DeviceArray<int> held(device, std::span<const int>(x));
    launcher.launch(&shared_reversal_kernel, {.threads = 96, .shared_bytes = 96 * 4}, held.data());
    for (int i = 0; i < 96; ++i) CHECK(held.read()[static_cast<std::size_t>(i)] == 95 - i);
    const DeviceArray<unsigned> out(device, 64);
    launcher.launch(&poison_kernel, {.grid_x = 2, .threads = 32, .shared_bytes = 128}, out.data());
    for (const unsigned v : out.read()) CHECK(v == 0xFFFFFFFFU);
    launcher.launch(&array_poison_kernel, {.grid_x = 2, .threads = 32}, out.data());
    for (const unsigned v : out.read()) CHECK(v == 0xFFFFFFFFU);
  }

  TEST_CASE("shuffles and votes read the lanes that CUDA's read") {
    const EmulatedAccelerator device({.order = 3});
    const DeviceArray<int> out(device, 32 * 6);
    EmulatorLauncher(device).launch(&shuffles_kernel, {.threads = 32}, out.data());
    const std::vector<int> got = out.read();
    for (int lane = 0; lane < 32; ++lane) {
      const int* row = got.data() + 6 * lane;
      CHECK(row[0] == 5);
      CHECK(row[1] == lane / 8 * 8 + 5);
      CHECK(row[2] == (lane % 8 < 5 ? lane + 3 : lane));
      CHECK(row[3] == (lane < 3 ? lane : lane - 3));
      CHECK(static_cast<unsigned>(row[4]) == 0x49249249U);
      CHECK(row[5] == (lane < 16 ? (lane ^ 1) : -1));
    }
  }

  TEST_CASE("what leaves threads waiting, or crosses operations, throws") {
    for (const Fault fault : {Fault::half_at_barrier, Fault::two_barriers, Fault::lane_left_out, Fault::ended_lane, Fault::two_shuffles, Fault::outside_mask}) {
      for (const unsigned order : {0U, 1U}) {
        CAPTURE(static_cast<int>(fault));
        const EmulatedAccelerator device({.order = order});
        CHECK_THROWS_AS(EmulatorLauncher(device).launch(&faulty_kernel, {.threads = 64}, fault), emulator::EmulatorError);
        // The next launch on this thread starts afresh.
        const EmulatedAccelerator other;
        CHECK_NOTHROW(EmulatorLauncher(other).launch(&faulty_kernel, {.threads = 64}, Fault::none));
      }
    }
    const EmulatedAccelerator device;
    CHECK_THROWS_AS(EmulatorLauncher(device).launch(&faulty_kernel, {.grid_y = 65536}, Fault::none), DeviceError);
    float in_ram = 0;
    CHECK_THROWS_AS(EmulatorLauncher(device).launch(&writing_kernel, {}, &in_ram, 1.0F), InternalError);
  }

  TEST_CASE("products of tensor cores follow the layouts of their fragments") {
    std::mt19937 random(1);
    std::uniform_int_distribution<int> small(-4, 4);
    for (const bool bfloat16 : {true, false}) {
      std::vector<std::uint16_t> a(256), b(128);
      std::vector<float> wide_a(256), wide_b(128);
      const auto fill = [&](std::vector<std::uint16_t>& bits, std::vector<float>& wide) {
        for (std::size_t i = 0; i < bits.size(); ++i) {
          wide[i] = static_cast<float>(small(random)) / 2;
          bits[i] = bfloat16 ? ops::float_to_bf16(wide[i]) : ops::float_to_f16(wide[i]);
        }
      };
      fill(a, wide_a);
      fill(b, wide_b);
      const EmulatedAccelerator device({.capability = bfloat16 ? 80 : 75, .order = 3});
      const DeviceArray<std::uint16_t> da(device, std::span<const std::uint16_t>(a)), db(device, std::span<const std::uint16_t>(b));
      const DeviceArray<float> d(device, 128);
      EmulatorLauncher(device).launch(bfloat16 ? &mma_kernel<true> : &mma_kernel<false>, {}, da.data(), db.data(), d.data());
      const std::vector<float> got = d.read();
      for (std::size_t row = 0; row < 16; ++row) {
        for (std::size_t column = 0; column < 8; ++column) {
          float want = 1;
          for (std::size_t k = 0; k < 16; ++k) want += wide_a[row * 16 + k] * wide_b[column * 16 + k];
          CHECK(got[row * 8 + column] == want);
        }
      }
    }
    const EmulatedAccelerator turing({.capability = 75});
    const DeviceArray<std::uint16_t> a(turing, 256);
    const DeviceArray<float> d(turing, 128);
    CHECK_THROWS_AS(EmulatorLauncher(turing).launch(&mma_kernel<true>, {}, a.data(), a.data(), d.data()), emulator::EmulatorError);
  }

  TEST_CASE("16-bit values go there and back as hardware rounds them") {
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
      const float half = ops::f16_to_float(bits), brain = ops::bf16_to_float(bits);
      if (half == half) CHECK(ops::float_to_f16(half) == bits);
      if (brain == brain) CHECK(ops::float_to_bf16(brain) == bits);
    }
    CHECK(ops::float_to_f16(65519.0F) == 0x7BFF);
    CHECK(ops::float_to_f16(65520.0F) == 0x7C00);
    CHECK(ops::float_to_f16(0x1.002p0F) == 0x3C00);   // half way: to even
    CHECK(ops::float_to_f16(0x1.006p0F) == 0x3C02);
    CHECK(ops::float_to_f16(0x1p-25F) == 0x0000);
    CHECK(ops::float_to_f16(0x1.8p-25F) == 0x0001);
    CHECK(ops::float_to_bf16(1.00390625F) == 0x3F80);
    CHECK(ops::float_to_bf16(1.01171875F) == 0x3F82);
  }

  TEST_CASE("memory is counted, recorded work is repeated, and what cannot be recorded gives none") {
    for (const bool deferred : {false, true}) {
      const EmulatedAccelerator device({.deferred = deferred});
      const EmulatorLauncher launcher(device);
      const std::vector<float> zeros(32);
      const DeviceArray<float> x(device, std::span<const float>(zeros));
      const auto work = device.record_work([&] {
        const std::shared_ptr<std::byte[]> scratch = device.allocate(128);
        launcher.launch(&writing_kernel, {}, reinterpret_cast<float*>(scratch.get()), 1.0F);
        launcher.launch(&adding_kernel, {}, x.data(), 2.0F);
      });
      REQUIRE(work != nullptr);
      CHECK(device.counts().launches == 0);
      CHECK(device.allocated_bytes() == 256);
      const std::uint64_t allocations = device.counts().allocations;
      work->launch();
      work->launch();
      CHECK(x.read()[31] == 4);
      CHECK(device.counts().launches == 4);
      CHECK(device.counts().replays == 2);
      CHECK(device.counts().allocations == allocations);
      CHECK(device.record_work([&] { device.finish(Lane::compute); }) == nullptr);
      CHECK(device.record_work([&] { x.read(); }) == nullptr);
      // Another thread's calls are none of the recording's.
      CHECK(device.record_work([&] { std::jthread([&] { device.allocate(1); }).join(); }) != nullptr);
    }
    const EmulatedAccelerator small({.memory_bytes = 4096});
    CHECK_THROWS_AS(small.allocate(8192), CapacityError);
  }

  TEST_CASE("lanes wait for each other's events, and a copy that fails becomes a DeviceError") {
    std::atomic<bool> fail = false;
    const EmulatedAccelerator device({.before_copy = [&](std::uint64_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (fail) throw std::runtime_error("device cuda:0: the bus is gone");
    }});
    const std::shared_ptr<std::byte[]> pinned = device.allocate_pinned(128);
    const float ones[32] = {1, 1};
    std::memcpy(pinned.get(), ones, 128);
    const DeviceArray<float> x(device, 32);
    device.queue_copy_in(Lane::copy, reinterpret_cast<std::byte*>(x.data()), {pinned.get(), 128});
    const auto there = device.record(Lane::copy);
    CHECK_FALSE(there->is_done());
    device.hold(Lane::compute, *there);
    EmulatorLauncher(device).launch(&adding_kernel, {}, x.data(), 1.0F);
    CHECK(x.read()[0] == 2);
    CHECK(there->is_done());
    CHECK_THROWS_AS(device.queue_copy_in(Lane::copy, reinterpret_cast<std::byte*>(x.data()), std::as_bytes(std::span(ones))), InternalError);
    fail = true;
    device.queue_copy_in(Lane::copy, reinterpret_cast<std::byte*>(x.data()), {pinned.get(), 128});
    CHECK_THROWS_AS(device.finish(Lane::copy), DeviceError);
    CHECK_THROWS_AS(device.hold(Lane::compute, *there), DeviceError);
  }
}
