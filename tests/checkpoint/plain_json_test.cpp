// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/plain_json.h"

#include <doctest/doctest.h>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/checkpoint/safetensors_header.h"
#include "bigmodel/core/error.h"

using namespace bigmodel;

TEST_SUITE("checkpoint/plain_json") {
  TEST_CASE("takes the plain spelling and leaves everything else to the full parser") {
    const auto reads_string = [](std::string_view text) {
      PlainJson json(text);
      std::string_view out;
      return json.string(out) && json.at_end();
    };
    CHECK(reads_string(" \"a.b\"\n"));
    for (const char* other : {"\"a\\u0041\"", "\"\xc3\xa9\"", "\"a\tb\"", "\"a", "\"", "", "a"}) CHECK_FALSE(reads_string(other));
    const auto reads_number = [](std::string_view text) {
      PlainJson json(text);
      std::uint64_t out = 0;
      return json.number(out) && json.at_end();
    };
    CHECK(reads_number("0"));
    CHECK(reads_number("999999999999999999"));
    for (const char* other : {"", "-1", "01", "1.0", "1e3", "9999999999999999999", "18446744073709551616"}) CHECK_FALSE(reads_number(other));
  }

  TEST_CASE("a header and an index mean the same in either spelling") {
    const auto header = [](std::string_view name) {
      return parse_safetensors_header("{\"" + std::string(name) + "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "x");
    };
    const SafetensorsHeader plain = header("ab"), escaped = header("\\u0061b");
    REQUIRE(plain.tensors.size() == 1);
    REQUIRE(escaped.tensors.size() == 1);
    CHECK(plain.tensors[0].name == "ab");
    CHECK(escaped.tensors[0].name == "ab");
    CHECK(plain.tensors[0].shape == escaped.tensors[0].shape);
    CHECK(plain.tensors[0].dtype == escaped.tensors[0].dtype);
    CHECK(plain.tensors[0].end == escaped.tensors[0].end);
    const auto index = [](std::string_view name) {
      return parse_checkpoint_index("{\"metadata\":{\"total_size\":8},\"weight_map\":{\"" + std::string(name) + "\":\"a.safetensors\"}}", "x");
    };
    CHECK(index("ab").shards == index("\\u0061b").shards);
    CHECK(index("ab").total_size == index("\\u0061b").total_size);
    CHECK(index("ab").metadata == index("\\u0061b").metadata);
  }

  TEST_CASE("what is twice in the plain spelling is still refused") {
    CHECK_THROWS_AS(parse_checkpoint_index("{\"weight_map\":{\"a\":\"s\",\"a\":\"s\"}}", "x"), FormatError);
    CHECK_THROWS_AS(parse_checkpoint_index("{\"weight_map\":{\"a\":\"../s\"}}", "x"), FormatError);
    const std::string tensor = "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
    CHECK_THROWS_AS(parse_safetensors_header("{" + tensor + "," + tensor + "}", 8, "x"), FormatError);
  }
}
