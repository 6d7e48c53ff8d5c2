// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/safetensors_header.h"

#include <doctest/doctest.h>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

SafetensorsHeader parse(std::string_view json, std::uint64_t data_bytes) { return parse_safetensors_header(json, data_bytes, "x.safetensors"); }

void refused(std::string_view json, std::uint64_t data_bytes, std::string_view words) {
  CAPTURE(std::string(json));
  try {
    parse(json, data_bytes);
    FAIL_CHECK("accepted");
  } catch (const FormatError& error) {
    CHECK_MESSAGE(std::string_view(error.message()).find(words) != std::string_view::npos, error.message());
  }
}

}  // namespace

TEST_SUITE("checkpoint/safetensors_header") {
  TEST_CASE("reads names, dtypes, shapes and ranges in the header's order") {
    const SafetensorsHeader h = parse(
        R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[2,26]},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})", 26);
    REQUIRE(h.tensors.size() == 2);
    CHECK(h.tensors[0].name == "b");
    CHECK(h.tensors[0].dtype == DType::float32);
    CHECK(h.tensors[0].shape == Shape{2, 3});
    CHECK(h.tensors[0].begin == 2);
    CHECK(h.tensors[1].shape.empty());
    CHECK(h.metadata == std::vector<std::pair<std::string, std::string>>{{"format", "pt"}});
  }

  TEST_CASE("accepts what the reference accepts on purpose") {
    CHECK(parse(" \t\n{}   ", 0).tensors.empty());
    CHECK(parse(R"({"__metadata__":null})", 0).notes.size() == 1);
    CHECK(parse(R"({"e":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},"f":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0).tensors.size() == 2);
    CHECK(parse(R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"../x":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}})", 9).tensors.size() == 2);
    CHECK(parse(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":{"x":[1,{"y":null}]}}})", 1).notes.size() == 1);
    CHECK(parse(R"({"a":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]}})", 3).tensors.size() == 1);
  }

  TEST_CASE("refuses what is no header") {
    refused("", 0, "not valid JSON");
    refused("\xef\xbb\xbf{}", 0, "");
    refused("{} x", 0, "not valid JSON");
    refused(std::string("{}\0", 3), 0, "not valid JSON");
    refused("[]", 0, "an array");
    refused("null", 0, "null");
    refused(R"({"a":1})", 0, "a number");
    refused(R"({"a":"x"})", 0, "a string");
    refused(R"({"a":["F32",[1],[0,4]]})", 4, "an array");
    refused(R"({"a":{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}})", 4, "an object");
    refused(R"({"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "not valid JSON");
    refused("{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "not valid JSON");
    refused("{\"a\":" + std::string(200000, '['), 0, "an array");
  }

  TEST_CASE("refuses duplicate names, also when spelled with escapes") {
    refused(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0074":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "appears twice");
    refused(R"({"__metadata__":{"k":"1","k":"2"}})", 0, "appears twice");
    refused(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "appears twice");
    refused(R"({"__metadata__":{},"__metadata__":{}})", 0, "appears twice");
  }

  TEST_CASE("refuses fields of the wrong kind") {
    const auto with = [](std::string_view dtype, std::string_view shape, std::string_view offsets) {
      return std::string(R"({"a":{"dtype":)") + std::string(dtype) + R"(,"shape":)" + std::string(shape) + R"(,"data_offsets":)" + std::string(offsets) + "}}";
    };
    CHECK(parse(with("\"F32\"", "[1]", "[0,4]"), 4).tensors.size() == 1);
    refused(with("\"f32\"", "[1]", "[0,4]"), 4, "unknown dtype");
    refused(with("\"F8_E4M3FN\"", "[4]", "[0,4]"), 4, "unknown dtype");
    refused(with("7", "[1]", "[0,4]"), 4, "dtype holds a number");
    for (const std::string_view number : {"-1", "1.0", "1e0", "\"1\"", "-0", "01", "18446744073709551616", "null", "true", "[1]"}) {
      refused(with("\"F32\"", "[" + std::string(number) + "]", "[0,4]"), 4, "");
    }
    refused(with("\"F32\"", "[1]", "[0]"), 4, "expected 2");
    refused(with("\"F32\"", "[1]", "[0,4,8]"), 4, "more than two");
    refused(R"({"a":{"dtype":"F32","shape":[1]}})", 4, "no \"data_offsets\"");
    refused(R"({"__metadata__":{"a":1}})", 0, "expected a string");
    refused(R"({"__metadata__":{"a":null}})", 0, "expected a string");
    refused(R"({"__metadata__":[]})", 0, "an array");
  }

  TEST_CASE("refuses ranges that do not tile the data") {
    refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "leave a gap");
    refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3, "overlap");
    refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2, "overlap");
    refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})", 2, "overlap");
    refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,18446744073709551615]}})", 0, "span");
    refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})", 2, "");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "bytes after the last tensor");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "cut short");
  }

  TEST_CASE("refuses shapes that do not match their range") {
    refused(R"({"a":{"dtype":"F16","shape":[4,8],"data_offsets":[0,32]}})", 32, "expected 64 from shape [4, 8] F16");
    refused(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2, "inside a byte");
    refused(R"({"a":{"dtype":"U8","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0, "overflows");
    refused(R"({"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,0]}})", 0, "overflows");
    CHECK(parse(R"({"a":{"dtype":"U8","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", 0).tensors.size() == 1);
  }
}

}  // namespace bigmodel
