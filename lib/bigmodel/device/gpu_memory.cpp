// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/gpu_memory.h"
#include "bigmodel/core/parse_number.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <memory>

namespace bigmodel {
namespace {

/// The part of NVML's C interface that is used, as its documentation lays it down.
struct MemoryAnswer {
  unsigned long long total, free, used;
};
using Device = void*;

struct Nvml {
  int (*init)();
  int (*shutdown)();
  int (*count)(unsigned int*);
  int (*handle)(unsigned int, Device*);
  int (*memory)(Device, MemoryAnswer*);
  int (*name)(Device, char*, unsigned int);
  int (*uuid)(Device, char*, unsigned int);
};

template <typename Function>
bool load(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

std::string text_of(int (*ask)(Device, char*, unsigned int), Device device) {
  std::array<char, 128> buffer{};
  if (ask(device, buffer.data(), static_cast<unsigned int>(buffer.size())) != 0) return {};
  buffer.back() = '\0';
  return buffer.data();
}

}  // namespace

std::vector<GpuMemory> read_gpu_memory() {
  std::vector<GpuMemory> out;
  const std::unique_ptr<void, int (*)(void*)> library(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL), [](void* p) { return p == nullptr ? 0 : ::dlclose(p); });
  if (!library) return out;
  Nvml nvml{};
  const bool complete = load(library.get(), "nvmlInit_v2", nvml.init) && load(library.get(), "nvmlShutdown", nvml.shutdown) &&
                        load(library.get(), "nvmlDeviceGetCount_v2", nvml.count) &&
                        load(library.get(), "nvmlDeviceGetHandleByIndex_v2", nvml.handle) &&
                        load(library.get(), "nvmlDeviceGetMemoryInfo", nvml.memory) && load(library.get(), "nvmlDeviceGetName", nvml.name) &&
                        load(library.get(), "nvmlDeviceGetUUID", nvml.uuid);
  if (!complete || nvml.init() != 0) return out;
  unsigned int count = 0;
  if (nvml.count(&count) == 0) {
    for (unsigned int i = 0; i < count; ++i) {
      Device device = nullptr;
      MemoryAnswer memory{};
      if (nvml.handle(i, &device) != 0 || nvml.memory(device, &memory) != 0) continue;
      out.push_back({text_of(nvml.name, device), text_of(nvml.uuid, device), memory.total, memory.free});
    }
  }
  nvml.shutdown();
  return out;
}

std::vector<GpuMemory> visible_gpus(std::vector<GpuMemory> gpus, const std::optional<std::string>& visible) {
  if (!visible) return gpus;
  std::vector<GpuMemory> out;
  std::string_view rest = *visible;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    const std::optional<std::size_t> index = parse_number<std::size_t>(item);
    const auto found = index ? (*index < gpus.size() ? gpus.begin() + static_cast<std::ptrdiff_t>(*index) : gpus.end())
                             : std::ranges::find_if(gpus, [item](const GpuMemory& g) { return item.size() > 4 && g.uuid.starts_with(item); });
    if (found == gpus.end()) break;
    out.push_back(*found);
  }
  return out;
}

}  // namespace bigmodel
