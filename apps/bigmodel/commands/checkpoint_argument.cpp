// SPDX-License-Identifier: Apache-2.0
#include "commands/checkpoint_argument.h"

#include <fmt/format.h>

#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/core/error.h"
#include "bigmodel/hub/cache.h"
#include "commands/fetch_checkpoint.h"
#include "commands/hub_access.h"
#include "commands/stored_checkpoint.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;

/// The cache's copy, where every header of it is there.
std::optional<FoundCheckpoint> in_cache(const RepoReference& repo, const HubSettings& settings, const fs::path& name, const OpenOptions& open, Session& session) {
  std::vector<std::string> ids{repo.id};
  for (std::string& id : other_repo_ids(repo.id)) ids.push_back(std::move(id));
  for (const std::string& id : ids) {
    const auto cached = find_cached_snapshot(settings.cache, id, repo.revision_or_main());
    if (!cached) continue;
    const fs::path folder = repo.path.empty() ? cached->folder : cached->folder / repo.path;
    try {
      FoundCheckpoint out{.path = folder, .name = name, .source = "cache", .opened = open_checkpoint(folder, open)};
      // A variant that was fetched before is not what is asked for now.
      if (open.variant.empty() && !out.opened->files.empty() && !variant_of(out.opened->files.front().name).empty()) continue;
      session.notes.note(fmt::format("using cache {}@{}", id, cached->commit.substr(0, 7)));
      return out;
    } catch (const Error&) {
      // Fetching brings what is missing, and says what is wrong.
    }
  }
  return std::nullopt;
}

FoundCheckpoint of_repository(const std::string& argument, const RepoReference& repo, WantedPart wanted, HubSettings settings, const OpenOptions& open, Session& session) {
  const fs::path name = repo.id.substr(repo.id.find('/') + 1);
  if (auto cached = in_cache(repo, settings, name, open, session)) return *std::move(cached);
  HubAccess hub(std::move(settings), session);
  try {
    if (wanted == WantedPart::all) {
      return {.path = fetch_checkpoint(hub, repo.id, repo.revision_or_main(), {.folder = repo.path, .variant = open.variant}, session), .name = name, .source = "hub", .opened = {}};
    }
    const std::string commit = hub.client().resolve_commit(repo.id, repo.revision_or_main());
    return {.path = argument, .name = name, .source = "hub", .opened = hub_headers(hub, repo.id, commit, repo.path, {.variant = open.variant}, session), .has_weights = false};
  } catch (const RepoNotFoundError& e) {
    throw NotFoundError(fmt::format("{}: no such file or folder, and {}", argument, e.message()), e.hint());
  } catch (const NetworkError& e) {
    // A bare word, or a name in a folder that is here, is more likely a path that was mistyped.
    std::error_code error;
    if (repo.id.find('/') == std::string::npos || fs::is_directory(fs::path(argument).parent_path(), error)) throw NotFoundError(fmt::format("{}: no such file or folder, and no network to ask the Hub", argument), e.hint());
    throw NetworkError(fmt::format("{}: no such file or folder, and {}", argument, e.message()), e.hint());
  }
}

/// `place` says the revision, the folder and the variant.
FoundCheckpoint find(const std::string& argument, WantedPart wanted, const Options& place, HubSettings settings, Session& session) {
  if (!argument.empty()) {
    if (std::optional<RepoReference> repo = repository_argument(argument, place, settings)) {
      repo->path = repository_folder(argument, *repo, place);
      return of_repository(argument, *repo, wanted, std::move(settings), open_options(place), session);
    }
  }
  fs::path path = argument.empty() ? "." : argument;
  std::error_code error;
  const bool folder = fs::is_directory(path, error);
  if (place.given("subfolder")) {
    if (!folder) throw UsageError(fmt::format("--subfolder: {} is no folder", path.string()), "name the folder above, or leave --subfolder out");
    path /= place.text("subfolder");
  }
  return {.path = path, .name = path, .source = folder ? "folder" : "file", .opened = {}};
}

}  // namespace

Checkpoint FoundCheckpoint::open(const OpenOptions& options) const { return opened ? *opened : open_checkpoint(path, options); }

OptionSpec checkpoint_positional() {
  return {.name = "CHECKPOINT",
          .kind = ValueKind::path,
          .value_name = "CHECKPOINT",
          .help = "a folder, a weight file, an index.json or a repository of the Hub; without it the current folder"};
}

std::vector<OptionSpec> weight_option_rows() {
  return {
      {.name = "variant",
       .kind = ValueKind::text,
       .value_name = "NAME",
       .help = "take the weight files of a variant: fp16 is model.fp16.safetensors",
       .settable = false},
      {.name = "under",
       .kind = ValueKind::text,
       .value_name = "KEY",
       .help = "of a nested PyTorch file: take the tensors below KEY, such as state_dict, model or module",
       .settable = false},
  };
}

std::vector<OptionSpec> checkpoint_option_rows() {
  std::vector<OptionSpec> rows = weight_option_rows();
  rows.push_back({.name = "subfolder", .kind = ValueKind::text, .value_name = "FOLDER", .help = "where in the repository or folder the checkpoint is", .settable = false});
  for (OptionSpec& row : hub_option_rows()) rows.push_back(std::move(row));
  return rows;
}

OpenOptions open_options(const Options& options) {
  return {.under = options.find_text("under").value_or(""), .variant = options.find_text("variant").value_or(""), .findings = nullptr, .disk = nullptr};
}

bool names_repository(const std::string& argument, const Options& options, Session& session) {
  return repository_argument(argument, options, hub_settings_of(options, session.environment)).has_value();
}

FoundCheckpoint find_checkpoint(const std::string& argument, WantedPart wanted, const Options& options, Session& session) {
  return find(argument, wanted, options, hub_settings_of(options, session.environment), session);
}

FoundCheckpoint find_other_checkpoint(const std::string& argument, const Options& options, Session& session) {
  return find(argument, WantedPart::all, Options(options.command()), hub_settings_of(options, session.environment), session);
}

}  // namespace bigmodel::app
