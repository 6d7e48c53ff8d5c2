// SPDX-License-Identifier: Apache-2.0
// The MODEL argument of commands: which config it means, where that was found, and the graph that is built from it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/config.h"
#include "bigmodel/spec/spec_library.h"
#include "commands/command.h"

namespace bigmodel::app {

struct FoundModel {
  std::string argument;  ///< as given
  std::string source;    ///< "file", "folder", "catalog", "cache" or "hub"
  std::string place;     ///< what was used, for people: a path, a catalog entry
  Config config;
  std::optional<std::filesystem::path> folder;  ///< where its checkpoint files would be
  std::string repo_id = {};   ///< of "cache" and "hub": under which id it was found
  std::string commit = {};    ///< of "cache" and "hub": 40 hex digits
  std::string repo_folder = {};  ///< where in the repository the config lies; empty: at its root
  std::shared_ptr<const Checkpoint> checkpoint = {};  ///< its headers, under --exact (stored_checkpoint.h)
};

/// Rows of the option table that every command with a MODEL takes: --class, --library-name, --arch-dir, --subfolder, those of
/// hub_access.h, --trust-remote-code.
/// `default_class` is "base" (what the published numbers count) or "auto" (what runs), and is offered first.
std::vector<OptionSpec> model_option_rows(std::string_view default_class = "base");
/// --arch-dir alone, for commands that read descriptions without a MODEL.
OptionSpec arch_dir_option();
/// The positional itself.
OptionSpec model_positional(bool repeated);

/// A path (`-` is a config.json on standard input) > the Hub cache > the catalog and timm's own names > the Hub, of which only
/// config.json is fetched. Names are written as repo_id.h reads them; a revision leaves the catalog out. Says on stderr which
/// was used. Throws NotFoundError with near names, FormatError, UnsupportedError, NetworkError, AuthorisationError.
FoundModel find_model(const std::string& argument, const spec::SpecLibrary& library, const Options& options,
                      Session& session);

/// The same for a command that reads weights: the catalog, which has none, is left out, and what the cache lacks of the repository's
/// checkpoint is fetched. `folder` then holds it.
FoundModel find_model_with_weights(const std::string& argument, const spec::SpecLibrary& library, const Options& options, Session& session);

/// Names that MODEL can have besides paths: those of the Hub cache and the catalog.
std::vector<std::string> known_model_names(const EnvironmentLookup& environment);

/// Where the Hub cache is (hub/settings.h).
std::filesystem::path hub_cache_folder(const EnvironmentLookup& environment);

/// The built-in descriptions, then ~/.config/bigmodel/arch, then --arch-dir.
std::unique_ptr<spec::SpecLibrary> load_descriptions(const Options& options, Session& session);

/// The text of a description by its file name, for explanations; empty where it cannot be had.
std::string description_text(const std::string& file, const Options& options, Session& session);

/// Where the model's checkpoint files would be. Only of a model with a folder.
std::filesystem::path checkpoint_folder(const FoundModel& model);

/// The graph of the model's description; of a type without one, that of the checkpoint's tensor names, with MetaGraph::assumptions.
/// Keys of the config that the description never reads are said under --verbose.
MetaGraph build_graph(spec::SpecLibrary& library, const FoundModel& model, const BuildOptions& build, Session& session);

/// Of the class that the checkpoint names, with disk rules; of the base where the description does not have that class.
MetaGraph build_checkpoint_graph(spec::SpecLibrary& library, const Config& config);

/// What every command says about a model: unread structural keys, quantisation.
std::vector<std::string> model_warnings(const FoundModel& model, const MetaGraph& graph);

}  // namespace bigmodel::app
