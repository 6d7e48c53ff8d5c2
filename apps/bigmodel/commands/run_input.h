// SPDX-License-Identifier: Apache-2.0
// What a run starts from: texts, messages, token ids or named tensors, whichever option gives them.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/engine/generate.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "commands/chat_prompt.h"
#include "commands/command.h"

namespace bigmodel::app {

/// Rows of the option table: --prompt, --prompt-file, --batch, --ids, --ids-file, --input, --chat, --system, --pair.
std::vector<OptionSpec> input_option_rows();

struct RunInput {
  std::vector<std::string> texts;         ///< prompts; with `chat` already rendered by the template
  std::optional<std::string> pair;        ///< the second text that goes with each
  bool chat = false;                      ///< special tokens are in the texts
  bool many = false;                      ///< of --batch: a line for each is printed
  std::optional<TokenBatch> ids;
  std::map<std::string, Tensor> tensors;
};

/// One source; where no option gives it and --chat is not given, standard input, unless that is closed, empty, a terminal or another device. nullopt: there
/// is none. `chat` renders messages (--chat, or messages in --batch). `folder` is the model's, which says how
/// pictures and sound are prepared; null: the demo model.
/// Throws UsageError, FormatError, NotFoundError, IoError.
std::optional<RunInput> read_run_input(const Options& options, ChatPrompt* chat, std::int64_t pad_id, const std::filesystem::path* folder, Notes& notes);


/// Ids of a text, with what the tokenizer adds unless it is a rendered chat. Throws UsageError where there are none.
std::vector<std::int64_t> prompt_ids(const tokenizer::Tokenizer& tokenizer, const std::string& text, bool chat);

}  // namespace bigmodel::app
