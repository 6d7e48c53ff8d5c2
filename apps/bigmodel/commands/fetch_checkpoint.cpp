// SPDX-License-Identifier: Apache-2.0
#include "commands/fetch_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/hub/fetch.h"
#include "bigmodel/hub/repo_id.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostTextBytes = std::uint64_t{200} << 20;

bool is_text(std::string_view name) {
  if (name.find(".index.") != std::string_view::npos) return false;  // one of the weights, or of a variant of them
  constexpr std::string_view kSuffixes[] = {".json", ".txt", ".model", ".jinja", ".tiktoken"};
  return name == "README.md" || name.starts_with("LICENSE") || std::ranges::any_of(kSuffixes, [&](std::string_view s) { return name.ends_with(s); });
}

/// The weights as transformers chooses them.
std::set<std::string> wanted_weights(HubAccess& hub, const DownloadPlan& plan, const std::string& prefix, const std::string& variant) {
  const auto has = [&](const std::string& name) {
    return std::ranges::any_of(plan.files, [&](const PlannedFile& planned) { return planned.file.path == prefix + name; });
  };
  for (const auto& [name, is_index] : weight_names(variant)) {
    if (!has(name)) continue;
    std::set<std::string> out{prefix + name};
    if (!is_index) return out;
    const FetchedFile index = fetch_file(hub.client(), plan.repo_id, plan.commit, prefix + name, hub.notes());
    for (const std::string& shard : read_checkpoint_index(index.path).shards) {
      if (!has(shard)) throw NotFoundError(fmt::format("{}: {} names {}, which the repository lacks", plan.repo_id, name, shard));
      out.insert(prefix + shard);
    }
    return out;
  }
  std::set<std::string_view> variants;
  for (const PlannedFile& planned : plan.files) {
    if (planned.file.path.starts_with(prefix)) variants.insert(variant_of(std::string_view(planned.file.path).substr(prefix.size())));
  }
  variants.erase("");
  throw NotFoundError(fmt::format("{}: the repository has no safetensors and no PyTorch weights{}{}", plan.repo_id, variant.empty() ? "" : fmt::format(" of variant \"{}\"", variant),
                                  prefix.empty() ? "" : fmt::format(" in {}", prefix)),
                      variants.empty() ? "bigmodel download lists what it has with --dry-run" : fmt::format("it has --variant {}", fmt::join(variants, ", ")));
}

}  // namespace

fs::path fetch_checkpoint(HubAccess& hub, const std::string& repo_id, const std::string& revision, const RepositoryPart& part, Session& session) {
  constexpr unsigned kConnections = 8;
  DownloadPlan plan = plan_download(hub.client(), repo_id, revision, {}, {});
  const std::string prefix = part.folder.empty() ? "" : part.folder + "/";
  const std::set<std::string> weights = wanted_weights(hub, plan, prefix, part.variant);
  std::erase_if(plan.files, [&](const PlannedFile& planned) {
    const std::string& path = planned.file.path;
    if (weights.contains(path)) return false;
    if (!path.starts_with(prefix) || path.find('/', prefix.size()) != std::string::npos) return true;
    return !is_text(std::string_view(path).substr(prefix.size())) || planned.file.size_bytes > kMostTextBytes;
  });
  if (plan.missing_bytes() > 0) {
    session.notes.note(fmt::format("fetching {} of {}@{}", format_decimal(plan.missing_bytes()), repo_id, plan.commit.substr(0, 7)));
  }
  download(hub.client(), plan, kConnections, hub.notes());
  session.progress.clear();
  return part.folder.empty() ? plan.folder : plan.folder / part.folder;
}

std::optional<RepoReference> repository_argument(const std::string& argument, const Options& options, const HubSettings& settings) {
  std::error_code error;
  if (fs::exists(argument, error)) return std::nullopt;
  if (argument.find("://") == std::string::npos) {
    constexpr std::string_view kFiles[] = {".safetensors", ".bin", ".pt", ".pth", ".json", ".ckpt"};
    const bool path_like = argument.starts_with('/') || argument.starts_with('.') || argument.ends_with('/') ||
                           std::ranges::any_of(kFiles, [&](std::string_view s) { return argument.ends_with(s); });
    if (path_like || repo_id_fault(argument.substr(0, argument.find('@')))) return std::nullopt;
  }
  return hub_repository(argument, options, settings);
}

}  // namespace bigmodel::app
