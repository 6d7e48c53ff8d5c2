// SPDX-License-Identifier: Apache-2.0
#include "cli/man_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/help.h"
#include "exit_status.h"
#include "version.h"

namespace bigmodel::app {
namespace {

/// The day that the pages carry: that of the version, not of the build, so that builds repeat bit for bit.
constexpr std::string_view kPageDate = "2026-11-25";
constexpr int kLineBytes = 68;  // mandoc's style limit is 80, and escapes make lines longer

/// Text that roff takes literally; breaks after sentences and before leading dots are roff's business.
std::string roff(std::string_view text) {
  std::string out;
  if (text.starts_with('.') || text.starts_with('\'')) out += "\\&";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '`' || c == '\'') {
      out += c == '`' ? "\\(ga" : "\\(aq";
    } else if (c == '~') {
      out += "\\(ti";
    } else if (c == '^') {
      out += "\\(ha";
    } else {
      out += c;
    }
  }
  return out;
}

/// A paragraph, each sentence on lines of its own as roff likes it.
std::string roff_paragraph(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find(". ");
    const std::string sentence = wrapped(text.substr(0, end == std::string_view::npos ? end : end + 1), kLineBytes, 0);
    for (std::size_t at = 0; at < sentence.size();) {
      const std::size_t next = std::min(sentence.find('\n', at), sentence.size());
      out += roff(std::string_view(sentence).substr(at, next - at)) + "\n";
      at = next + 1;
    }
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 2);
  }
  return out;
}

std::string title(std::string_view name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return fmt::format(".\\\" Made by `bigmodel generate man` from the option table; do not edit.\n"
                     ".TH {} 1 \"{}\" \"bigmodel {}\" \"bigmodel manual\"\n",
                     roff(upper), kPageDate, build_facts().version);
}

std::string option_entries(std::span<const OptionSpec> options) {
  std::string out;
  for (const OptionSpec& option : options) {
    const std::string letter = option.letter == 0 ? "" : fmt::format("\\fB\\-{}\\fR, ", option.letter);
    const std::string form = usage_form(option);
    const std::size_t blank = form.find(' ');
    out += fmt::format(".TP\n{}\\fB{}\\fR{}\n{}", letter, roff(form.substr(0, blank)),
                       blank == std::string::npos ? "" : fmt::format(" \\fI{}\\fR", roff(form.substr(blank + 1))),
                       roff_paragraph(option_text(option)));
  }
  return out;
}

std::string exit_status_section() {
  std::string out = ".SH EXIT STATUS\n";
  for (const ExitStatusRow& row : exit_status_rows()) {
    out += fmt::format(".TP\n.B {}\n{}\n", static_cast<int>(row.status), roff(row.meaning));
  }
  return out + ".PP\nA reader that closes the pipe early is no error.\n"
               "Ctrl\\-C and SIGTERM end the program by that signal.\n";
}

std::string topic_section(std::string_view heading, std::string_view topic) {
  std::string out = fmt::format(".SH {}\n", heading);
  bool first = true;
  for (const std::string& paragraph : topic_paragraphs(topic)) {
    if (!first) out += ".PP\n";
    first = false;
    out += roff_paragraph(paragraph);
  }
  return out;
}

std::string see_also(std::string_view self, std::span<const CommandSpec* const> commands) {
  std::string out = ".SH SEE ALSO\n";
  std::vector<std::string> pages;
  if (self != "bigmodel") pages.emplace_back("bigmodel");
  for (const CommandSpec* command : commands) {
    const std::string page = fmt::format("bigmodel-{}", command->name);
    if (!command->hidden && page != self) pages.push_back(page);
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    out += fmt::format(".BR {} (1){}\n", roff(pages[i]), i + 1 < pages.size() ? "," : "");
  }
  return out;
}

}  // namespace

std::string program_man_page(std::span<const CommandSpec* const> commands) {
  std::string out = title("bigmodel");
  out += ".SH NAME\nbigmodel \\- memory, shards, device maps and inference for huge models\n";
  out += ".SH SYNOPSIS\n.B bigmodel\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n";
  out += ".SH COMMANDS\n";
  for (const CommandSpec* command : commands) {
    if (command->hidden) continue;
    out += fmt::format(".TP\n.BR {} (1)\n{}\n", roff(fmt::format("bigmodel-{}", command->name)), roff(command->summary));
  }
  out += ".SH OPTIONS\nEvery command takes these.\n";
  out += "Underscores in option names count as hyphens.\n";
  out += option_entries(global_options());
  out += exit_status_section();
  out += topic_section("ENVIRONMENT", "environment");
  out += topic_section("FILES", "config");
  out += topic_section("SIZES", "sizes");
  return out + see_also("bigmodel", commands);
}

std::string command_man_page(const CommandSpec& command, std::span<const CommandSpec* const> commands) {
  const std::string page = fmt::format("bigmodel-{}", command.name);
  std::string out = title(page);
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff(page), roff(command.summary));
  out += fmt::format(".SH SYNOPSIS\n.B bigmodel {}\n[\\fIOPTIONS\\fR]", roff(command.name));
  for (const OptionSpec& positional : command.positionals) {
    const std::string form = fmt::format("\\fI{}\\fR", roff(usage_form(positional)));
    out += positional.required ? " " + form : " [" + form + "]";
  }
  out += "\n";
  if (!command.description.empty()) {
    out += ".SH DESCRIPTION\n";
    for (std::size_t i = 0; i < command.description.size(); ++i) {
      if (i != 0) out += ".PP\n";
      out += roff_paragraph(command.description[i]);
    }
  }
  if (!command.positionals.empty() || !command.options.empty()) {
    out += ".SH OPTIONS\n" + option_entries(command.positionals) + option_entries(command.options);
  }
  out += ".SH OPTIONS OF EVERY COMMAND\n" + option_entries(global_options());
  if (!command.examples.empty()) {
    out += ".SH EXAMPLES\n";
    for (const Example& example : command.examples) {
      out += fmt::format(".TP\n.B {}\n{}\n", roff(example.line), roff(example.what));
    }
  }
  return out + exit_status_section() + see_also(page, commands);
}

}  // namespace bigmodel::app
