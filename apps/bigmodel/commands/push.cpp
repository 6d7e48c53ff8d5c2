// SPDX-License-Identifier: Apache-2.0
#include "commands/push.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/hub/push.h"
#include "bigmodel/hub/repo_id.h"
#include "commands/hub_access.h"
#include "render/json_text.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

const CommandSpec& spec() {
  static const CommandSpec kSpec = [] {
    CommandSpec out{
        .name = "push",
        .summary = "publish a folder on the Hub",
        .description =
            {"Creates the repository if it is not there, asks the Hub how it wants each file, uploads large ones to its storage and the others "
             "with the commit. Files that the repository has already are not sent again; nothing is visible before the commit, which is one. "
             "Files of the repository that the folder lacks stay.",
             "Needs a token with write permission: HF_TOKEN, the one that `hf auth login` keeps, or --token-file."},
        .positionals = {{.name = "FOLDER", .kind = ValueKind::path, .value_name = "FOLDER", .help = "what to publish", .required = true},
                        {.name = "REPO",
                         .kind = ValueKind::text,
                         .value_name = "REPO",
                         .help = "NAMESPACE/NAME, or NAME for one of your own",
                         .required = true}},
        .options = {{.name = "message", .letter = 'm', .kind = ValueKind::text, .value_name = "TEXT", .help = "the commit's first line",
                     .default_text = "Upload with bigmodel", .settable = false},
                    {.name = "include", .kind = ValueKind::text, .value_name = "PATTERN", .help = "only files that match, such as '*.safetensors'",
                     .list = ListStyle::commas, .more = "* also matches '/'; a pattern that ends in '/' means everything below."},
                    {.name = "exclude", .kind = ValueKind::text, .value_name = "PATTERN", .help = "no files that match", .list = ListStyle::commas},
                    {.name = "private", .help = "where the repository is created, make it private"},
                    {.name = "create-pr", .help = "commit to a new pull request instead of the branch", .settable = false},
                    {.name = "connections", .kind = ValueKind::integer, .value_name = "N", .help = "at most so many uploads at a time",
                     .default_text = "4"},
                    {.name = "dry-run", .letter = 'n', .help = "list what would be sent and how, and change nothing", .settable = false}},
        .examples = {{"bigmodel push ./model-sharded me/my-model --dry-run", "what would be sent"},
                     {"bigmodel push ./model-sharded me/my-model --private", "publish what `bigmodel shard` wrote"},
                     {"bigmodel push . me/my-model --include '*.md' --create-pr", "propose a new README"}},
        .stoppable = true};
    for (OptionSpec& row : hub_option_rows()) out.options.push_back(std::move(row));
    return out;
  }();
  return kSpec;
}

struct Sizes {
  std::uint64_t total = 0, sent = 0;
  std::size_t sent_files = 0;
};

Sizes sizes_of(const PushPlan& plan) {
  Sizes out;
  for (const PushFile& file : plan.files) {
    out.total += file.size_bytes;
    if (file.mode != PushFile::Mode::regular && file.mode != PushFile::Mode::lfs) continue;
    out.sent += file.size_bytes;
    ++out.sent_files;
  }
  return out;
}

Json plan_json(const std::string& folder, const PushPlan& plan) {
  Json files = Json::array();
  for (const PushFile& file : plan.files) files.push_back({{"path", file.path}, {"size_bytes", file.size_bytes}, {"mode", to_string(file.mode)}});
  return {{"schema", "bigmodel.push/1"}, {"folder", folder}, {"repo", plan.repo_id}, {"revision", plan.revision}, {"files", std::move(files)},
          {"total_bytes", sizes_of(plan).total}};
}

void print_plan(const PushPlan& plan, const std::string& folder, Output& out) {
  const Sizes sizes = sizes_of(plan);
  TextTable table{{{"file"}, {"size", Align::right}, {"how"}}, {}};
  for (const PushFile& file : plan.files) table.rows.push_back({file.path, format_decimal(file.size_bytes), std::string(to_string(file.mode))});
  out.print("would send {} of {} files of {} to {}, {} of {}\n", sizes.sent_files, plan.files.size(), folder, plan.repo_id, format_decimal(sizes.sent),
            format_decimal(sizes.total));
  out.write(plain_table(table));
}

