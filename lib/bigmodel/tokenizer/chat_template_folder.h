// SPDX-License-Identifier: Apache-2.0
// The chat template of a model's folder, and the special tokens that it may name: chosen as transformers' AutoTokenizer does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bigmodel::tokenizer {

struct NamedTemplate {
  std::string name;    ///< "default", "tool_use", "rag" ...
  std::string text;
  std::string source;  ///< the file, without folder
};

struct FolderChatTemplates {
  std::vector<NamedTemplate> templates;  ///< may be empty
  std::string special_tokens;            ///< JSON object: {"bos_token": "<s>", ...}, for ChatRequest::variables
};

/// chat_template.jinja and additional_chat_templates/*.jinja, else chat_template of tokenizer_config.json (a text, or a list of
/// named ones), else chat_template.json. Special tokens are those of tokenizer_config.json, replaced by special_tokens_map.json's in
/// folders of before added_tokens_decoder. Throws FormatError, IoError.
FolderChatTemplates read_chat_templates(const std::filesystem::path& folder);

/// By name where one is given; else tool_use where there are tools, else default, else the only one.
/// Throws NotFoundError that names what there is.
const NamedTemplate& choose_chat_template(const FolderChatTemplates& found, const std::string& name, bool has_tools, const std::string& object);

}  // namespace bigmodel::tokenizer
