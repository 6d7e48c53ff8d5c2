// SPDX-License-Identifier: Apache-2.0
#include "commands/hub_access.h"

#include <fmt/format.h>

#include <mutex>
#include <random>

#include "bigmodel/core/error.h"
#include "bigmodel/hub/curl_transport.h"
#include "bigmodel/io/read_file.h"
#include "version.h"

namespace bigmodel::app {
namespace {

constexpr std::uint64_t kTokenLimitBytes = 64 << 10;

bool has_option(const Options& options, std::string_view name) { return find_option(options.command(), name) != nullptr; }

}  // namespace

std::vector<OptionSpec> hub_option_rows() {
  return {
      {.name = "revision",
       .kind = ValueKind::text,
       .value_name = "REVISION",
       .help = "the branch, tag or commit of a Hub repository; the same as NAME@REVISION",
       .settable = false},
      {.name = "offline",
       .help = "use what is here and ask no server",
       .environment = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}},
      {.name = "token-file",
       .kind = ValueKind::path,
       .value_name = "FILE",
       .help = "read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token",
       .more = "There is no option for the token itself: other users of the machine could read it."},
  };
}

HubSettings hub_settings_of(const Options& options, const EnvironmentLookup& environment) {
  HubSettings out = hub_settings(environment);
  if (has_option(options, "offline") && options.flag("offline") && !out.offline) {
    out.offline = true;
    out.offline_source = "--offline";
  }
  if (has_option(options, "token-file") && options.given("token-file")) {
    const std::string file = options.text("token-file");
    out.token = cleaned_token(read_file(file, kTokenLimitBytes));
    out.token_source = file;
    if (out.token.empty()) throw UsageError(fmt::format("{}: holds no token", file), "--token-file names a file with nothing but a token");
  }
  return out;
}

RepoReference hub_repository(const std::string& argument, const Options& options, const HubSettings& settings) {
  RepoReference out = parse_repo_reference(argument, settings.endpoint);
  if (!has_option(options, "revision") || !options.given("revision")) return out;
  const std::string revision = options.text("revision");
  if (!out.revision.empty() && out.revision != revision) {
    throw UsageError(fmt::format("{}: names the revision '{}', but --revision says '{}'", argument, out.revision, revision), "give one");
  }
  if (const auto fault = revision_fault(revision)) throw UsageError(fmt::format("--revision: '{}' {}", revision, *fault));
  out.revision = revision;
  return out;
}

std::string repository_folder(const std::string& argument, const RepoReference& repo, const Options& options) {
  if (!options.given("subfolder")) return repo.path;
  const std::string subfolder = options.text("subfolder");
  if (const auto fault = repo_path_fault(subfolder)) throw UsageError(fmt::format("--subfolder: '{}' {}", subfolder, *fault));
  if (!repo.path.empty() && repo.path != subfolder) {
    throw UsageError(fmt::format("{}: names a place in the repository, and --subfolder another", argument), "give one");
  }
  return subfolder;
}

HubAccess::HubAccess(HubSettings settings, Session& session) : settings_(std::move(settings)) {
  CurlTransportOptions curl;
  curl.user_agent = fmt::format("bigmodel/{}", build_facts().version);
  if (!settings_.user_agent_origin.empty()) curl.user_agent += fmt::format("; origin/{}", settings_.user_agent_origin);
  curl.ca_file = settings_.ca_file;
  // Notes come from several threads; one line at a time, above the progress line.
  const auto mutex = std::make_shared<std::mutex>();
  const auto say = [mutex, &session](void (Notes::*how)(std::string_view)) {
    return [mutex, &session, how](const std::string& text) {
      const std::scoped_lock lock(*mutex);
      session.progress.clear();
      (session.notes.*how)(text);
    };
  };
  if (settings_.debug) curl.show_request = say(&Notes::note);
  notes_ = {say(&Notes::note), say(&Notes::warning)};
  for (const std::string& text : settings_.notes) session.notes.warning(text);
  transport_ = std::make_unique<CurlTransport>(std::move(curl));
  const auto random = [mutex, engine = std::make_shared<std::mt19937>(std::random_device{}())] {
    const std::scoped_lock lock(*mutex);
    return std::uniform_real_distribution<double>(0, 1)(*engine);
  };
  const std::stop_token stop = session.work.stop;
  WorkContext work = session.work;
  if (settings_.disable_progress_bars.value_or(false)) work.progress = {};
  client_ = std::make_unique<HubClient>(
      settings_, *transport_, std::move(work),
      HubClientHooks{[stop](std::chrono::milliseconds time) { sleep_until_stopped(time, stop); }, random, say(&Notes::warning)});
}

}  // namespace bigmodel::app
