// SPDX-License-Identifier: Apache-2.0
// The list follows what torch.load(weights_only=True) allows; it is never wider.
#include "bigmodel/checkpoint/pickle_globals.h"

#include <array>

namespace bigmodel {
namespace {

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr std::array kStorageTypes{
    StorageType{"FloatStorage", DType::float32},    StorageType{"DoubleStorage", DType::float64},
    StorageType{"HalfStorage", DType::float16},     StorageType{"BFloat16Storage", DType::bfloat16},
    StorageType{"IntStorage", DType::int32},        StorageType{"LongStorage", DType::int64},
    StorageType{"ShortStorage", DType::int16},      StorageType{"CharStorage", DType::int8},
    StorageType{"ByteStorage", DType::uint8},       StorageType{"BoolStorage", DType::boolean},
    StorageType{"ComplexFloatStorage", DType::complex64}, StorageType{"ComplexDoubleStorage", DType::complex128},
};

struct Row {
  std::string_view module;
  std::string_view name;
  PickleRole role;
};
constexpr std::array kRows{
    Row{"collections", "OrderedDict", PickleRole::ordered_dict},
    Row{"collections", "Counter", PickleRole::ordered_dict},
    Row{"torch._utils", "_rebuild_tensor", PickleRole::rebuild_tensor},
    Row{"torch._utils", "_rebuild_tensor_v2", PickleRole::rebuild_tensor_v2},
    Row{"torch._utils", "_rebuild_tensor_v3", PickleRole::rebuild_tensor_v3},
    Row{"torch._utils", "_rebuild_parameter", PickleRole::rebuild_parameter},
    Row{"torch._utils", "_rebuild_parameter_with_state", PickleRole::rebuild_parameter},
    Row{"torch._tensor", "_rebuild_from_type_v2", PickleRole::rebuild_from_type},
    Row{"torch", "Size", PickleRole::size},
    Row{"torch", "Tensor", PickleRole::tensor_type},
    Row{"torch.nn.parameter", "Parameter", PickleRole::tensor_type},
    Row{"torch.nn.parameter", "Buffer", PickleRole::tensor_type},
    Row{"_codecs", "encode", PickleRole::encode},
    Row{"torch", "device", PickleRole::inert},
    Row{"torch.serialization", "_get_layout", PickleRole::inert},
    Row{"builtins", "set", PickleRole::inert},
    Row{"__builtin__", "set", PickleRole::inert},
    Row{"builtins", "complex", PickleRole::inert},
    Row{"__builtin__", "complex", PickleRole::inert},
    Row{"builtins", "bytearray", PickleRole::inert},
    Row{"__builtin__", "bytearray", PickleRole::inert},
};

}  // namespace

std::optional<PickleGlobal> find_pickle_global(std::string_view module, std::string_view name) {
  for (const Row& row : kRows) {
    if (row.module == module && row.name == name) return PickleGlobal{.role = row.role, .dtype = {}};
  }
  if (module == "torch" || module == "torch.cuda" || module == "torch.storage") {
    for (const StorageType& type : kStorageTypes) {
      if (type.name == name) return PickleGlobal{.role = PickleRole::storage_type, .dtype = type.dtype};
    }
    if (name == "UntypedStorage" || name == "_UntypedStorage") return PickleGlobal{.role = PickleRole::storage_type, .dtype = {}};
  }
  if (module == "torch") {
    for (const DType dtype : all_dtypes()) {
      if (bigmodel::name(dtype) == name) return PickleGlobal{.role = PickleRole::dtype, .dtype = dtype};
    }
  }
  return std::nullopt;
}

std::string_view known_unsupported_global(std::string_view module, std::string_view name) {
  if (module == "torch._utils") {
    if (name == "_rebuild_qtensor") return "a quantized tensor";
    if (name == "_rebuild_sparse_tensor" || name == "_rebuild_sparse_csr_tensor") return "a sparse tensor";
    if (name == "_rebuild_nested_tensor") return "a nested tensor";
    if (name == "_rebuild_meta_tensor_no_storage") return "a tensor without data";
    if (name == "_rebuild_wrapper_subclass" || name == "_rebuild_device_tensor_from_numpy" || name == "_rebuild_device_tensor_from_cpu_tensor") return "a tensor of a special device or class";
  }
  if (module == "torch" && (name == "QInt8Storage" || name == "QUInt8Storage" || name == "QInt32Storage" || name == "QUInt4x2Storage" || name == "QUInt2x4Storage")) return "a quantized tensor";
  if (module.starts_with("numpy")) return "a numpy object";
  return {};
}

}  // namespace bigmodel
