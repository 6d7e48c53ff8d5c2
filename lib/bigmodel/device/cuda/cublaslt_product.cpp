// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cublaslt_product.h"

#include "bigmodel/device/cuda/cuda_accelerator.h"

#if __has_include(<cublasLt.h>)

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <type_traits>

#include "bigmodel/core/error.h"
#include "bigmodel/device/cuda/cuda_errors.h"

namespace bigmodel {
namespace {

/// What the fastest ways on large cards ask for.
constexpr std::uint64_t kWorkspaceBytes = std::uint64_t{32} << 20;
/// Shapes that are remembered; a run has far fewer.
constexpr std::size_t kMostPlans = 4096;

/// The largest power of two up to 256 that divides the address.
std::uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  return address == 0 ? 256U : static_cast<std::uint32_t>(std::min<std::uintptr_t>(256, std::uintptr_t{1} << std::countr_zero(address)));
}

bool element_type(DType dtype, cudaDataType_t& type) {
  switch (dtype) {
    case DType::float32: type = CUDA_R_32F; return true;
    case DType::bfloat16: type = CUDA_R_16BF; return true;
    case DType::float16: type = CUDA_R_16F; return true;
    default: return false;
  }
}

}  // namespace

/// Never unloaded: it keeps things of its own with the driver.
struct CublasLtProduct::Library {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) matmul;

  bool load() {
    void* library = nullptr;
    // The names of the toolkits whose interface the header describes, newest first.
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.12"}) {
      if ((library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) != nullptr) break;
    }
    if (library == nullptr) return false;
    const auto get = [library](const char* symbol, auto& function) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, symbol));
      return function != nullptr;
    };
    return get("cublasLtCreate", create) && get("cublasLtDestroy", destroy) && get("cublasLtMatmulDescCreate", desc_create) &&
           get("cublasLtMatmulDescDestroy", desc_destroy) && get("cublasLtMatmulDescSetAttribute", desc_set) && get("cublasLtMatrixLayoutCreate", layout_create) &&
           get("cublasLtMatrixLayoutDestroy", layout_destroy) && get("cublasLtMatmulPreferenceCreate", preference_create) &&
           get("cublasLtMatmulPreferenceDestroy", preference_destroy) && get("cublasLtMatmulPreferenceSetAttribute", preference_set) &&
           get("cublasLtMatmulAlgoGetHeuristic", heuristic) && get("cublasLtMatmul", matmul);
  }
};

/// One shape, ready to be run; `usable` is false where the library refuses it.
struct CublasLtProduct::Plan {
  bool usable = false;
  const Library* library = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algorithm{};

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    for (const cublasLtMatrixLayout_t layout : {w, x, y}) {
      if (layout != nullptr) library->layout_destroy(layout);
    }
    if (desc != nullptr) library->desc_destroy(desc);
  }
};

struct CublasLtProduct::State {
  /// dtype, rows, out, in, alignments of x, w and y, and whether y is read.
  using Key = std::tuple<DType, std::int64_t, std::int64_t, std::int64_t, std::uint32_t, std::uint32_t, std::uint32_t, bool>;

  explicit State(const CudaAccelerator& d) : device(d) {}
  ~State() {
    plans.clear();
    if (handle != nullptr) library.destroy(handle);
  }

