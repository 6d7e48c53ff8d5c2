// SPDX-License-Identifier: Apache-2.0
#include "commands/tokenizer_argument.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/tokenizer_folder.h"
#include "commands/hub_access.h"

namespace bigmodel::app {

std::filesystem::path find_tokenizer(const std::string& argument, const Options& options, Session& session) {
  if (std::filesystem::exists(argument)) return argument;
  if (argument.starts_with('/') || argument.starts_with('.') || argument.starts_with('~')) throw NotFoundError(fmt::format("{}: no such file or folder", argument));
  HubAccess hub(hub_settings_of(options, session.environment), session);
  const RepoReference repo = hub_repository(argument, options, hub.client().settings());
  const DownloadPlan plan = plan_download(hub.client(), repo.id, repo.revision_or_main(), tokenizer::tokenizer_files(), {});
  if (plan.files.empty()) throw NotFoundError(fmt::format("{}: the repository has no tokenizer files", argument));
  download(hub.client(), plan, 4, hub.notes());
  session.progress.clear();
  return plan.folder;
}

}  // namespace bigmodel::app
