// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/chat_template_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kTemplateLimitBytes = std::uint64_t{4} << 20;
constexpr std::uint64_t kConfigLimitBytes = std::uint64_t{64} << 20;
constexpr std::size_t kMostTemplates = 1000;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// The object in a file; an empty one where there is no such file.
Json read_object(const fs::path& path) {
  if (!is_file(path)) return Json::object();
  Json out = parse_json(read_file(path, kConfigLimitBytes), path.string());
  if (!out.is_object()) throw FormatError(fmt::format("{}: expected a JSON object, got {}", path.string(), out.type_name()));
  return out;
}

void add_templates(std::vector<NamedTemplate>& out, const Json& value, const std::string& file, const fs::path& folder) {
  const auto fail = [&](std::string_view what) { throw FormatError(fmt::format("{}: chat_template {}", (folder / file).string(), what)); };
  if (value.is_null()) return;
  if (value.is_string()) {
    out.push_back({"default", value.get<std::string>(), file});
    return;
  }
  if (!value.is_array()) fail("is of the wrong kind, expected a text or a list of {\"name\", \"template\"}");
  for (const Json& row : value) {
    const auto text_of = [&](const char* key) {
      const auto it = row.is_object() ? row.find(key) : row.end();
      if (!row.is_object() || it == row.end() || !it->is_string()) fail("has an entry that is no {\"name\", \"template\"}");
      return it->get<std::string>();
    };
    out.push_back({text_of("name"), text_of("template"), file});
    if (out.size() > kMostTemplates) fail("lists too many templates");
  }
}

std::vector<NamedTemplate> jinja_files(const fs::path& folder) {
  std::vector<NamedTemplate> out;
  const fs::path first = folder / "chat_template.jinja";
  if (is_file(first)) out.push_back({"default", read_file(first, kTemplateLimitBytes), "chat_template.jinja"});
  const fs::path more = folder / "additional_chat_templates";
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator it(more, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".jinja" && is_file(it->path())) files.push_back(it->path());
    if (files.size() > kMostTemplates) throw FormatError(fmt::format("{}: more than {} templates", more.string(), kMostTemplates));
  }
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    out.push_back({file.stem().string(), read_file(file, kTemplateLimitBytes), "additional_chat_templates/" + file.filename().string()});
  }
  return out;
}

/// The text of a token: itself, or `content` of an object; nothing of others.
const Json* token_text(const Json& value) {
  if (value.is_string()) return &value;
  if (!value.is_object()) return nullptr;
  const auto content = value.find("content");
  return content != value.end() && content->is_string() ? &*content : nullptr;
}

void add_tokens(Json& out, const Json& config) {
  constexpr std::array<std::string_view, 7> kNames{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  for (const std::string_view name : kNames) {
    const auto it = config.find(name);
    if (it == config.end()) continue;
    if (const Json* text = token_text(*it)) out[std::string(name)] = *text;
  }
  // Tokens of one model's own: image_token and the like.
  for (const auto& [name, value] : config.items()) {
    const bool known = std::ranges::find(kNames, std::string_view(name)) != kNames.end();
    if (!known && name.ends_with("_token") && token_text(value) != nullptr) out[name] = *token_text(value);
  }
  const auto extra = config.find("extra_special_tokens");
  if (extra == config.end() || !extra->is_object()) return;
  for (const auto& [name, value] : extra->items()) {
    if (const Json* text = token_text(value)) out[name] = *text;
  }
}

}  // namespace

FolderChatTemplates read_chat_templates(const fs::path& folder) {
  FolderChatTemplates out;
  const Json config = read_object(folder / "tokenizer_config.json");
  out.templates = jinja_files(folder);
  if (out.templates.empty() && config.contains("chat_template")) {
    add_templates(out.templates, config["chat_template"], "tokenizer_config.json", folder);
  }
  if (out.templates.empty()) {
    const Json alone = read_object(folder / "chat_template.json");
    if (alone.contains("chat_template")) add_templates(out.templates, alone["chat_template"], "chat_template.json", folder);
  }
  Json tokens = Json::object();
  add_tokens(tokens, config);
  if (!config.contains("added_tokens_decoder")) add_tokens(tokens, read_object(folder / "special_tokens_map.json"));
  out.special_tokens = tokens.dump();
  return out;
}

const NamedTemplate& choose_chat_template(const FolderChatTemplates& found, const std::string& name, bool has_tools, const std::string& object) {
  const auto named = [&](std::string_view wanted) {
    return std::ranges::find(found.templates, wanted, &NamedTemplate::name);
  };
  if (found.templates.empty()) {
    throw NotFoundError(fmt::format("{}: has no chat template", object), "use a model that was made for chat");
  }
  auto it = found.templates.end();
  if (!name.empty()) {
    it = named(name);
  } else if (found.templates.size() == 1) {
    it = found.templates.begin();
  } else {
    if (has_tools) it = named("tool_use");
    if (it == found.templates.end()) it = named("default");
  }
  if (it != found.templates.end()) return *it;
  std::vector<std::string> names;
  for (const NamedTemplate& one : found.templates) names.push_back(one.name);
  throw NotFoundError(name.empty() ? fmt::format("{}: has several chat templates and no default", object)
                                   : fmt::format("{}: has no chat template '{}'", object, name),
                      fmt::format("it has {}", fmt::join(names, ", ")));
}

}  // namespace bigmodel::tokenizer
