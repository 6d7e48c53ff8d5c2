// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/chat_template_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/tokenizer/pretrained_settings.h"
#include "bigmodel/tokenizer/tokenizer_class.h"

namespace bigmodel::tokenizer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kTemplateLimitBytes = std::uint64_t{4} << 20;
constexpr std::size_t kMostTemplates = 1000;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
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

}  // namespace

FolderChatTemplates read_chat_templates(const fs::path& folder) {
  FolderChatTemplates out;
  const Json config = read_json_object(folder / "tokenizer_config.json");
  out.templates = jinja_files(folder);
  if (out.templates.empty() && config.contains("chat_template")) {
    add_templates(out.templates, config["chat_template"], "tokenizer_config.json", folder);
  }
  if (out.templates.empty()) {
    const Json alone = read_json_object(folder / "chat_template.json");
    if (alone.contains("chat_template")) add_templates(out.templates, alone["chat_template"], "chat_template.json", folder);
  }
  PretrainedSettings settings = read_pretrained_settings(folder);
  set_class_tokens(choose_tokenizer_class(settings, folder), settings);
  Json tokens = Json::object();
  for (const NamedToken& named : settings.named) {
    if (named.token) tokens[named.name] = named.token->content;
  }
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
