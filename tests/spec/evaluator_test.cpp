// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/evaluator.h"

#include <doctest/doctest.h>

#include <string>

#include "spec/expression_probe.h"
#include "support/sampling.h"

using namespace bigmodel;
using test::evaluated;

TEST_SUITE("spec/evaluator") {
  TEST_CASE("integers are checked and exact") {
    CHECK(evaluated("1 + 2 * 3 - 4") == "3");
    CHECK(evaluated("12 / 4") == "3");
    CHECK(evaluated("7 / 2") == "error: 7 / 2 is not exact (use // to round down)");
    CHECK(evaluated("-7 // 2") == "-4");
    CHECK(evaluated("-7 % 3") == "2");
    CHECK(evaluated("7 % -3") == "-2");
    CHECK(evaluated("1 / 0").find("division by zero") != std::string::npos);
    CHECK(evaluated("9223372036854775807 + 1") == "error: integer overflow: 9223372036854775807 + 1");
    CHECK(evaluated("4611686018427387904 * 2").find("integer overflow") != std::string::npos);
    CHECK(evaluated("99999999999999999999").find("integer overflow") != std::string::npos);
    CHECK(evaluated("pow(2, 62)") == "4611686018427387904");
    CHECK(evaluated("pow(2, 63)") == "error: integer overflow");
    CHECK(evaluated("round_up(10, 8)") == "16");
  }

  TEST_CASE("doubles become sizes only by name") {
    CHECK(evaluated("7.0 / 2") == "3.5");
    CHECK(evaluated("int(3.9)") == "3");
    CHECK(evaluated("int(0.0 - 3.9)") == "-3");
    CHECK(evaluated("round(2.5)") == "2");
    CHECK(evaluated("round(3.5)") == "4");
    CHECK(evaluated("ceil(2.1)") == "3");
    CHECK(evaluated("floor(0.0 - 2.1)") == "-3");
    CHECK(evaluated("int(1e300)") == "error: integer overflow");
    CHECK(evaluated("sqrt(16)") == "4");
  }

  TEST_CASE("null, comparison and choice") {
    CHECK(evaluated("null ?? 3") == "3");
    CHECK(evaluated("0 ?? 3") == "0");
    CHECK(evaluated("1 if 2 > 1 else 5") == "1");
    CHECK(evaluated("1 == 1.0") == "true");
    CHECK(evaluated("null < 1") == "error: cannot compute null < 1");
    CHECK(evaluated("null * 3") == "error: cannot compute null * 3");
    CHECK(evaluated("not 0 and 2 in [1, 2]") == "true");
    CHECK(evaluated("3 not in [1, 2]") == "true");
    CHECK(evaluated("false and 1 / 0") == "false");
    CHECK(evaluated("true or 1 / 0") == "true");
  }

  TEST_CASE("lists, maps, text") {
    CHECK(evaluated("[x * x for x < 4]") == "[0, 1, 4, 9]");
    CHECK(evaluated("[x for x in 2 .. 5 if x != 3]") == "[2, 4]");
    CHECK(evaluated("[10, 20, 30][-1]") == "30");
    CHECK(evaluated("[10, 20][2]") == "error: index 2 outside a list of 2");
    CHECK(evaluated("{\"a\": 1, b: 2}.b") == "2");
    CHECK(evaluated("get({\"a\": 1}, \"z\", 7)") == "7");
    CHECK(evaluated("\"n{1 + 1}x{\"a\"}\"").find("error") != std::string::npos);
    CHECK(evaluated("\"n{1 + 1}x\"") == "\"n2x\"");
    CHECK(evaluated("split(\"a_b\", \"_\")") == "[\"a\", \"b\"]");
    CHECK(evaluated("split(\"M*-\", \"\")") == "[\"M\", \"*\", \"-\"]");
    CHECK(evaluated("split(\"\", \"\")") == "[]");
    CHECK(evaluated("pair(3)") == "[3, 3]");
    CHECK(evaluated("max([1, 5, 2]) + min(4, 3)") == "8");
    CHECK(evaluated("sum([1, 2, 3])") == "6");
    CHECK(evaluated("len(repeat(0, 5))") == "5");
  }

  TEST_CASE("config keys: absent, null, aliases, given, required, cycles") {
    const char* keys = "    a aka b = 5\n    c ?= a * 2\n    d = 32 ?? a\n";
    CHECK(evaluated("a", keys) == "5");
    CHECK(evaluated("c", keys, {{"b", 7}}) == "14");
    CHECK(evaluated("b", keys, {{"a", 1}, {"b", 2}}) == "2");
    CHECK(evaluated("a", keys, {{"b", 2}, {"a", 1}}) == "2");
    CHECK(evaluated("c", keys, {{"c", spec::Value{}}}) == "10");
    CHECK(evaluated("d", keys) == "32");
    CHECK(evaluated("d", keys, {{"d", spec::Value{}}}) == "5");
    CHECK(evaluated("given(a)", keys) == "false");
    CHECK(evaluated("given(a)", keys, {{"b", 1}}) == "true");
    CHECK(evaluated("given(a)", keys, {{"b", spec::Value{}}}) == "false");
    CHECK(evaluated("r", "    r = required\n").find("config.json: key 'r' is required by model type 'probe'") != std::string::npos);
    CHECK(evaluated("x", "    x = y\n    y = x\n").find("depends on itself") != std::string::npos);
  }

  TEST_CASE("a composite writes keys into a nested config") {
    const auto width = [](std::string_view with, const spec::Map& data) {
      spec::SpecLibrary library;
      library.add_text("m.arch", "model inner\n  config\n    width aka w = 8\n\nmodel outer\n  config\n    hidden = 4\n    tower : inner with " +
                                     std::string(with) + "\n    let result = tower.width\n\nmodel heir : outer\n  config\n    tower = {w: 9}\n");
      spec::Evaluator evaluator(library);
      std::string out;
      for (const char* model : {"outer", "heir"}) {
        spec::ConfigView view(evaluator, library.get(model), data, "config.json");
        try {
          out += view.get("result").describe() + " ";
        } catch (const spec::SpecError& e) {
          out += e.plain() + " ";
        }
      }
      return out;
    };
    const spec::Map file{{"tower", spec::Value(spec::Map{{"w", 5}})}};
    CHECK(width("{width: hidden}", {}) == "4 4 ");
    CHECK(width("{width: hidden}", file) == "4 4 ");
    CHECK(width("{w: hidden + 2}", file) == "6 6 ");
    CHECK(width("{width: null}", file) == "5 5 ");
    CHECK(width("{depth: 3}", {}) == "8 9 ");
    CHECK(evaluated("self.model_type", "    self : probe = {model_type: \"elm\"}\n") == "\"probe\"");
    CHECK(width("7", {}).starts_with("key 'tower': expected a map after 'with', got 7"));
  }

  TEST_CASE("an unknown name or function gets the nearest known one") {
    CHECK(evaluated("hiden", "    hidden = 1\n").find("unknown name 'hiden' in model 'probe'") != std::string::npos);
    CHECK(evaluated("lem([1])") == "error: unknown function 'lem'");
    try {
      spec::SpecLibrary library;
      library.add_text("m.arch", "model m\n  config\n    hidden_size = 1\n    let x = hiden_size\n");
      spec::Evaluator evaluator(library);
      spec::ConfigView view(evaluator, library.get("m"), {}, "config.json");
      view.get("x");
      FAIL("accepted");
    } catch (const spec::SpecError& e) {
      CHECK(std::string(e.what()) == "m.arch:4:13: unknown name 'hiden_size' in model 'm'; did you mean 'hidden_size'?");
      CHECK(e.excerpt() == "        let x = hiden_size\n                ^");
    }
  }

  TEST_CASE("every limit is an error that names itself") {
    CHECK(evaluated("[x for x < 2000000]") == "error: a range of 2000000 is too long (limit 1000000)");
    // All the steps of the limit take a second here, and four minutes under a sanitizer.
    if (!test::kSanitized) CHECK(evaluated("[[x for x < 100000] for y < 1000]").find("steps") != std::string::npos);
    CHECK(evaluated("repeat(1, 9223372036854775807)").find("too long") != std::string::npos);
    std::string deep = "1";
    for (int i = 0; i < 100; ++i) deep = "(" + deep + ")";
    CHECK(evaluated(deep) == "error: nested deeper than 64 levels");
    std::string text = "    let t0 = \"0123456789\"\n";
    for (int i = 1; i <= 20; ++i) {
      text += "    let t" + std::to_string(i) + " = \"{t" + std::to_string(i - 1) + "}{t" + std::to_string(i - 1) + "}\"\n";
    }
    CHECK(evaluated("t20", text) == "error: the text is too long");
    std::string chain = "    let k0 = 1\n";
    for (int i = 1; i <= 5000; ++i) chain += "    let k" + std::to_string(i) + " = k" + std::to_string(i - 1) + " + 1\n";
    CHECK(evaluated("k5000", chain).find("too deeply") != std::string::npos);
    CHECK(evaluated("[1] * 2000000").find("too long") != std::string::npos);
  }

  TEST_CASE("a def may not call itself, even through another") {
    spec::SpecLibrary library;
    library.add_text("m.arch", "model m\n  config\n    let x = f(1)\n  def f(a) = g(a)\n  def g(a) = f(a)\n");
    spec::Evaluator evaluator(library);
    spec::ConfigView view(evaluator, library.get("m"), {}, "config.json");
    CHECK_THROWS_WITH_AS(view.get("x"), doctest::Contains("def 'f' calls itself"), spec::SpecError);
  }
}
