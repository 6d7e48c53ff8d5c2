// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/parser.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/spec/spec_library.h"

using namespace bigmodel;

namespace {

std::string refusal(const std::string& text) {
  try {
    spec::SpecLibrary library;
    library.add_text("x.arch", text);
    library.prelude();
  } catch (const spec::SpecError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_SUITE("spec/parser") {
  TEST_CASE("points at the place of a mistake") {
    CHECK(refusal("arch 2\n").find("x.arch:1:6: language version 2 is not supported, expected 1") == 0);
    CHECK(refusal("model a\n\tconfig\n") == "x.arch:2:1: tab: indent with spaces");
    CHECK(refusal("model a\n  config\n      k = 1\n    j = 2\n").find("x.arch:4:5: indentation matches no open block") == 0);
    CHECK(refusal("modle a\n").find("x.arch:1:1: expected 'model', got 'modle'") == 0);
    CHECK(refusal("model a\n  confg\n").find("did you mean 'config'?") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    parm weight [1]\n").find("unknown statement 'parm'; did you mean 'param'?") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    x: Y(1\n").find("not closed") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    param w [1, 2\n").find("not closed") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    let s = \"open\n").find("a string is not closed") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    let s = 1 ~ 2\n").find("unexpected character '~'") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    let s = 1 +\n").find("expected an expression, got the end of the line") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    disk x <- spin(y)\n").find("unknown on-disk form 'spin'") != std::string::npos);
    CHECK(refusal("model a\n  class X\n  class X\n").find("class X is defined twice") != std::string::npos);
    CHECK(refusal("class X\nclass X\n").find("class X is defined twice") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    x: Y(a = 1, 2)\n").find("expected a named argument") != std::string::npos);
  }

  TEST_CASE("keywords are only reserved where a statement starts") {
    CHECK(refusal("model a\n  class X\n    block: Linear\n    if: Linear\n    param if [1]\n") == "accepted");
  }

  TEST_CASE("deep nesting and huge files are refused, not overflowed") {
    CHECK(refusal("model a\n  class X\n    let x = " + std::string(100000, '(') + "1" + std::string(100000, ')') + "\n").find("nested deeper than 64") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    let x = " + std::string(100000, '-') + "1\n").find("nested deeper than 64") != std::string::npos);
    CHECK(refusal("model a\n  class X\n    let x = " + std::string(5000, '[') + std::string(5000, ']') + "\n").find("nested deeper") !=
          std::string::npos);
    std::string not_chain = "model a\n  class X\n    let x = ";
    for (int i = 0; i < 10000; ++i) not_chain += "not ";
    CHECK(refusal(not_chain + "1\n").find("nested deeper than 64") != std::string::npos);
    std::string blocks = "model a\n  class X\n";
    for (int i = 0; i < 200; ++i) blocks += std::string(static_cast<std::size_t>(4 + 2 * i), ' ') + "if true\n";
    CHECK(refusal(blocks).find("64") != std::string::npos);
    spec::SpecLibrary library;
    CHECK_THROWS_AS(library.add_text("big.arch", std::string(2 << 20, '#')), FormatError);
  }
}
