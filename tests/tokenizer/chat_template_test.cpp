// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/chat_template.h"

#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

std::string rendered(std::string_view text, const ChatRequest& request = {.messages = R"([{"role": "user", "content": "Hi"}])"},
                     const ChatTemplateLimits& limits = {}) {
  return apply_chat_template(text, request, limits).text;
}

/// What the template throws; the detail "" where it throws nothing.
struct Failure {
  std::string class_name;
  std::string detail;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

Failure failure(std::string_view text, const ChatTemplateLimits& limits = {}) {
  try {
    rendered(text, {.messages = R"([{"role": "user", "content": "Hi"}])"}, limits);
  } catch (const ChatTemplateError& error) {
    return {error.class_name(), error.detail(), error.line(), error.column()};
  }
  return {};
}

LocalTime time_of(const std::string& iso) {
  LocalTime out;
  CHECK(std::sscanf(iso.c_str(), "%d-%d-%dT%d:%d:%d", &out.year, &out.month, &out.day, &out.hour, &out.minute, &out.second) == 6);
  return out;
}

/// One line of a cases file against what the template gives; "" where they agree.
std::string difference(const Json& row, const Json& inputs, const Json& model) {
  ChatRequest request;
  request.messages = inputs["messages"][row["messages"].get<std::string>()].dump();
  if (row.contains("tools")) request.tools = inputs["tools"][row["tools"].get<std::string>()].dump();
  if (row.contains("documents")) request.documents = inputs["documents"][row["documents"].get<std::string>()].dump();
  Json variables = model["special_tokens"];
  if (row.contains("kwargs")) variables.update(row["kwargs"]);
  request.variables = variables.dump();
  request.add_generation_prompt = row.value("add_generation_prompt", false);
  if (row.contains("continue_final_message")) {
    const Json& field = row["continue_final_message"];
    request.continue_final_message = field.is_string() ? field.get<std::string>() : "content";
  }
  request.now = time_of(inputs["now"]);
  const std::string name = row["template"].get<std::string>() + " x " + row["messages"].get<std::string>() + ": ";
  try {
    const RenderedChat got = apply_chat_template(model["template"].get<std::string>(), request);
    if (row.contains("error")) return name + "expected " + row["class"].get<std::string>() + " " + row["error"].get<std::string>() + ", got text " + got.text;
    if (got.text != row["text"]) return name + "expected " + row["text"].dump() + ", got " + Json(got.text).dump();
    if (row.contains("generation") && Json(got.generation) != row["generation"]) {
      return name + "expected generation " + row["generation"].dump() + ", got " + Json(got.generation).dump();
    }
    return "";
  } catch (const ChatTemplateError& error) {
    const std::string got = error.class_name() + ": " + error.detail();
    if (!row.contains("error")) return name + "expected text " + row["text"].dump() + ", got " + error.what();
    const std::string expected = row["class"].get<std::string>() + ": " + row["error"].get<std::string>();
    if (got != expected) return name + "expected " + expected + ", got " + got;
    if (row.contains("line") && error.line() != row["line"]) return name + "expected line " + row["line"].dump() + ", got " + std::to_string(error.line());
    return "";
  }
}

void check_set(const std::filesystem::path& folder, const std::string& cases, test::Sampling sampling) {
  const Json inputs = Json::parse(test::read_maybe_xz(folder / "inputs.json"));
  std::map<std::string, Json> templates;
  test::for_each_record(folder / "templates.jsonl", [&](const Json& row) { templates[row["name"]] = row; });
  int total = 0;
  int equal = 0;
  test::for_each_record(folder / cases, [&](const Json& row) {
    if (!sampling.take()) return;
    const std::string why = difference(row, inputs, templates.at(row["template"]));
    CHECK_MESSAGE(why.empty(), why);
    ++total;
    equal += why.empty() ? 1 : 0;
  });
  MESSAGE(equal << " of " << total << " renderings equal");
  CHECK(total > 0);
}

}  // namespace

