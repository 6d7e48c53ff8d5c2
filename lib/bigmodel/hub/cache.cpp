// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <system_error>

#include "bigmodel/core/error.h"
#include "bigmodel/hub/repo_id.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolderPrefix = "models--";
constexpr std::size_t kMostFiles = 100'000;
constexpr int kDeepestFolder = 32;
constexpr std::uint64_t kTreeLimitBytes = std::uint64_t{64} << 20;

/// Blob names of LFS files are theirs, of other files the git one.
std::optional<RepoFile> tree_entry(const std::string& path, const nlohmann::ordered_json& info) {
  if (!info.is_object() || repo_path_fault(path)) return std::nullopt;
  RepoFile out{path, 0, {}};
  for (const auto& [key, value] : info.items()) {
    if (key == "size" && value.is_number_unsigned()) out.size_bytes = value.get<std::uint64_t>();
    if (key == "blob_id" && value.is_string() && out.etag.empty()) out.etag = value.get<std::string>();
  }
  for (const auto& [key, value] : info.items()) {
    if (key == "lfs_sha256" && value.is_string()) out.etag = value.get<std::string>();
    if (key == "lfs_size" && value.is_number_unsigned()) out.size_bytes = value.get<std::uint64_t>();
  }
  return out;
}

}  // namespace

std::string repo_folder_name(std::string_view repo_id) {
  std::string out = fmt::format("{}{}", kFolderPrefix, repo_id);
  if (const std::size_t slash = out.find('/'); slash != std::string::npos) out.replace(slash, 1, "--");
  return out;
}

std::optional<std::string> cached_commit(const fs::path& cache, std::string_view repo_id, std::string_view revision) {
  if (repo_id_fault(repo_id) || revision_fault(revision)) return std::nullopt;
  std::string commit(revision);
  if (is_commit_hash(commit)) return commit;
  try {
    commit = read_file(cache / repo_folder_name(repo_id) / "refs" / commit, 4096);
  } catch (const Error&) {
    return std::nullopt;
  }
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())) != 0) commit.pop_back();
  if (!is_commit_hash(commit)) return std::nullopt;
  return commit;
}

std::optional<CachedSnapshot> find_cached_snapshot(const fs::path& cache, std::string_view repo_id, std::string_view revision) {
  const std::optional<std::string> commit = cached_commit(cache, repo_id, revision);
  if (!commit) return std::nullopt;
  std::error_code error;
  const fs::path snapshot = cache / repo_folder_name(repo_id) / "snapshots" / *commit;
  if (!fs::is_directory(snapshot, error)) return std::nullopt;
  return CachedSnapshot{snapshot, *commit};
}

CachedFile find_cached_file(const fs::path& cache, std::string_view repo_id, std::string_view path, std::string_view revision) {
  CachedFile out;
  const std::optional<std::string> commit = cached_commit(cache, repo_id, revision);
  if (!commit || repo_path_fault(path)) return out;
  out.commit = *commit;
  const fs::path repo = cache / repo_folder_name(repo_id);
  std::error_code error;
  if (fs::exists(repo / ".no_exist" / *commit / path, error)) {
    out.state = CachedFile::State::known_missing;
    return out;
  }
  fs::path file = repo / "snapshots" / *commit / path;
  if (!fs::is_regular_file(file, error)) return out;
  out.state = CachedFile::State::found;
  out.path = std::move(file);
  return out;
}

std::vector<RepoFile> snapshot_files(const fs::path& snapshot) {
  std::vector<RepoFile> out;
  std::error_code error;
  fs::recursive_directory_iterator it(snapshot, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; !error && it != end; it.increment(error)) {
    if (it.depth() > kDeepestFolder) it.disable_recursion_pending();
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    RepoFile file{it->path().lexically_relative(snapshot).generic_string(), it->file_size(ignored), {}};
    if (ignored) continue;
    const fs::path blob = it->is_symlink(ignored) ? fs::read_symlink(it->path(), ignored).filename() : fs::path();
    file.etag = blob.string();
    out.push_back(std::move(file));
    if (out.size() == kMostFiles) break;
  }
  std::ranges::sort(out, {}, &RepoFile::path);
  return out;
}

std::optional<std::vector<RepoFile>> cached_tree(const fs::path& cache, std::string_view repo_id, std::string_view commit) {
  if (repo_id_fault(repo_id) || !is_commit_hash(commit)) return std::nullopt;
  const fs::path file = cache / repo_folder_name(repo_id) / "trees" / fmt::format("{}.json", commit);
  std::vector<RepoFile> out;
  try {
    const nlohmann::ordered_json json = read_json_file(file, {.size_bytes = kTreeLimitBytes});
    if (!json.is_object()) return std::nullopt;
    bool known_version = false;
    for (const auto& [key, value] : json.items()) {
      if (key == "format_version") known_version = value.is_number_integer() && value.get<std::int64_t>() == 1;
      if (key != "files" || !value.is_object()) continue;
      for (const auto& [path, info] : value.items()) {
        std::optional<RepoFile> entry = tree_entry(path, info);
        if (!entry) return std::nullopt;
        out.push_back(*std::move(entry));
      }
    }
    if (!known_version) return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;  // as the reference does: what cannot be read is as good as absent
  }
  std::ranges::sort(out, {}, &RepoFile::path);
  return out;
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
