// SPDX-License-Identifier: Apache-2.0
// probe_gpus of bandwidth_probe.h: the part of CUDA's driver interface that copies, loaded at run time.
#include <dlfcn.h>

#include <array>
#include <chrono>
#include <type_traits>

#include "bigmodel/device/bandwidth_probe.h"

namespace bigmodel {
namespace {

using Clock = std::chrono::steady_clock;
using Context = void*;
using DevicePointer = unsigned long long;

constexpr std::size_t kBytes = std::size_t{256} << 20;
constexpr int kCopies = 10;

struct Cuda {
  int (*init)(unsigned int);
  int (*count)(int*);
  int (*device)(int*, int);
  int (*name)(char*, int, int);
  int (*retain)(Context*, int);
  int (*release)(int);
  int (*set_current)(Context);
  int (*allocate)(DevicePointer*, std::size_t);
  int (*free)(DevicePointer);
  int (*allocate_host)(void**, std::size_t, unsigned int);
  int (*free_host)(void*);
  int (*upload)(DevicePointer, const void*, std::size_t);
  int (*copy)(DevicePointer, DevicePointer, std::size_t);
  int (*synchronize)();

  bool load(void* library) {
    const auto get = [library](const char* symbol, auto& function) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, symbol));
      return function != nullptr;
    };
    return get("cuInit", init) && get("cuDeviceGetCount", count) && get("cuDeviceGet", device) && get("cuDeviceGetName", name) &&
           get("cuDevicePrimaryCtxRetain", retain) && get("cuDevicePrimaryCtxRelease_v2", release) && get("cuCtxSetCurrent", set_current) &&
           get("cuMemAlloc_v2", allocate) && get("cuMemFree_v2", free) && get("cuMemHostAlloc", allocate_host) && get("cuMemFreeHost", free_host) &&
           get("cuMemcpyHtoD_v2", upload) && get("cuMemcpyDtoD_v2", copy) && get("cuCtxSynchronize", synchronize);
  }
};

/// Bytes a second of a copy, the first of which is not counted; 0 where it fails.
template <typename Copy>
double rate(const Cuda& cuda, double bytes, Copy copy) {
  if (copy() != 0 || cuda.synchronize() != 0) return 0;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < kCopies; ++i) {
    if (copy() != 0) return 0;
  }
  if (cuda.synchronize() != 0) return 0;
  return bytes * kCopies / std::chrono::duration<double>(Clock::now() - begin).count();
}

bool probe_one(const Cuda& cuda, int device, GpuProbe& out) {
  std::array<char, 128> name{};
  if (cuda.name(name.data(), static_cast<int>(name.size()) - 1, device) == 0) out.name = name.data();
  DevicePointer a = 0, b = 0;
  void* host = nullptr;
  const bool ready = cuda.allocate(&a, kBytes) == 0 && cuda.allocate(&b, kBytes) == 0 && cuda.allocate_host(&host, kBytes, 0) == 0;
  if (ready) {
    out.upload_bytes_per_second = rate(cuda, static_cast<double>(kBytes), [&] { return cuda.upload(a, host, kBytes); });
    out.memory_bytes_per_second = rate(cuda, 2.0 * static_cast<double>(kBytes), [&] { return cuda.copy(b, a, kBytes); });
  }
  if (host != nullptr) cuda.free_host(host);
  if (b != 0) cuda.free(b);
  if (a != 0) cuda.free(a);
  return ready && out.upload_bytes_per_second > 0 && out.memory_bytes_per_second > 0;
}

}  // namespace

std::vector<GpuProbe> probe_gpus() {
  std::vector<GpuProbe> out;
  // Not unloaded: the driver keeps threads of its own.
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  Cuda cuda{};
  int count = 0;
  if (library == nullptr || !cuda.load(library) || cuda.init(0) != 0 || cuda.count(&count) != 0) return out;
  for (int i = 0; i < count; ++i) {
    int device = 0;
    Context context = nullptr;
    if (cuda.device(&device, i) != 0 || cuda.retain(&context, device) != 0) continue;
    GpuProbe probe;
    const bool measured = cuda.set_current(context) == 0 && probe_one(cuda, device, probe);
    cuda.set_current(nullptr);
    cuda.release(device);
    if (measured) out.push_back(std::move(probe));
  }
  return out;
}

}  // namespace bigmodel