/// Asks the Hub where that needs no repository to be made; else the plan keeps its guesses.
void ask_for_dry_run(HubAccess& hub, PushPlan& plan, Session& session) {
  if (hub.settings().offline || hub.settings().token.empty()) {
    session.notes.note("the Hub is not asked: how files go is guessed by name and size");
    return;
  }
  try {
    ask_modes(hub.client(), plan);
  } catch (const RepoNotFoundError&) {
    session.notes.note(fmt::format("{} is not there yet: how files go is guessed by name and size", plan.repo_id));
  }
}

ExitStatus run(const Options& options, Session& session) {
  const std::int64_t connections = options.find_integer("connections").value_or(4);
  if (connections < 1 || connections > 64) throw UsageError(fmt::format("--connections: expected 1 to 64, got {}", connections));
  HubAccess hub(hub_settings_of(options, session.environment), session);
  const RepoReference repo = hub_repository(options.text("REPO"), options, hub.settings());
  if (!repo.path.empty()) throw UsageError(fmt::format("{}: names a place in a repository, expected a repository", options.text("REPO")));
  const std::string folder = options.text("FOLDER");
  const std::vector<std::string> include = options.list("include");
  const std::vector<std::string> exclude = options.list("exclude");
  PushPlan plan = plan_push(folder, repo.id, repo.revision_or_main(), include, exclude);
  if (plan.files.empty()) throw NotFoundError(fmt::format("{}: no file to send", folder), "check the folder, --include and --exclude");
  const bool json = options.flag("json");
  if (options.flag("dry-run")) {
    ask_for_dry_run(hub, plan, session);
    session.progress.clear();
    if (json) {
      Json out = plan_json(folder, plan);
      out["assumed"] = plan.assumed;
      session.out.line(json_text(out, session.out.terminal().is_tty));
    } else {
      print_plan(plan, folder, session.out);
    }
    return ExitStatus::done;
  }
  if (hub.settings().offline) {
    throw NetworkError(fmt::format("{}: the network is off ({})", repo.id, hub.settings().offline_source), "allow the network, or pass --dry-run");
  }
  if (hub.settings().token.empty()) {
    throw AuthorisationError(fmt::format("{}: publishing needs a token, and there is none", repo.id),
                             "set HF_TOKEN, run `hf auth login`, or pass --token-file");
  }
  const auto begin = std::chrono::steady_clock::now();
  bool created = false;
  plan.repo_id = create_repository(hub.client(), plan.repo_id, options.flag("private"), created);
  if (created) session.notes.note(fmt::format("created {}{}", plan.repo_id, options.flag("private") ? ", private" : ""));
  ask_modes(hub.client(), plan);
  const PushResult result = push(hub.client(), plan,
                                 {.message = options.text("message"), .create_pr = options.flag("create-pr"), .connections = static_cast<unsigned>(connections)});
  session.progress.clear();
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  if (json) {
    Json out = plan_json(folder, plan);
    out["created"] = created;
    if (!result.commit.empty()) out["commit"] = result.commit;
    if (!result.commit_url.empty()) out["commit_url"] = result.commit_url;
    if (!result.pull_request_url.empty()) out["pull_request_url"] = result.pull_request_url;
    out["sent_bytes"] = result.sent_bytes;
    out["known_bytes"] = result.known_bytes;
    out["elapsed_ms"] = elapsed.count();
    session.out.line(json_text(out, session.out.terminal().is_tty));
    return ExitStatus::done;
  }
  if (result.commit.empty()) {
    session.notes.note(fmt::format("{} has all {} files already: no commit", plan.repo_id, plan.files.size()));
    session.out.line(fmt::format("{}/{}", hub.settings().endpoint, plan.repo_id));
    return ExitStatus::done;
  }
  session.notes.note(fmt::format("{}: {} of {} files, {} sent", plan.repo_id, sizes_of(plan).sent_files, plan.files.size(), format_decimal(result.sent_bytes)));
  session.out.line(!result.pull_request_url.empty() ? result.pull_request_url : !result.commit_url.empty() ? result.commit_url : result.commit);
  return ExitStatus::done;
}

}  // namespace

Command push_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
