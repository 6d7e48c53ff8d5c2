// SPDX-License-Identifier: Apache-2.0
// The prompt that a folder's chat template makes of messages.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "bigmodel/tokenizer/chat_template_folder.h"

namespace bigmodel::app {

/// Reads the templates when they are first needed. One thread.
class ChatPrompt {
 public:
  /// A folder with tokenizer files, or one of them.
  explicit ChatPrompt(const std::filesystem::path& path) : folder_(std::filesystem::is_directory(path) ? path : path.parent_path()) {}

  /// `request`: a list of messages, or an object with `messages` and arguments of apply_chat_template; `object` names it in errors.
  /// Throws NotFoundError (no template), FormatError, ChatTemplateError.
  std::string text(const nlohmann::ordered_json& request, const std::string& object);

 private:
  std::filesystem::path folder_;
  std::optional<tokenizer::FolderChatTemplates> found_;
};

}  // namespace bigmodel::app
