// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "bigmodel/io/json.h"
#include "bigmodel/tokenizer/jinja_interpreter.h"
#include "bigmodel/tokenizer/jinja_objects.h"
#include "bigmodel/tokenizer/jinja_parser.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer {
namespace {

using jinja::Dict;
using jinja::Value;
using Json = nlohmann::ordered_json;

constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";
/// Names under which a message's reasoning is passed; the first is the one that templates read most.
constexpr std::array<std::string_view, 3> kReasoning{"reasoning_content", "thinking", "reasoning"};

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::string place_and_detail(const std::string& class_name, const std::string& detail, std::uint32_t line, std::uint32_t column) {
  const std::string place = line == 0 ? "" : fmt::format(", line {}, column {}", line, column);
  const std::string shown = class_name == "TemplateError" ? "the template refuses the conversation: " + detail : detail;
  return fmt::format("chat template{}: {} ({})", place, one_line(shown), class_name);
}

[[noreturn]] void refuse(std::string class_name, std::string detail) {
  throw ChatTemplateError(ErrorKind::usage, std::move(class_name), std::move(detail), 0, 0);
}

[[noreturn]] void rethrow(const jinja::JinjaError& error) {
  throw ChatTemplateError(ErrorKind::format, error.class_name, error.what(), error.place.line, error.place.column);
}

/// No deeper than values may nest, so that no copy recurses further.
Json parse_request(const std::string& text, const char* what) {
  if (text.empty()) return nullptr;
  return parse_json(text, fmt::format("chat, {}", what), {.depth = jinja::kMostNested - 8, .refuse_duplicate_keys = false});
}

Value to_value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean: return Value(json.get<bool>());
    case Json::value_t::number_integer: return Value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: return Value(static_cast<jinja::Int>(json.get<std::uint64_t>()));
    case Json::value_t::number_float: return Value(json.get<double>());
    case Json::value_t::string: return Value(json.get<std::string>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(to_value(item));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      Dict out;
      for (const auto& [key, value] : json.items()) out.set(Value(key), to_value(value));
      return Value::dict(std::move(out));
    }
    default: return Value();
  }
}

/// Keys that are null go: some servers send `"content": null`, which most templates trip over.
Json without_nulls(const Json& message) {
  Json out = Json::object();
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) out[key] = value;
  }
  return out;
}

/// The reasoning under the names that templates read, whatever the caller called it.
Json with_reasoning(const Json& message) {
  const auto name = std::ranges::find_if(kReasoning, [&](std::string_view key) { return message.contains(key); });
  if (name == kReasoning.end()) return message;
  const Json reasoning = message.at(std::string(*name));
  Json out = Json::object();
  out["thinking"] = reasoning;
  for (const auto& [key, value] : message.items()) out[key] = value;
  out["reasoning_content"] = reasoning;
  return out;
}

Json read_messages(const ChatRequest& request) {
  const Json given = parse_request(request.messages, "messages");
  if (!given.is_array()) throw UsageError("messages: expected a JSON array of objects, got " + std::string(given.type_name()));
  if (given.empty()) refuse("ValueError", "Cannot apply chat template to an empty conversation. Provide at least one message.");
  Json out = Json::array();
  for (const Json& message : given) {
    if (!message.is_object()) throw UsageError("messages: expected a JSON array of objects, got an array with " + std::string(message.type_name()));
    out.push_back(without_nulls(message));
  }
  return out;
}

std::string stripped(const std::string& text) {
  std::u32string points = jinja::decode(text);
  while (!points.empty() && jinja::is_space(points.back())) points.pop_back();
  const auto first = std::ranges::find_if_not(points, jinja::is_space);
  return jinja::encode(std::u32string(first, points.end()));
}

/// Marks the end of the final message, so that what the template writes after it can be cut off. The message as it was is returned.
std::string mark_final_message(Json& messages, const std::string& field, const std::string& source) {
  Json& last = messages.back();
  if (!last.contains(field)) {
    refuse("ValueError", fmt::format("continue_final_message is set but the final message has no \"{}\" to continue!", field));
  }
  const Json final_message = last.at(field);
  std::vector<std::string> fields{field};
  if (std::ranges::find(kReasoning, field) != kReasoning.end()) {
    fields.clear();
    for (const std::string_view name : kReasoning) {
      if (last.contains(name) && last.at(std::string(name)) == final_message) fields.emplace_back(name);
    }
  }
  if (std::ranges::none_of(fields, [&](const std::string& name) { return source.find(name) != std::string::npos; })) {
    refuse("ValueError", fmt::format("continue_final_message is set to \"{}\" but this is not an accepted field in the chat_template", field));
  }
  const auto marked = [](const Json& value) {
    if (!value.is_string()) refuse("TypeError", "can only continue text, not " + std::string(value.type_name()));
    return value.get<std::string>() + std::string(kContinueTag);
  };
  if (!final_message.is_array()) {
    for (const std::string& name : fields) last[name] = marked(final_message);
    return final_message.get<std::string>();
  }
  Json& blocks = last[field];
  for (std::size_t i = blocks.size(); i-- > 0;) {
    Json& block = blocks[i];
    if (!block.is_object() || !block.contains("text")) continue;
    const Json text = block["text"];
    block["text"] = marked(text);
    return text.get<std::string>();
  }
  refuse("ValueError", "continue_final_message is set but we could not find any text to continue in the final message!");
}

