// SPDX-License-Identifier: Apache-2.0
#include "commands/chat_prompt.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/tokenizer/chat_template.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

tokenizer::LocalTime local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  ::localtime_r(&now, &tm);
  return {.year = tm.tm_year + 1900, .month = tm.tm_mon + 1, .day = tm.tm_mday, .hour = tm.tm_hour, .minute = tm.tm_min, .second = tm.tm_sec, .utc_offset_seconds = static_cast<int>(tm.tm_gmtoff)};
}

}  // namespace

std::string ChatPrompt::text(const Json& request, const std::string& object) {
  if (!request.is_array() && (!request.is_object() || !request.contains("messages"))) throw FormatError(fmt::format("{}: has no 'messages'", object));
  const Json& messages = request.is_array() ? request : request["messages"];
  if (!found_) found_ = tokenizer::read_chat_templates(folder_);
  tokenizer::ChatRequest call;
  // Typed text need not be UTF-8.
  call.messages = messages.dump(-1, ' ', false, Json::error_handler_t::replace);
  Json variables = parse_json(found_->special_tokens, "special tokens");
  std::string name;
  if (request.is_object()) {
    for (const auto& [key, value] : request.items()) {
      if (value.is_null() || key == "messages") continue;
      if (key == "tools") {
        call.tools = value.dump();
      } else if (key == "documents") {
        call.documents = value.dump();
      } else if (key == "add_generation_prompt") {
        call.add_generation_prompt = value == Json(true);
      } else if (key == "continue_final_message") {
        call.continue_final_message = value.is_string() ? value.get<std::string>() : value == Json(true) ? "content" : "";
      } else if (key == "chat_template" && value.is_string()) {
        name = value.get<std::string>();
      } else {
        variables[key] = value;
      }
    }
  }
  call.variables = variables.dump();
  call.now = local_time();
  return tokenizer::apply_chat_template(tokenizer::choose_chat_template(*found_, name, !call.tools.empty(), folder_.string()).text, call).text;
}

}  // namespace bigmodel::app