  void make(Plan& plan, const Key& key) const {
    const auto& [dtype, rows, out, in, align_x, align_w, align_y, adds] = key;
    cudaDataType_t type{};
    if (!element_type(dtype, type)) return;
    plan.library = &library;
    const cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    // cuBLAS counts by columns: y^T [out, rows] = (w^T)^T x^T, and what is stored by rows is its own transpose by columns.
    const bool ready =
        library.desc_create(&plan.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
        library.desc_set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) == CUBLAS_STATUS_SUCCESS &&
        library.desc_set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain) == CUBLAS_STATUS_SUCCESS &&
        library.layout_create(&plan.w, type, static_cast<std::uint64_t>(in), static_cast<std::uint64_t>(out), in) == CUBLAS_STATUS_SUCCESS &&
        library.layout_create(&plan.x, type, static_cast<std::uint64_t>(in), static_cast<std::uint64_t>(rows), in) == CUBLAS_STATUS_SUCCESS &&
        library.layout_create(&plan.y, CUDA_R_32F, static_cast<std::uint64_t>(out), static_cast<std::uint64_t>(rows), out) == CUBLAS_STATUS_SUCCESS &&
        library.preference_create(&preference) == CUBLAS_STATUS_SUCCESS &&
        library.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspaceBytes, sizeof kWorkspaceBytes) == CUBLAS_STATUS_SUCCESS &&
        library.preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align_w, sizeof align_w) == CUBLAS_STATUS_SUCCESS &&
        library.preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align_x, sizeof align_x) == CUBLAS_STATUS_SUCCESS &&
        library.preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align_y, sizeof align_y) == CUBLAS_STATUS_SUCCESS &&
        library.preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align_y, sizeof align_y) == CUBLAS_STATUS_SUCCESS &&
        library.heuristic(handle, plan.desc, plan.w, plan.x, plan.y, plan.y, preference, 1, &result, &found) == CUBLAS_STATUS_SUCCESS;
    if (preference != nullptr) library.preference_destroy(preference);
    if (!ready || found < 1 || result.state != CUBLAS_STATUS_SUCCESS) return;
    plan.algorithm = result.algo;
    plan.usable = true;
  }

  const Plan& plan_for(const Key& key) {
    if (plans.size() >= kMostPlans && !plans.contains(key)) plans.clear();
    const auto [it, added] = plans.try_emplace(key);
    if (added) make(it->second, key);
    return it->second;
  }

  const CudaAccelerator& device;
  Library library{};
  cublasLtHandle_t handle = nullptr;
  std::shared_ptr<std::byte[]> workspace;
  std::map<Key, Plan> plans;
};

CublasLtProduct::CublasLtProduct(std::unique_ptr<State> state) : state_(std::move(state)) {}
CublasLtProduct::~CublasLtProduct() = default;

std::unique_ptr<CublasLtProduct> CublasLtProduct::open(const CudaAccelerator& device) {
  auto state = std::make_unique<State>(device);
  if (!state->library.load()) return nullptr;
  check_cuda(cudaSetDevice(device.ordinal()), device.name(), "use the card");
  if (state->library.create(&state->handle) != CUBLAS_STATUS_SUCCESS) {
    state->handle = nullptr;
    static_cast<void>(cudaGetLastError());
    return nullptr;
  }
  // Taken now: a recording would keep what it allocates to itself.
  state->workspace = device.allocate(kWorkspaceBytes);
  return std::unique_ptr<CublasLtProduct>(new CublasLtProduct(std::move(state)));
}

bool CublasLtProduct::multiply(const std::byte* x, const std::byte* w, DType dtype, std::int64_t rows, std::int64_t out, std::int64_t in, float alpha, float beta, float* y) {
  if (rows <= 0 || out <= 0 || in <= 0) return false;
  State& s = *state_;
  const Plan& plan = s.plan_for({dtype, rows, out, in, alignment_of(x), alignment_of(w), alignment_of(y), beta != 0});
  if (!plan.usable) return false;
  const CudaLauncher launcher = s.device.launcher();
  check_cuda(cudaSetDevice(launcher.ordinal()), s.device.name(), "use the card");
  const cublasStatus_t status = s.library.matmul(s.handle, plan.desc, &alpha, w, plan.w, x, plan.x, &beta, y, plan.y, y, plan.y, &plan.algorithm, s.workspace.get(),
                                                 static_cast<std::size_t>(kWorkspaceBytes), launcher.stream());
  if (status == CUBLAS_STATUS_SUCCESS) return true;
  // It says little of a card that failed earlier; the runtime says more.
  check_cuda(cudaGetLastError(), s.device.name(), "multiply matrices");
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return false;
  throw DeviceError(fmt::format("{}: cannot multiply matrices of {} x {} and {} x {}: cuBLASLt status {}", s.device.name(), rows, in, out, in, static_cast<int>(status)),
                    "run with other libraries of CUDA, or report this");
}

}  // namespace bigmodel

#else  // a toolkit without cuBLAS: own kernels do it

namespace bigmodel {

struct CublasLtProduct::State {};
CublasLtProduct::CublasLtProduct(std::unique_ptr<State> state) : state_(std::move(state)) {}
CublasLtProduct::~CublasLtProduct() = default;
std::unique_ptr<CublasLtProduct> CublasLtProduct::open(const CudaAccelerator&) { return nullptr; }
bool CublasLtProduct::multiply(const std::byte*, const std::byte*, DType, std::int64_t, std::int64_t, std::int64_t, float, float, float*) { return false; }

}  // namespace bigmodel

#endif
