// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/suggestion.h"

#include <doctest/doctest.h>

using namespace bigmodel;

TEST_SUITE("core/suggestion") {
  TEST_CASE("finds the nearest names only where a typo is likely") {
    const std::vector<std::string> known{"hidden_size", "vocab_size", "num_hidden_layers"};
    CHECK(did_you_mean("hiden_size", known) == "did you mean 'hidden_size'?");
    CHECK(did_you_mean("hidden_szie", known) == "did you mean 'hidden_size'?");
    CHECK(did_you_mean("elephant", known).empty());
    CHECK(did_you_mean("", known).empty());
    CHECK(did_you_mean("num", known) == "did you mean 'num_hidden_layers'?");
    CHECK(did_you_mean("nu", known).empty());
    CHECK(nearest_names("x", std::vector<std::string>{"y", "z"}, 1) == std::vector<std::string>{"y"});
  }
}
