// SPDX-License-Identifier: Apache-2.0
// `run --chat` without a prompt: a conversation, message by message.
#pragma once

#include "commands/chat_prompt.h"
#include "commands/run_generator.h"

namespace bigmodel::app {

/// Reads a message a line from standard input until it ends; every answer is written as it comes, and becomes part of the conversation.
/// On a terminal it asks with "> " on standard error.
ExitStatus converse(RunModel& model, const GenerationConfig& config, const std::optional<tokenizer::Tokenizer>& tokenizer, ChatPrompt& chat, const Options& options, Session& session);

}  // namespace bigmodel::app
