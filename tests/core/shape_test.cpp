// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/shape.h"

#include <doctest/doctest.h>

#include "bigmodel/core/error.h"

using namespace bigmodel;

TEST_SUITE("core/shape") {
  TEST_CASE("multiplies dimensions with checks") {
    CHECK(element_count(Shape{}) == 1);
    CHECK(element_count(Shape{4, 8}) == 32);
    CHECK(element_count(Shape{INT64_MAX, 0, INT64_MAX}) == 0);
    CHECK_THROWS_AS(element_count(Shape{INT64_MAX, 2}), FormatError);
    CHECK_THROWS_AS(element_count(Shape{-1, 2}), FormatError);
    CHECK(to_string(Shape{4, 8}) == "[4, 8]");
    CHECK(to_string(Shape{}) == "[]");
  }
}
