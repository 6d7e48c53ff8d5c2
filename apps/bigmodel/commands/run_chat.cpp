// SPDX-License-Identifier: Apache-2.0
#include "commands/run_chat.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/model/text_part.h"
#include "commands/run_events.h"
#include "commands/run_input.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostLineBytes = std::size_t{16} << 20;

/// Lines of standard input as they come. A stop request ends the wait for one.
class Lines {
 public:
  explicit Lines(const WorkContext& work) : work_(work) {}

  /// nullopt at the end. Throws IoError, FormatError (a line of 16 MiB), CancelledError.
  std::optional<std::string> next() {
    for (;;) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        if (line.ends_with('\r')) line.pop_back();
        return line;
      }
      if (ended_) return buffer_.empty() ? std::nullopt : std::optional(std::exchange(buffer_, {}));
      if (buffer_.size() > kMostLineBytes) throw FormatError("standard input: a line is longer than 16 MiB");
      fill();
    }
  }

 private:
  void fill() {
    work_.throw_if_stopped();
    pollfd waited{STDIN_FILENO, POLLIN, 0};
    constexpr int kWaitMs = 100;   // how late a Ctrl-C may be seen
    const int ready = ::poll(&waited, 1, kWaitMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return;
    char piece[4096];
    const ssize_t count = ::read(STDIN_FILENO, piece, sizeof piece);
    if (count < 0 && errno != EINTR) throw_errno("standard input", "read", errno);
    if (count == 0) ended_ = true;
    if (count > 0) buffer_.append(piece, static_cast<std::size_t>(count));
  }

  const WorkContext& work_;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace

ExitStatus converse(RunModel& model, const GenerationConfig& config, const std::optional<tokenizer::Tokenizer>& tokenizer, ChatPrompt& chat, const Options& options, Session& session) {
  const bool events = options.find_text("format").value_or("") == "jsonl";
  const bool asks = ::isatty(STDIN_FILENO) == 1;
  Json messages = Json::array();
  if (options.given("system")) messages.push_back({{"role", "system"}, {"content", options.text("system")}});
  Lines lines(session.work);
  RunPlan plan;
  RunResult result;
  Generator generator(config, tokenizer, options, session, result);
  if (asks) session.notes.note("a message a line; an empty one or Ctrl-D ends");
  for (;;) {
    if (asks) session.notes.raw("> ");
    const std::optional<std::string> line = lines.next();
    if (!line && asks) session.notes.raw("\n");   // the shell's prompt is not to stand behind ours
    if (!line || (line->empty() && asks)) break;
    if (line->empty()) continue;
    messages.push_back({{"role", "user"}, {"content", *line}});
    const std::string text = chat.text({{"messages", messages}, {"add_generation_prompt", true}}, "the conversation");
    result = {};
    const TokenBatch prompt = pad_left({prompt_ids(*tokenizer, text, true)}, 0);
    if (!model.loaded) {
      constexpr std::int64_t kRoomTokens = 4096;   // later turns are longer than the first
      RunSize size = generator.size(prompt);
      const std::int64_t stated = stated_context(model.found.config.data);
      if (!options.given("context")) size.tokens = std::max(size.tokens, stated > 0 ? std::min(stated, kRoomTokens) : kRoomTokens);
      plan = plan_run(model, options, size, session);
      session.notes.note(plan_line(plan));
      load_run_model(model, plan.map, session);
    }
    result.describe(model, plan);
    if (events) print_start_event(result, model.loaded->graph(), session.out);
    generator.run(model, prompt, events ? Generator::Shown::events : Generator::Shown::pieces);
    session.out.flush();
    if (events) print_done_event(result, model.loaded->graph(), session.out);
    messages.push_back({{"role", "assistant"}, {"content", result.texts.front()}});
    session.notes.detail(run_summary(result));
  }
  return ExitStatus::done;
}

}  // namespace bigmodel::app
