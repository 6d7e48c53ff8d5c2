// SPDX-License-Identifier: Apache-2.0
// The globals that a pickle may name, and what each stands for. Everything else is refused by name.
#pragma once

#include <optional>
#include <string_view>

#include "bigmodel/core/dtype.h"

namespace bigmodel {

enum class PickleRole {
  ordered_dict,         ///< collections.OrderedDict, Counter, defaultdict's plain uses
  rebuild_tensor,       ///< torch._utils._rebuild_tensor (storage, offset, size, stride)
  rebuild_tensor_v2,    ///< ... , requires_grad, hooks[, metadata]
  rebuild_tensor_v3,    ///< ... , requires_grad, hooks, dtype[, metadata]; the storage is untyped
  rebuild_parameter,    ///< torch._utils._rebuild_parameter[_with_state] (tensor, requires_grad, hooks[, state])
  rebuild_from_type,    ///< torch._tensor._rebuild_from_type_v2 (function, type, args, state)
  size,                 ///< torch.Size
  tensor_type,          ///< torch.Tensor, torch.nn.parameter.Parameter, as a type
  storage_type,         ///< torch.FloatStorage, ...: dtype says which; untyped: none
  dtype,                ///< torch.float16, ... as a value
  encode,               ///< _codecs.encode: bytes of protocol 2
  inert,                ///< builds something that holds no tensor: set, complex, device, layout, ...
};

struct PickleGlobal {
  PickleRole role = PickleRole::inert;
  std::optional<DType> dtype;
};

/// nullopt: not allowed.
std::optional<PickleGlobal> find_pickle_global(std::string_view module, std::string_view name);

/// Tensors that are known and not carried over (quantized, sparse, nested ...): a word for the message, or empty.
std::string_view known_unsupported_global(std::string_view module, std::string_view name);

}  // namespace bigmodel
