// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/cache_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "bigmodel/core/error.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 96;
constexpr std::size_t kCommitDigits = 40;
constexpr std::string_view kFolderPrefix = "models--";

bool is_commit(std::string_view text) {
  return text.size() == kCommitDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<std::string> part_fault(std::string_view part) {
  if (part.empty()) return "has an empty part";
  if (part.size() > kLongestName) return fmt::format("has a part longer than {} characters", kLongestName);
  for (const char c : part) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.' && c != '-') {
      return "has a character other than letters, digits, '_', '.' and '-'";
    }
  }
  if (part.find("--") != std::string_view::npos || part.find("..") != std::string_view::npos) return "has '--' or '..'";
  if (part.front() == '-' || part.front() == '.' || part.back() == '-' || part.back() == '.') {
    return "begins or ends with '-' or '.'";
  }
  return std::nullopt;
}

/// Branches and tags may have slashes (refs/pr/1), but no part that climbs.
bool is_safe_revision(std::string_view revision) {
  if (revision.empty() || revision.size() > 255 || revision.front() == '/') return false;
  const fs::path path(revision);
  return std::ranges::none_of(path, [](const fs::path& part) { return part == ".." || part == "." || part.empty(); });
}

}  // namespace

std::optional<std::string> repo_id_fault(std::string_view repo_id) {
  const std::size_t slash = repo_id.find('/');
  if (slash == std::string_view::npos) {
    if (repo_id.ends_with(".git")) return "ends with '.git'";
    return part_fault(repo_id);
  }
  if (repo_id.find('/', slash + 1) != std::string_view::npos) return "has more than one '/'";
  if (repo_id.ends_with(".git")) return "ends with '.git'";
  if (auto fault = part_fault(repo_id.substr(0, slash))) return fault;
  return part_fault(repo_id.substr(slash + 1));
}

std::optional<CachedSnapshot> find_cached_snapshot(const fs::path& cache, std::string_view repo_id, std::string_view revision) {
  if (repo_id_fault(repo_id) || !is_safe_revision(revision)) return std::nullopt;
  std::string folder(repo_id);
  if (const std::size_t slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
  const fs::path repo = cache / fmt::format("{}{}", kFolderPrefix, folder);
  std::string commit(revision);
  if (!is_commit(commit)) {
    try {
      commit = read_file(repo / "refs" / commit, 4096);
    } catch (const Error&) {
      return std::nullopt;
    }
    while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())) != 0) commit.pop_back();
    if (!is_commit(commit)) return std::nullopt;
  }
  std::error_code error;
  const fs::path snapshot = repo / "snapshots" / commit;
  if (!fs::is_directory(snapshot, error)) return std::nullopt;
  return CachedSnapshot{snapshot, commit};
}

std::vector<std::string> cached_repo_ids(const fs::path& cache) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(cache, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.starts_with(kFolderPrefix)) continue;
    name.erase(0, kFolderPrefix.size());
    if (const std::size_t dashes = name.find("--"); dashes != std::string::npos) name.replace(dashes, 2, "/");
    if (!repo_id_fault(name)) out.push_back(std::move(name));
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace bigmodel
