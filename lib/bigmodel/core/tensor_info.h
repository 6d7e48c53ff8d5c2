// SPDX-License-Identifier: Apache-2.0
// What a checkpoint says about one tensor: name, element type, shape. No data.
#pragma once

#include <string>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/shape.h"

namespace bigmodel {

struct TensorInfo {
  std::string name;
  DType dtype = DType::float32;
  Shape shape;
};

}  // namespace bigmodel