std::string cut_at_mark(const std::string& text, const std::string& final_message) {
  const std::string tag = stripped(std::string(kContinueTag));
  const std::string message = stripped(final_message);
  const std::size_t at = text.rfind(tag);
  if (at == std::string::npos || text.find(message) == std::string::npos) {
    refuse("ValueError",
           "continue_final_message is set but the final message does not appear in the chat after applying the chat template! This can happen "
           "if the chat template deletes portions of the final message. Please verify the chat template and final message in your chat to "
           "ensure they are compatible.Final message to continue: " + message + "\nRendered chat:\n" + text);
  }
  if (text.compare(at, kContinueTag.size(), kContinueTag) == 0) return text.substr(0, at);
  std::u32string points = jinja::decode(text.substr(0, at));
  while (!points.empty() && jinja::is_space(points.back())) points.pop_back();
  return jinja::encode(points);
}

Json read_objects(const std::string& text, const char* what, const char* class_name, const char* refusal) {
  Json out = parse_request(text, what);
  if (out.is_null()) return out;
  if (!out.is_array()) throw UsageError(fmt::format("{}: expected a JSON array of objects, got {}", what, out.type_name()));
  if (!std::ranges::all_of(out, [](const Json& item) { return item.is_object(); })) refuse(class_name, refusal);
  return out;
}

}  // namespace

ChatTemplateError::ChatTemplateError(ErrorKind kind, std::string class_name, std::string detail, std::uint32_t line, std::uint32_t column)
    : Error(kind, place_and_detail(class_name, detail, line, column)),
      class_name_(std::move(class_name)),
      detail_(std::move(detail)),
      line_(line),
      column_(column) {}

struct ChatTemplate::Parsed {
  std::string source;
  jinja::TemplateTree tree;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::parse(std::string_view text) {
  try {
    return ChatTemplate(std::make_unique<const Parsed>(Parsed{std::string(text), jinja::parse_template(text)}));
  } catch (const jinja::JinjaError& error) {
    rethrow(error);
  }
}

RenderedChat ChatTemplate::render(const ChatRequest& request, const ChatTemplateLimits& limits) const {
  Json messages = read_messages(request);
  const bool continues = !request.continue_final_message.empty();
  if (continues && request.add_generation_prompt) {
    refuse("ValueError",
           "continue_final_message and add_generation_prompt are not compatible. Use continue_final_message when you want the model to "
           "continue the final message, and add_generation_prompt when you want to add a header that will prompt it to start a new assistant "
           "message instead.");
  }
  const Json tools = read_objects(request.tools, "tools", "ValueError",
                                  "Tools should either be a JSON schema, or a callable function with type hints and a docstring suitable for "
                                  "auto-conversion to a schema.");
  const Json documents =
      read_objects(request.documents, "documents", "TypeError", "Documents should be a list of dicts with 'title' and 'text' keys!");
  const Json variables = parse_request(request.variables, "template variables");
  if (!variables.is_null() && !variables.is_object()) {
    throw UsageError("template variables: expected a JSON object, got " + std::string(variables.type_name()));
  }
  for (Json& message : messages) message = with_reasoning(message);
  std::string final_message;
  if (continues) final_message = mark_final_message(messages, request.continue_final_message, parsed_->source);
  try {
    Dict given = jinja::make_globals();
    if (variables.is_object()) {
      for (const auto& [key, value] : variables.items()) given.set(Value(key), to_value(value));
    }
    given.set(Value("messages"), to_value(messages));
    given.set(Value("tools"), to_value(tools));
    given.set(Value("documents"), to_value(documents));
    given.set(Value("add_generation_prompt"), Value(request.add_generation_prompt));
    jinja::Machine machine(limits, request.now);
    jinja::Interpreter interpreter(machine, parsed_->tree, std::move(given));
    RenderedChat out;
    out.text = interpreter.run();
    out.generation = interpreter.generation();
    if (continues) out.text = cut_at_mark(out.text, final_message);
    return out;
  } catch (const jinja::JinjaError& error) {
    rethrow(error);
  }
}

RenderedChat apply_chat_template(std::string_view text, const ChatRequest& request, const ChatTemplateLimits& limits) {
  read_messages(request);
  return ChatTemplate::parse(text).render(request, limits);
}

}  // namespace bigmodel::tokenizer
