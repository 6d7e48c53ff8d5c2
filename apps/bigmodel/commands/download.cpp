// SPDX-License-Identifier: Apache-2.0
#include "commands/download.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/hub/fetch.h"
#include "bigmodel/hub/repo_id.h"
#include "commands/hub_access.h"
#include "render/json_text.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMostConnections = 64;

const CommandSpec& spec() {
  static const CommandSpec kSpec = [] {
    CommandSpec out{
        .name = "download",
        .summary = "fetch a repository of the Hub into the cache",
        .description =
            {"Brings what is missing into the cache that huggingface_hub uses too, and prints the folder. Every file is checked against the "
             "digest that names it; what an interrupted call left is continued, large files come in parallel ranges.",
             "Revisions are resolved once, so that all files are of one commit. With --offline nothing is asked and the folder is printed if "
             "everything is there."},
        .positionals = {{.name = "REPO",
                         .kind = ValueKind::text,
                         .value_name = "REPO",
                         .help = "NAME, NAME@REVISION, hf://NAME/FILE or an address of the Hub",
                         .required = true}},
        .options = {{.name = "include",
                     .kind = ValueKind::text,
                     .value_name = "PATTERN",
                     .help = "only files that match, such as '*.safetensors'",
                     .list = ListStyle::commas,
                     .more = "* also matches '/'; a pattern that ends in '/' means everything below."},
                    {.name = "exclude",
                     .kind = ValueKind::text,
                     .value_name = "PATTERN",
                     .help = "no files that match",
                     .list = ListStyle::commas},
                    {.name = "subfolder",
                     .kind = ValueKind::text,
                     .value_name = "FOLDER",
                     .help = "only what lies in this folder of the repository",
                     .settable = false},
                    {.name = "connections",
                     .kind = ValueKind::integer,
                     .value_name = "N",
                     .help = "at most so many requests at a time",
                     .default_text = "8"},
                    {.name = "dry-run", .letter = 'n', .help = "list what would be fetched, and fetch nothing", .settable = false}},
        .examples = {{"bigmodel download gpt2", "everything, and the folder on standard output"},
                     {"bigmodel download google-bert/bert-base-cased --include '*.safetensors,*.json'", "without other formats"},
                     {"bigmodel download google-bert/bert-base-cased --subfolder onnx", "one folder of it"},
                     {"bigmodel download gpt2@refs/pr/1 --dry-run", "what a pull request's revision would bring"}},
        .stoppable = true};
    for (OptionSpec& row : hub_option_rows()) out.options.push_back(std::move(row));
    return out;
  }();
  return kSpec;
}

Json plan_json(const DownloadPlan& plan) {
  Json files = Json::array();
  for (const PlannedFile& planned : plan.files) {
    files.push_back({{"path", planned.file.path}, {"size_bytes", planned.file.size_bytes}, {"cached", planned.cached}});
  }
  return {{"schema", "bigmodel.download/1"},
          {"repo", plan.repo_id},
          {"revision", plan.revision},
          {"commit", plan.commit},
          {"folder", plan.folder.string()},
          {"files", std::move(files)},
          {"total_bytes", plan.total_bytes()},
          {"missing_bytes", plan.missing_bytes()}};
}

std::size_t missing_files(const DownloadPlan& plan) {
  return static_cast<std::size_t>(std::ranges::count_if(plan.files, [](const PlannedFile& planned) { return !planned.cached; }));
}

void print_plan(const DownloadPlan& plan, Output& out) {
  TextTable table{{{"file"}, {"size", Align::right}, {""}}, {}};
  for (const PlannedFile& planned : plan.files) {
    table.rows.push_back({planned.file.path, format_decimal(planned.file.size_bytes), planned.cached ? "cached" : ""});
  }
  out.print("would fetch {} of {} files of {}@{}, {} of {}\n", missing_files(plan), plan.files.size(), plan.repo_id, plan.commit.substr(0, 7),
            format_decimal(plan.missing_bytes()), format_decimal(plan.total_bytes()));
  out.write(plain_table(table));
}

DownloadPlan make_plan(const Options& options, HubClient& client) {
  const RepoReference repo = hub_repository(options.text("REPO"), options, client.settings());
  std::vector<std::string> include = options.list("include");
  const std::string place = repository_folder(options.text("REPO"), repo, options);
  if (!place.empty()) {
    const std::string object = repo.path.empty() ? "--subfolder" : options.text("REPO");
    if (!include.empty()) throw UsageError(fmt::format("{}: names a file or folder, and --include others", object), "give one");
    include = {place, place + "/"};
  }
  const std::vector<std::string> exclude = options.list("exclude");
  DownloadPlan plan = plan_download(client, repo.id, repo.revision_or_main(), include, exclude);
  if (plan.files.empty()) {
    throw NotFoundError(fmt::format("{}: no file of the repository matches", options.text("REPO")), repo.path.empty() && !place.empty() ? "check --subfolder and --exclude" : "check --include and --exclude");
  }
  return plan;
}

ExitStatus run(const Options& options, Session& session) {
  const std::int64_t connections = options.find_integer("connections").value_or(8);
  if (connections < 1 || connections > kMostConnections) {
    throw UsageError(fmt::format("--connections: expected 1 to {}, got {}", kMostConnections, connections));
  }
  HubAccess hub(hub_settings_of(options, session.environment), session);
  const DownloadPlan plan = make_plan(options, hub.client());
  const bool json = options.flag("json");
  if (options.flag("dry-run")) {
    if (json) {
      session.out.line(json_text(plan_json(plan), session.out.terminal().is_tty));
    } else {
      print_plan(plan, session.out);
    }
    return ExitStatus::done;
  }
  const auto begin = std::chrono::steady_clock::now();
  const DownloadResult result = download(hub.client(), plan, static_cast<unsigned>(connections), hub.notes());
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  session.progress.clear();
  if (json) {
    Json out = plan_json(plan);
    out["downloaded_files"] = result.downloaded_files;
    out["received_bytes"] = result.received_bytes;
    out["resumed_bytes"] = result.resumed_bytes;
    out["elapsed_ms"] = elapsed.count();
    session.out.line(json_text(out, session.out.terminal().is_tty));
    return ExitStatus::done;
  }
  const std::string resumed = result.resumed_bytes == 0 ? "" : fmt::format(", {} were there already", format_decimal(result.resumed_bytes));
  session.notes.note(fmt::format("{}@{}: {} files, {} fetched{}", plan.repo_id, plan.commit.substr(0, 7), plan.files.size(),
                                 format_decimal(result.received_bytes), resumed));
  session.out.line(plan.folder.string());
  return ExitStatus::done;
}

}  // namespace

Command download_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
