// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/chat_template_folder.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/chat_template.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

/// One conversation of a folder as a case of the set asks; the error's text where it fails.
std::string rendered(const FolderChatTemplates& found, const Json& chat) {
  const Json& kwargs = chat["kwargs"];
  ChatRequest request{.messages = chat["messages"].dump(), .variables = found.special_tokens, .add_generation_prompt = kwargs.value("add_generation_prompt", false)};
  if (kwargs.contains("tools")) request.tools = kwargs["tools"].dump();
  const std::string given = kwargs.value("chat_template", "");
  const bool name = std::ranges::any_of(found.templates, [&](const NamedTemplate& one) { return one.name == given; });
  const std::string text = given.empty() || name ? choose_chat_template(found, given, !request.tools.empty(), "m").text : given;
  return apply_chat_template(text, request).text;
}

}  // namespace

TEST_SUITE("chat template folder") {
  TEST_CASE("folders give the templates and tokens that the reference finds") {
    const auto path = test::shared_path("goldens/tokenizers/config/cases.jsonl.xz");
    if (!path) return;
    int equal = 0;
    test::for_each_record(*path, [&](const Json& row) {
      CAPTURE(row["id"].dump());
      const test::TempFolder folder;
      for (const auto& [name, content] : row["files"].items()) folder.write(name, content.is_string() ? content.get<std::string>() : content.dump());
      if (!row.contains("chats")) {
        CHECK_THROWS_AS(read_chat_templates(folder.path()), FormatError);
        return;
      }
      const FolderChatTemplates found = read_chat_templates(folder.path());
      for (const Json& chat : row["chats"]) {
        if (chat.contains("error")) {
          CHECK_THROWS_AS(rendered(found, chat), NotFoundError);
        } else {
          CHECK(rendered(found, chat) == chat["text"]);
        }
        ++equal;
      }
    });
    MESSAGE(equal << " conversations compared");
    CHECK(equal > 0);
  }

  TEST_CASE("a file goes before the config, and names choose") {
    const test::TempFolder folder;
    folder.write("chat_template.jinja", "file");
    folder.write("additional_chat_templates/tool_use.jinja", "tools");
    folder.write("tokenizer_config.json", R"({"chat_template": "config", "bos_token": {"content": "<s>"}, "eos_token": null, "image_token": "<img>", "added_tokens_decoder": {}})");
    folder.write("special_tokens_map.json", R"({"bos_token": "other"})");
    const FolderChatTemplates found = read_chat_templates(folder.path());
    CHECK(choose_chat_template(found, "", false, "m").text == "file");
    CHECK(choose_chat_template(found, "", true, "m").text == "tools");
    CHECK(choose_chat_template(found, "tool_use", false, "m").source == "additional_chat_templates/tool_use.jinja");
    CHECK(found.special_tokens == R"({"bos_token":"<s>","image_token":"<img>"})");
    CHECK_THROWS_WITH_AS(choose_chat_template(found, "rag", false, "m"), "m: has no chat template 'rag'; it has default, tool_use", NotFoundError);
  }

  TEST_CASE("wrong kinds are refused by name") {
    const test::TempFolder folder;
    folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "x"}]})");
    CHECK_THROWS_AS(read_chat_templates(folder.path()), FormatError);
    folder.write("tokenizer_config.json", "[]");
    CHECK_THROWS_AS(read_chat_templates(folder.path()), FormatError);
    folder.write("tokenizer_config.json", "{}");
    folder.write("chat_template.json", R"({"chat_template": "processor"})");
    CHECK(read_chat_templates(folder.path()).templates.front().text == "processor");
  }
}

}  // namespace bigmodel::tokenizer
