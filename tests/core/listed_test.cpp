// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/listed.h"

#include <doctest/doctest.h>

#include <vector>

using namespace bigmodel;

TEST_SUITE("core/listed") {
  TEST_CASE("names what there is, and counts the rest") {
    const std::vector<std::string> names{"a", "b", "c"};
    CHECK(listed(names, 2) == "a, b and 1 more");
    CHECK(listed(names, 3) == "a, b, c");
    CHECK(listed(names, 9) == "a, b, c");
    CHECK(listed({}, 2).empty());
  }
}
