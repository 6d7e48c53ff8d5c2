// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/base64.h"

#include <doctest/doctest.h>

namespace bigmodel {

TEST_SUITE("base64") {
  TEST_CASE("the vectors of RFC 4648 go both ways") {
    for (const auto& [plain, encoded] : {std::pair{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}}) {
      CHECK(encode_base64(plain) == encoded);
      CHECK(decode_base64(encoded) == plain);
    }
  }

  TEST_CASE("every byte survives") {
    std::string all;
    for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
    CHECK(encode_base64("\xFB\xFF\xFE") == "+//+");
    CHECK(decode_base64(encode_base64(all)) == all);
  }

  TEST_CASE("what is no base64 is refused") {
    for (const char* text : {"Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Zh==", "Zm9=", "Zm 9", "Zm-v", "Zm=v"}) CHECK_FALSE(decode_base64(text));
  }
}

}  // namespace bigmodel
