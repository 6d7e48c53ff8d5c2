// SPDX-License-Identifier: Apache-2.0
// Help texts made from the option table.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/option_table.h"
#include "render/terminal.h"

namespace bigmodel::app {

/// Without any argument: what it is, two examples, the commands.
std::string short_help(std::span<const CommandSpec* const> commands, const Terminal& terminal);
/// `bigmodel --help`.
std::string program_help(std::span<const CommandSpec* const> commands, const Terminal& terminal);
/// `bigmodel COMMAND --help`: examples first.
std::string command_help(const CommandSpec& command, const Terminal& terminal);
/// `bigmodel help TOPIC` of help_topics().
std::string topic_help(std::string_view topic, std::span<const CommandSpec* const> commands, const Terminal& terminal);

/// "bigmodel shard [OPTIONS] [CHECKPOINT]".
std::string usage_line(const CommandSpec& command);
/// Help, choices, default and further sentences of an option as one paragraph.
std::string option_text(const OptionSpec& option);
/// The paragraphs of a topic, also for man pages.
std::vector<std::string> topic_paragraphs(std::string_view topic);

/// Breaks at blanks so that no line is wider than `width`; every line after the first starts with `indent` blanks.
std::string wrapped(std::string_view text, int width, int indent);

}  // namespace bigmodel::app
