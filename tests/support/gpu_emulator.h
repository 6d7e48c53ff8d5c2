// SPDX-License-Identifier: Apache-2.0
// CUDA's words for g++: kernels of lib/bigmodel/ops/cuda run block by block on the calling thread, each CUDA thread as a fiber, so that barriers
// and shuffles really exchange, and misuse of them throws. To be included before any kernel source.
#pragma once

#ifdef __CUDACC__
#error "the emulator is for host compilers"
#endif
#define BIGMODEL_GPU_EMULATOR 1

#include <math.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/// Blocks run one at a time in each OS thread.
#define __shared__ static thread_local
#define BIGMODEL_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(::bigmodel::emulator::dynamic_shared())

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(2) uchar2 { unsigned char x, y; };
struct alignas(4) uchar4 { unsigned char x, y, z, w; };
struct alignas(4) char4 { signed char x, y, z, w; };
struct alignas(4) ushort2 { unsigned short x, y; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};
inline constexpr int warpSize = 32;

namespace bigmodel::emulator {

/// A kernel broke a rule of the hardware: the message says which threads, and where.
class EmulatorError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

using Where = std::source_location;

struct Grid {
  unsigned x = 1, y = 1, z = 1;
  unsigned threads = 32;
  std::size_t shared_bytes = 0;
  /// 0: lanes and blocks in ascending order, all threads up to a barrier before any goes on. 1: descending, and whoever can go on does so first.
  /// Others: by chance with this seed, in one of the two manners.
  unsigned order = 0;
  int capability = 90;
  /// The kernel's address: its shared arrays are poisoned before each block. Null: they are not.
  const void* kernel = nullptr;
};

/// Runs body() for every thread of every block. Throws EmulatorError, and what body throws.
void run(const Grid& grid, const std::function<void()>& body);

// For kernels, inside run().

std::byte* dynamic_shared();
int capability();
/// Ends the launch with an EmulatorError.
[[noreturn]] void fail(const std::string& message, const Where& at);
/// All threads of the block meet here. Returns how many came with a predicate.
int wait_for_block(bool predicate, const Where& at);
/// The last lane of `mask` to come runs exchange(operands of the 32 lanes, mask); then all go on. `exchange` names the operation: lanes that meet in
/// different ones fail.
using Exchange = void (*)(void* const* lanes, std::uint32_t mask, const Where& at);
void meet(std::uint32_t mask, void* mine, Exchange exchange, const Where& at);

template <typename T>
struct Shuffled {
  T value;
  unsigned source;
};

template <typename T>
void exchange_shuffled(void* const* lanes, std::uint32_t mask, const Where& at) {
  T results[32];
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    const unsigned source = static_cast<Shuffled<T>*>(lanes[lane])->source;
    if ((mask >> source & 1U) == 0) fail("shuffle: lane " + std::to_string(lane) + " reads lane " + std::to_string(source) + ", which the mask does not name", at);
    results[lane] = static_cast<Shuffled<T>*>(lanes[source])->value;
  }
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    static_cast<Shuffled<T>*>(lanes[lane])->value = results[lane];
  }
}

template <typename T>
T shuffle(std::uint32_t mask, T value, unsigned source, const Where& at) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles take words of 4 or 8 bytes");
  Shuffled<T> mine{value, source};
  meet(mask, &mine, &exchange_shuffled<T>, at);
  return mine.value;
}

struct Vote {
  std::uint32_t value;
};
void exchange_votes(void* const* lanes, std::uint32_t mask, const Where& at);
void exchange_nothing(void* const* lanes, std::uint32_t mask, const Where& at);

}  // namespace bigmodel::emulator

