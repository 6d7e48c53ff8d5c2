// SPDX-License-Identifier: Apache-2.0
// The option table: what commands and options there are, said once. The parser, --help, the completions, the man pages
// and the settings (environment, config file) all read it, so they cannot disagree.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::app {

enum class ValueKind {
  flag,     ///< no value
  text,
  choice,   ///< one of `choices`
  integer,  ///< 64-bit, not negative
  number,   ///< decimal fraction
  size,     ///< core/byte_size: 10GB, 1.5GiB
  dtype,    ///< a name of core/dtype
  path,     ///< a file or folder
  model,    ///< a MODEL argument: completions offer catalog names and files
};

enum class ListStyle {
  single,  ///< the last one given counts
  commas,  ///< by comma or repetition
  spaces,  ///< also by spaces, where the reference does so: --dtypes float32 float16
};

/// One option, or one positional argument (name in capitals). All texts are literals.
struct OptionSpec {
  std::string_view name;  ///< canonical, with hyphens, without the leading "--"
  char letter = 0;
  ValueKind kind = ValueKind::flag;
  std::string_view value_name = {};
  std::string_view help = {};          ///< one line, lower case, no final period
  std::string_view default_text = {};  ///< as a user would type it; empty: none
  std::vector<std::string_view> choices = {};
  bool open_choices = false;  ///< `choices` are offered, any other text is taken too
  ListStyle list = ListStyle::single;
  std::string_view more = {};                       ///< further sentences, for --help and the man page
  std::vector<std::string_view> environment = {};   ///< variables beside BIGMODEL_<NAME>
  bool settable = true;                             ///< may come from the environment or the config file
  bool required = false;                            ///< of positionals
  bool repeated = false;                            ///< of positionals: one or more; of options: each one given counts
};

struct Example {
  std::string_view line;
  std::string_view what;
};

struct CommandSpec {
  std::string_view name;
  std::string_view summary;  ///< one line, lower case, no final period
  std::vector<std::string_view> description = {};  ///< paragraphs
  std::vector<OptionSpec> positionals = {};
  std::vector<OptionSpec> options = {};
  std::vector<Example> examples = {};
  bool hidden = false;
  bool stoppable = false;  ///< long or writing: the first Ctrl-C sets the stop token instead of ending the process
};

/// Options that every command takes.
std::span<const OptionSpec> global_options();

/// Topics of `bigmodel help` that are no commands.
struct HelpTopic {
  std::string_view name;
  std::string_view summary;
};
std::span<const HelpTopic> help_topics() noexcept;

/// The option of a command or a global one; null where neither has it. Underscores count as hyphens.
const OptionSpec* find_option(const CommandSpec* command, std::string_view name);
const OptionSpec* find_option(const CommandSpec* command, char letter);

/// Names for "did you mean": of the command and the global ones, without "--".
std::vector<std::string> option_names(const CommandSpec* command);

/// "BIGMODEL_MAX_SHARD_SIZE".
std::string environment_name(const OptionSpec& option);

/// "--max-shard-size SIZE", "MODEL..." : how the option is written.
std::string usage_form(const OptionSpec& option);

}  // namespace bigmodel::app
