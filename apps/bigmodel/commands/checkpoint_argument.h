// SPDX-License-Identifier: Apache-2.0
// The CHECKPOINT argument of commands that read weights: a folder, a file, an index, or a repository of the Hub.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "commands/command.h"

namespace bigmodel::app {

struct FoundCheckpoint {
  std::filesystem::path path;        ///< to open; of the Hub's headers alone the argument
  std::filesystem::path name;        ///< what an output is named after
  std::string source;                ///< "file", "folder", "cache" or "hub"
  std::optional<Checkpoint> opened;  ///< where finding it took reading its headers
  bool has_weights = true;           ///< false: only the headers are here, read from the Hub by byte ranges

  /// `opened`, else the path's. Throws what open_checkpoint throws.
  Checkpoint open(const OpenOptions& options) const;
};

enum class WantedPart { headers, all };

OptionSpec checkpoint_positional();
/// Which weights of a place: --variant, --under.
std::vector<OptionSpec> weight_option_rows();
/// The rows of the option table that go with the positional: those, --subfolder, those of hub_access.h.
std::vector<OptionSpec> checkpoint_option_rows();

/// --variant and --under of the call.
OpenOptions open_options(const Options& options);

/// Whether the argument is no path but the name of a repository.
bool names_repository(const std::string& argument, const Options& options, Session& session);

/// A path > the Hub's cache, where it has all of it > the Hub, of which what is wanted is fetched. `argument` empty: the current folder.
/// Throws NotFoundError, UsageError, NetworkError, AuthorisationError.
FoundCheckpoint find_checkpoint(const std::string& argument, WantedPart wanted, const Options& options, Session& session);
/// A second one of the call, all of it: --revision, --subfolder, --variant and --under do not speak of it.
FoundCheckpoint find_other_checkpoint(const std::string& argument, const Options& options, Session& session);

}  // namespace bigmodel::app