inline void __syncthreads(const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) { bigmodel::emulator::wait_for_block(false, at); }
inline int __syncthreads_count(int predicate, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  return bigmodel::emulator::wait_for_block(predicate != 0, at);
}
inline int __syncthreads_or(int predicate, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  return bigmodel::emulator::wait_for_block(predicate != 0, at) != 0;
}
inline int __syncthreads_and(int predicate, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  return bigmodel::emulator::wait_for_block(predicate == 0, at) == 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  bigmodel::emulator::meet(mask, nullptr, &bigmodel::emulator::exchange_nothing, at);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  const unsigned lane = threadIdx.x % 32, w = static_cast<unsigned>(width);
  return bigmodel::emulator::shuffle(mask, value, lane / w * w + static_cast<unsigned>(source) % w, at);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  const unsigned lane = threadIdx.x % 32, w = static_cast<unsigned>(width), source = lane ^ static_cast<unsigned>(with);
  return bigmodel::emulator::shuffle(mask, value, source >= (lane / w + 1) * w ? lane : source, at);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  const unsigned lane = threadIdx.x % 32, w = static_cast<unsigned>(width);
  return bigmodel::emulator::shuffle(mask, value, lane % w + by < w ? lane + by : lane, at);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  const unsigned lane = threadIdx.x % 32, w = static_cast<unsigned>(width);
  return bigmodel::emulator::shuffle(mask, value, lane % w >= by ? lane - by : lane, at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  bigmodel::emulator::Vote mine{predicate != 0 ? 1U : 0U};
  bigmodel::emulator::meet(mask, &mine, &bigmodel::emulator::exchange_votes, at);
  return mine.value;
}
inline int __any_sync(unsigned mask, int predicate, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  return __ballot_sync(mask, predicate, at) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) {
  return __ballot_sync(mask, predicate == 0, at) == 0;
}
[[noreturn]] inline void __trap(const bigmodel::emulator::Where& at = bigmodel::emulator::Where::current()) { bigmodel::emulator::fail("__trap()", at); }
inline void __threadfence() {}
inline void __threadfence_block() {}

// One thread runs at a time: plain reads and writes are atomic.
template <typename T>
T atomicAdd(T* at, std::type_identity_t<T> by) { const T old = *at; *at = static_cast<T>(old + by); return old; }
template <typename T>
T atomicMax(T* at, std::type_identity_t<T> v) { const T old = *at; *at = std::max(old, v); return old; }
template <typename T>
T atomicMin(T* at, std::type_identity_t<T> v) { const T old = *at; *at = std::min(old, v); return old; }
template <typename T>
T atomicExch(T* at, std::type_identity_t<T> v) { const T old = *at; *at = v; return old; }
template <typename T>
T atomicOr(T* at, std::type_identity_t<T> v) { const T old = *at; *at = old | v; return old; }
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> v) { const T old = *at; if (old == expected) *at = v; return old; }

template <typename T>
T __ldg(const T* at) { return *at; }
template <typename T>
T __ldcs(const T* at) { return *at; }
template <typename T>
T __ldcg(const T* at) { return *at; }
template <typename T>
void __stcs(T* at, std::type_identity_t<T> v) { *at = v; }
template <typename T>
void __stcg(T* at, std::type_identity_t<T> v) { *at = v; }

template <typename T>
constexpr T min(T a, T b) { return b < a ? b : a; }
template <typename T>
constexpr T max(T a, T b) { return a < b ? b : a; }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline int __popc(unsigned v) { return std::popcount(v); }
inline int __clz(int v) { return std::countl_zero(static_cast<unsigned>(v)); }
inline int __ffs(int v) { return v == 0 ? 0 : std::countr_zero(static_cast<unsigned>(v)) + 1; }
inline float rsqrtf(float v) { return 1.0F / sqrtf(v); }
inline float __expf(float v) { return expf(v); }
inline float __logf(float v) { return logf(v); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float v) { return 1.0F / v; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float v) { return sqrtf(v); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
/// Opaque to the compiler's contraction, as CUDA's are.
inline float __fmul_rn(float a, float b) { volatile float v = a * b; return v; }
inline float __fadd_rn(float a, float b) { volatile float v = a + b; return v; }
inline float __fsub_rn(float a, float b) { volatile float v = a - b; return v; }
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  return c;
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned select = selector >> (4 * i) & 0xFU;
    auto byte = static_cast<unsigned>(bytes >> (8 * (select & 7U)) & 0xFFU);
    if ((select & 8U) != 0) byte = (byte & 0x80U) != 0 ? 0xFFU : 0;
    out |= byte << (8 * i);
  }
  return out;
}
