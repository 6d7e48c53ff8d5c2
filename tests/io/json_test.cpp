// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "bigmodel/core/error.h"

using namespace bigmodel;

namespace {

std::string message_of(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "config.json", limits);
  } catch (const FormatError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_SUITE("io/json") {
  TEST_CASE("keeps the order of keys and the kind of numbers") {
    const auto v = parse_json(R"({"b": 1, "a": [1.5, -2, true, null, "x"]})", "t");
    CHECK(v.dump() == R"({"b":1,"a":[1.5,-2,true,null,"x"]})");
    CHECK(v["b"].is_number_integer());
    CHECK(v["a"][0].is_number_float());
  }

  TEST_CASE("reads Python's constants and transformers' spelling of them") {
    const auto v = parse_json(R"({"a": [NaN, Infinity, -Infinity], "b": {"__float__": "Infinity"}, "s": "NaN \" Infinity"})", "t");
    CHECK(std::isnan(v["a"][0].get<double>()));
    CHECK(std::isinf(v["a"][1].get<double>()));
    CHECK(v["a"][2].get<double>() < 0);
    CHECK(std::isinf(v["b"].get<double>()));
    CHECK(v["s"] == "NaN \" Infinity");
  }

  TEST_CASE("refuses malformed text with its place") {
    CHECK(message_of("{\"a\": 1,\n  oops}").find("config.json: line 2, column 3: not valid JSON") == 0);
    CHECK(message_of("").find("config.json: line 1") == 0);
    CHECK(message_of(std::string_view("{}\0junk", 7)).find("column 3: not valid JSON: holds a NUL") != std::string::npos);
    CHECK(message_of("\x80\x02}q").find("not valid JSON") != std::string::npos);
    CHECK(message_of("{} {}").find("not valid JSON") != std::string::npos);
    CHECK(message_of("{\"a\": \"\xff\"}").find("not valid JSON") != std::string::npos);
  }

  TEST_CASE("refuses duplicate keys, deep nesting, many values, long text") {
    CHECK(message_of(R"({"a": 1, "a": 2})") == "config.json: key 'a' appears twice in one object");
    CHECK(parse_json(R"({"a": 1, "a": 2})", "t", {.refuse_duplicate_keys = false})["a"] == 2);
    CHECK(message_of(std::string(10000, '[')) == "config.json: nested deeper than 200 levels");
    CHECK(message_of("[1,2,3,4]", {.values = 3}) == "config.json: more than 3 values");
    CHECK(message_of("[1,2,3,4]", {.size_bytes = 3}).find("expected at most 3") != std::string::npos);
  }

  TEST_CASE("numbers beyond 64 bits become doubles, beyond doubles an error") {
    CHECK(parse_json("18446744073709551616", "t").is_number_float());
    CHECK(message_of("1e999").find("not valid JSON") != std::string::npos);
  }
}
