// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cpu/cpu_context.h"

#include <algorithm>

namespace bigmodel {

std::string_view to_string(CpuIsa isa) noexcept {
  switch (isa) {
    case CpuIsa::portable: return "portable";
    case CpuIsa::avx2: return "avx2";
    case CpuIsa::avx512: return "avx512";
    case CpuIsa::avx512_vnni: return "avx512_vnni";
    case CpuIsa::avx512_bf16: return "avx512_bf16";
  }
  return "";
}

CpuIsa best_cpu_isa() {
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the system saves the wide registers.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) return CpuIsa::portable;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl")) {
    return CpuIsa::avx2;
  }
  if (!__builtin_cpu_supports("avx512vnni")) return CpuIsa::avx512;
  if (!__builtin_cpu_supports("avx512bf16")) return CpuIsa::avx512_vnni;
  return CpuIsa::avx512_bf16;
#else
  return CpuIsa::portable;
#endif
}

void CpuContext::parallel_for(std::int64_t count, std::int64_t chunk, RangeBody body) const {
  if (pool != nullptr) return pool->parallel_for(count, chunk, body);
  for (std::int64_t begin = 0; begin < count; begin += chunk) body(begin, std::min(begin + chunk, count), 0);
}

std::vector<CpuIsa> usable_cpu_isas() {
  std::vector<CpuIsa> out;
  for (int isa = 0; isa <= static_cast<int>(best_cpu_isa()); ++isa) out.push_back(static_cast<CpuIsa>(isa));
  return out;
}

}  // namespace bigmodel