TEST_SUITE("chat template") {
  TEST_CASE("renders the small set as the reference does") { check_set(test::golden_path("tokenizer"), "cases.jsonl", test::Sampling(1)); }

  TEST_CASE("renders the reference's large set") {
    if (const auto folder = test::shared_path("goldens/tokenizers/chat")) check_set(*folder, "cases.jsonl.xz", test::Sampling(10));
  }

  TEST_CASE("names line and column of what went wrong") {
    const auto place = [](std::string_view text) {
      const Failure f = failure(text);
      return std::pair(f.line, f.column);
    };
    CHECK(place("{{ 1 }}\n  {{ 'a' + 1 }}") == std::pair(2U, 6U));
    CHECK(place("é{{ nope.deeper }}") == std::pair(1U, 9U));
    CHECK(place("\n\n{% for x in 3 %}{% endfor %}") == std::pair(3U, 4U));
    CHECK(place("a\n{% if %}{% endif %}") == std::pair(2U, 7U));
    CHECK(place("a\n\n  {{ 'open }}") == std::pair(3U, 6U));
    CHECK(place("{% macro f() %}\n{{ 1 // 0 }}{% endmacro %}\n\n{{ f() }}") == std::pair(2U, 4U));
    try {
      rendered("x\n{{ 'a' + 1 }}");
      FAIL("no error");
    } catch (const ChatTemplateError& error) {
      CHECK(std::string(error.what()) == "chat template, line 2, column 4: can only concatenate str (not \"int\") to str (TypeError)");
      CHECK(error.kind() == ErrorKind::format);
    }
  }

  TEST_CASE("says that the template refuses the conversation") {
    try {
      rendered("{{ raise_exception('two\nlines') }}");
      FAIL("no error");
    } catch (const ChatTemplateError& error) {
      CHECK(error.message() == "chat template, line 1, column 19: the template refuses the conversation: two lines (TemplateError)");
      CHECK(error.detail() == "two\nlines");
    }
  }

  TEST_CASE("stops templates that would run for ever or fill memory") {
    const ChatTemplateLimits small{.steps = 200'000, .depth = 100, .text_bytes = 1 << 20};
    const auto class_of = [&](std::string_view text) { return failure(text, small).class_name; };
    CHECK(class_of("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}") == "LimitError");
    CHECK(class_of("{{ 'x' * 999999999999 }}") == "LimitError");
    CHECK(class_of("{{ '%999999999d' | format(1) }}") == "LimitError");
    CHECK(class_of("{{ '{:>999999999}'.format(1) }}") == "LimitError");
    CHECK(class_of("{{ 'x'.center(999999999) }}") == "LimitError");
    CHECK(class_of("{{ [0] * 999999999 }}") == "LimitError");
    CHECK(class_of("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}") == "LimitError");
    CHECK(class_of("{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}") == "LimitError");
    CHECK(class_of("{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}") == "LimitError");
    CHECK(class_of("{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% set ns.l = ns.l | map('string') %}{% endfor %}") == "LimitError");
    CHECK(class_of("{% set ns = namespace(l=1) %}{% for i in range(9999) %}{% set ns.l = cycler(ns.l) %}{% endfor %}") == "LimitError");
    CHECK(class_of("{% set ns = namespace(l=1) %}{% for i in range(9999) %}{% set ns.l = joiner(ns.l) %}{% endfor %}") == "LimitError");
    CHECK(class_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}") == "RecursionError");
    CHECK(class_of("{% block b %}{{ self.b() }}{% endblock %}") == "RecursionError");
    CHECK(class_of("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}") == "RecursionError");
    CHECK(class_of("{{ " + std::string(100'000, '(')) == "TemplateSyntaxError");
    std::string nested;
    for (int i = 0; i < 5000; ++i) nested += "{% if true %}";
    CHECK(class_of("{{ " + [] {
      std::string text = "1";
      for (int i = 0; i < 5000; ++i) text = "-" + text;
      return text;
    }() + " }}") == "TemplateSyntaxError");
    CHECK(class_of(nested) == "TemplateSyntaxError");
    CHECK(class_of("{{ 2 ** 200 }}") == "OverflowError");
  }

  TEST_CASE("long conversations are within the limits, and hard searches are linear") {
    const ChatTemplateLimits all, some{.steps = test::kSanitized ? all.steps / 20 : all.steps};
    nlohmann::json messages = nlohmann::json::array();
    for (int i = 0; i < 4000; ++i) messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(1000, 'x') + " é"}});
    const ChatRequest request{.messages = messages.dump()};
    CHECK(rendered("{% for m in messages %}{{ m.content.strip() | trim | replace('y', 'z') }}{% endfor %}", request).size() == 4000 * 1003);
    CHECK(rendered("{{ messages | map(attribute='content') | join('-') | length }}", request) == "4011999");
    CHECK(rendered("{{ messages | tojson | length > 4000000 }}{{ messages | string | length > 4000000 }}", request) == "TrueTrue");
    CHECK(rendered("{% set s = 'a' * 1000000 %}{{ s.find('a' * 5000 ~ 'b') }}{{ ('a' * 5000 ~ 'b') in s }}{{ s.split('a' * 5000 ~ 'b') | length }}") == "-1False1");
    CHECK(failure("{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{% set t = s.rfind('a' * 5000 ~ 'b') %}{% endfor %}", some).class_name == "LimitError");
  }

  TEST_CASE("frees what holds itself") {
    CHECK(rendered("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}") == "<Namespace {'me': <Namespace {...}>}>");
    CHECK(rendered("{% set ns = namespace() %}{% set ns.me = ns %}{% macro f() %}{{ ns.me is defined }}{% endmacro %}{% set ns.f = f %}{{ ns.f() }}") ==
          "True");
    CHECK(rendered("{% set ns = namespace(x=0) %}{% for i in range(20000) %}{% set ns.x = namespace(x=ns.x) %}{% endfor %}ok") == "ok");
    CHECK(rendered("{% set ns = namespace() %}{% for x in [1, 2] if x %}{% set ns.l = loop %}{% endfor %}{{ ns.l.length }}") == "2");
  }

  TEST_CASE("refuses requests that are no conversation") {
    CHECK_THROWS_AS(rendered("x", {.messages = "{}"}), UsageError);
    CHECK_THROWS_AS(rendered("x", {.messages = "[1]"}), UsageError);
    CHECK_THROWS_AS(rendered("x", {.messages = "["}), FormatError);
    CHECK_THROWS_AS(rendered("x", {.messages = R"([{"a": )" + std::string(5000, '[') + std::string(5000, ']') + "}]"}), FormatError);
    CHECK_THROWS_AS(rendered("x", {.messages = R"([{"role": "user"}])", .tools = "3"}), UsageError);
    CHECK_THROWS_AS(rendered("x", {.messages = R"([{"role": "user"}])", .variables = "[]"}), UsageError);
  }

  TEST_CASE("one parsed template renders many conversations") {
    const ChatTemplate parsed = ChatTemplate::parse("{% set x = messages | length %}{{ x }}{{ y is defined }}");
    CHECK(parsed.render({.messages = R"([{"role": "user"}])", .variables = R"({"y": 1})"}).text == "1True");
    CHECK(parsed.render({.messages = R"([{"role": "user"}, {"role": "user"}])"}).text == "2False");
  }
}

}  // namespace bigmodel::tokenizer
