// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/name_pattern.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/core/error.h"

namespace bigmodel {

TEST_SUITE("model/name_pattern") {
  TEST_CASE("regular expressions from the start, as Python's re.match finds them") {
    const auto finds = [](std::string_view pattern, std::string_view name) { return !NameRegex(pattern).ends(name).empty(); };
    CHECK(finds(".*lm_head", "model.lm_head"));
    CHECK(finds("model", "model.layers.0"));
    CHECK_FALSE(finds("layers", "model.layers.0"));
    CHECK(finds(R"(model\.layers\.\d+\.mlp$)", "model.layers.12.mlp"));
    CHECK_FALSE(finds(R"(model\.layers\.\d+\.mlp$)", "model.layers.x.mlp"));
    CHECK(finds("^(?!.*(?:gate|router)).*proj$", "layers.0.q_proj"));
    CHECK_FALSE(finds("^(?!.*(?:gate|router)).*proj$", "layers.0.gate.proj"));
    CHECK(finds("a{2,3}b", "aaab"));
    CHECK_FALSE(finds("a{2,3}b", "ab"));
    CHECK(finds("[a-c_][^.]+?x", "b12x"));
    CHECK(finds(R"(\bq\b)", "q.k"));
    CHECK_FALSE(finds(R"(\bq\b)", "qk"));
    CHECK(finds("x{", "x{"));
    CHECK(NameRegex("a*").ends("aab") == std::vector<std::size_t>{0, 1, 2});
  }

  TEST_CASE("modules are skipped by prefix at a boundary, by suffix, by pattern") {
    CHECK(NamePattern::module("layers.1").matches("layers.1.q"));
    CHECK_FALSE(NamePattern::module("layers.1").matches("layers.11.q"));
    CHECK(NamePattern::module("fc1").matches("decoder.layers.23.fc1"));
    CHECK(NamePattern::module("model.layers.*.self_attn").matches("model.layers.3.self_attn.q_proj"));
    CHECK_FALSE(NamePattern::module("mlp.gate").matches("mlp.gate_proj"));
    CHECK(NamePattern::target("re:.*gate").matches("x.gate_proj"));
    CHECK_FALSE(NamePattern::target("gate").matches("x.gate"));
    CHECK(NamePattern::wildcard("model.layers.*.attn[0-9]?").matches("model.layers.3.attn4x"));
    CHECK_FALSE(NamePattern::wildcard("lm_head").matches("lm_headx"));
    CHECK(NamePattern::module("(").matches("x.("));
  }

  TEST_CASE("what would take for ever is refused or takes no longer") {
    CHECK_THROWS_AS(NameRegex("(?<=a)b"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex("(a"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex("a)"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex("*a"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex("[a"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex("\\"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex("((a{200}){200}){200}"), UnsupportedError);
    CHECK_THROWS_AS(NameRegex(std::string(100000, '(')), UnsupportedError);
    std::string nested = "a";
    for (int i = 0; i < 25; ++i) nested = "(" + nested + ")*";
    CHECK_THROWS_AS(NameRegex{nested}, UnsupportedError);
    CHECK(NameRegex("(a*)*(a*)*b").ends(std::string(3000, 'a')).empty());
  }
}

}  // namespace bigmodel
