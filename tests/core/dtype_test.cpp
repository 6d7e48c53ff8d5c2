// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/dtype.h"

#include <doctest/doctest.h>

#include "bigmodel/core/error.h"

using namespace bigmodel;

TEST_SUITE("core/dtype") {
  TEST_CASE("every spelling finds its dtype again") {
    for (const DType dtype : all_dtypes()) {
      CAPTURE(name(dtype));
      CHECK(find_dtype(name(dtype)) == dtype);
      if (!safetensors_code(dtype).empty()) CHECK(find_safetensors_dtype(safetensors_code(dtype)) == dtype);
    }
    CHECK(find_dtype("torch.float16") == DType::float16);
    CHECK(find_dtype("bf16") == DType::bfloat16);
    CHECK_FALSE(find_dtype("floaty").has_value());
    CHECK_FALSE(find_safetensors_dtype("").has_value());
  }

  TEST_CASE("counts bytes of sub-byte elements rounded up") {
    CHECK(byte_count(DType::float32, 3) == 12);
    CHECK(byte_count(DType::int4, 3) == 2);
    CHECK(byte_count(DType::float6_e2m3, 4) == 3);
    CHECK(byte_count(DType::boolean, 3) == 3);
    CHECK_THROWS_AS(byte_count(DType::float64, INT64_MAX), FormatError);
  }
}
