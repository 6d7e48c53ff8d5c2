// SPDX-License-Identifier: Apache-2.0
// How repositories of the Hub are written: ids, id@revision, hf:// and web addresses; which texts are valid, and old names.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

/// A model repository as someone wrote it.
struct RepoReference {
  std::string id;        ///< "name" or "namespace/name", case as typed
  std::string revision;  ///< branch, tag, refs/pr/N or commit, decoded; empty where none was written
  std::string path;      ///< file or folder inside the repository; empty where none was written

  /// What to ask for: the revision, else "main".
  std::string revision_or_main() const { return revision.empty() ? "main" : revision; }
};

/// The broken rule of a repository id in a few words, or nullopt for a valid one (`name` or `namespace/name`).
std::optional<std::string> repo_id_fault(std::string_view repo_id);

/// The same of a revision: what is valid forms a path under refs/ that does not climb.
std::optional<std::string> revision_fault(std::string_view revision);

/// The same of a file's path inside a repository.
std::optional<std::string> repo_path_fault(std::string_view path);

/// 40 lower-case hexadecimal digits: a full commit, which needs no resolving.
bool is_commit_hash(std::string_view text);

/// Reads `id`, `id@revision`, `hf://[models/]id[@revision][/path]` and web addresses of huggingface.co, hf.co or the
/// endpoint with blob, raw, resolve, tree or blame in them. refs/pr/N and refs/convert/X bind whole; any other slash of a
/// revision is written %2F in addresses and may be plain in `id@revision`.
/// Throws UsageError that names the broken rule; datasets and spaces are refused by name.
RepoReference parse_repo_reference(std::string_view text, std::string_view endpoint = "https://huggingface.co");

/// Other ids under which the same repository is known: bert-base-cased is google-bert/bert-base-cased since the Hub moved
/// names without a namespace. The table holds the well-known ones; empty for all others. Works both ways.
std::vector<std::string> other_repo_ids(std::string_view repo_id);

/// Percent-encodes everything but letters, digits, '-', '_', '.' and '~'; '/' stays where `keep_slashes` is set.
std::string percent_encoded(std::string_view text, bool keep_slashes);

/// The opposite; nullopt for a bad escape or a decoded NUL.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace bigmodel
