// SPDX-License-Identifier: Apache-2.0
#include "commands/model_argument.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <system_error>
#include <tuple>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/hub/cache.h"
#include "bigmodel/hub/repo_id.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/model/catalog.h"
#include "bigmodel/model/graph_from_checkpoint.h"
#include "commands/fetch_checkpoint.h"
#include "commands/hub_access.h"
#include "commands/stored_checkpoint.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kConfigLimitBytes = std::uint64_t{16} << 20;

ConfigLibrary config_library(const Options& options) {
  const std::string name = options.text("library-name");
  if (name == "timm") return ConfigLibrary::timm;
  return name == "transformers" ? ConfigLibrary::transformers : ConfigLibrary::automatic;
}

bool looks_like_path(std::string_view argument) {
  if (argument.find("://") != std::string_view::npos) return false;
  return argument.starts_with('/') || argument.starts_with("./") || argument.starts_with("../") || argument == "." ||
         argument == ".." || argument.ends_with(".json") || argument.ends_with('/');
}

/// A config.json's text as a Config; what people take for one is called by its name.
Config config_of(const fs::path& path, const Options& options) {
  const std::string text = read_file(path, kConfigLimitBytes);
  if (text.starts_with("PK\x03\x04") || text.starts_with("\x80")) {
    throw FormatError(fmt::format("{}: a PyTorch checkpoint (pickle), expected a config.json", path.string()),
                      "name the config.json beside it, or its folder");
  }
  if (text.starts_with("version https://git-lfs")) {
    throw FormatError(fmt::format("{}: a Git LFS pointer, not the file itself", path.string()), "run `git lfs pull` in its folder");
  }
  return parse_config(text, path.string(), config_library(options));
}

bool is_checkpoint_name(const fs::path& path) {
  constexpr std::array<std::string_view, 5> kEndings = {".safetensors", ".bin", ".pt", ".pth", ".gguf"};
  return std::ranges::find(kEndings, path.extension().string()) != kEndings.end();
}

FoundModel from_path(const std::string& argument, const Options& options) {
  fs::path path = argument;
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    if (fs::exists(path, error) && is_checkpoint_name(path)) {
      throw FormatError(fmt::format("{}: a checkpoint file, expected a config.json or a folder", argument),
                        "name the folder with its config.json");
    }
    if (fs::exists(path, error) && options.given("subfolder")) {
      throw UsageError(fmt::format("--subfolder: {} is a file", argument), "name the folder above, or leave --subfolder out");
    }
    return {argument, "file", path.string(), config_of(path, options), path.parent_path()};
  }
  if (options.given("subfolder")) path /= options.text("subfolder");
  const fs::path config = path / "config.json";
  if (!fs::exists(config, error)) {
    const char* hint = fs::exists(path / "model_index.json", error) ? "a diffusers pipeline: name a part with --subfolder, such as unet"
                       : fs::exists(path / "adapter_config.json", error) ? "an adapter: name the model that it belongs to"
                                                                         : "name a folder with one, or the file itself";
    throw NotFoundError(fmt::format("{}: the folder has no config.json", path.string()), hint);
  }
  return {argument, "folder", path.string(), config_of(config, options), path};
}

/// A MODEL that is a name of the Hub.
struct HubName {
  RepoReference repo;
  std::string file;     ///< config.json, or below a subfolder
  bool asks_revision = false;
};

HubName hub_name(const std::string& argument, const Options& options, const HubSettings& settings) {
  HubName out;
  const bool written_as_address = argument.find("://") != std::string::npos;
  try {
    out.repo = parse_repo_reference(argument, settings.endpoint);
  } catch (const UsageError& e) {
    if (written_as_address) throw;
    throw NotFoundError(fmt::format("{}: no such file or folder; {}", argument, e.message().substr(e.message().find(": ") + 2)), e.hint());
  }
  out.repo = hub_repository(argument, options, settings);
  out.asks_revision = !out.repo.revision.empty() && out.repo.revision != "main";
  const std::string folder = repository_folder(argument, out.repo, options);
  out.file = folder.empty() ? "config.json" : folder.ends_with(".json") ? folder : folder + "/config.json";
  return out;
}

/// Up from the config's own folder in the snapshot: where checkpoint files would be.
FoundModel found_on_hub(const std::string& argument, std::string source, const std::string& repo_id, const FetchedFile& file,
                        const std::string& repo_path, const Options& options, Session& session) {
  session.notes.note(fmt::format("using {} {}@{}", source, repo_id, file.commit.substr(0, 7)));
  return {argument, std::move(source), file.path.parent_path().string(), config_of(file.path, options),
          file.path.parent_path(), repo_id, file.commit, fs::path(repo_path).parent_path().generic_string()};
}

/// The repository as typed, else under a name that is known for the same one.
std::optional<FoundModel> from_cache(const std::string& argument, const HubName& name, const HubSettings& settings,
                                     const Options& options, Session& session) {
  std::vector<std::string> ids{name.repo.id};
  for (std::string& id : other_repo_ids(name.repo.id)) ids.push_back(std::move(id));
  if (const std::optional<CatalogEntry> entry = find_catalog_entry(name.repo.id)) {
    // "bert-base-cased" and "google-bert/bert-base-cased" are one repository; other aliases only have the same structure.
    const auto last = [](std::string_view id) { return id.substr(id.rfind('/') + 1); };
    std::vector<std::string> others = entry->aliases;
    others.push_back(entry->name);
    for (const std::string& id : others) {
      if (last(id) == last(name.repo.id) && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }
  }
  for (const std::string& id : ids) {
    const CachedFile file = find_cached_file(settings.cache, id, name.file, name.repo.revision_or_main());
    if (file.state != CachedFile::State::found) continue;
    return found_on_hub(argument, "cache", id, {file.path, file.commit}, name.file, options, session);
  }
  return std::nullopt;
}

/// Fetches the config alone.
FoundModel from_hub(const std::string& argument, const HubName& name, const HubSettings& settings, const Options& options,
                    bool catalog, Session& session) {
  // Where weights are wanted the catalog was not asked, and a name that it has is no typing mistake.
  const bool known = !catalog && find_catalog_entry(name.repo.id).has_value();
  const std::string near = known ? std::string() : did_you_mean(name.repo.id, known_model_names(session.environment));
  const std::string nowhere = name.asks_revision ? "" : catalog ? " nor the catalog" : known ? " (the catalog has its config alone)" : "";
  const auto hint = [&near](const Error& e) { return near.empty() ? e.hint() : near; };
  if (settings.offline) {
    throw NetworkError(fmt::format("{}: {} in the cache{}, and the network is off ({})", argument,
                                   name.file == "config.json" ? "not" : fmt::format("{} is not", name.file),
                                   name.asks_revision ? fmt::format(" at revision {}", name.repo.revision) : nowhere,
                                   settings.offline_source),
                       near.empty() ? "allow the network once, or name a folder or a config.json" : near);
  }
  try {
    HubAccess hub(settings, session);
    const FetchedFile file = fetch_file(hub.client(), name.repo.id, name.repo.revision_or_main(), name.file, hub.notes());
    return found_on_hub(argument, "hub", name.repo.id, file, name.file, options, session);
  } catch (const EntryNotFoundError& e) {
    throw NotFoundError(fmt::format("{}: the repository has no {}", argument, name.file),
                        "bigmodel reads models with a config.json; name its folder with --subfolder if it has one");
  } catch (const RepoNotFoundError& e) {
    throw NotFoundError(e.message(), hint(e));
  } catch (const NetworkError& e) {
    throw NetworkError(fmt::format("{}: not in the cache{}, and the Hub cannot be asked: {}", argument, nowhere, e.message()),
                       hint(e));
  }
}

/// An entry of the catalog, or an architecture of timm: timm/resnet50.a1_in1k, or resnet50 under --library-name timm.
std::optional<FoundModel> from_catalog(const std::string& argument, const std::string& id, const spec::SpecLibrary& library,
                                       const Options& options, Session& session) {
  const bool timm = options.text("library-name") == "timm";
  if (const std::optional<CatalogEntry> entry = timm ? std::nullopt : find_catalog_entry(id)) {
    session.notes.note(fmt::format("using catalog entry {}", entry->name));
    return FoundModel{argument, "catalog", entry->name,
                      parse_config(entry->config, fmt::format("catalog entry {}", entry->name), config_library(options)), {}};
  }
  std::string_view name = id;
  if (name.starts_with("timm/")) {
    name.remove_prefix(5);
  } else if (!timm) {
    return std::nullopt;
  }
  // The tag behind the point names weights, not a structure.
  const std::string architecture(name.substr(0, name.find('.')));
  if (!library.has(fmt::format("timm/{}", architecture))) return std::nullopt;
  session.notes.note(fmt::format("using timm's {}", architecture));
  return FoundModel{argument, "catalog", fmt::format("timm's {}", architecture), timm_config(architecture), {}};
}

std::vector<fs::path> description_folders(const Options& options, Session& session) {
  std::vector<fs::path> out;
  std::optional<std::string> base = session.environment("XDG_CONFIG_HOME");
  if (!base || base->empty()) {
    base = session.environment("HOME");
    if (base && !base->empty()) *base += "/.config";
  }
  std::error_code error;
  if (base && !base->empty()) {
    const fs::path own = fs::path(*base) / "bigmodel" / "arch";
    if (fs::is_directory(own, error)) out.push_back(own);
  }
  if (find_option(options.command(), "arch-dir") != nullptr && options.given("arch-dir")) {
    for (const std::string& folder : options.list("arch-dir")) out.emplace_back(folder);
  }
  return out;
}

/// Every *.arch of a folder, in name order.
void add_descriptions(spec::SpecLibrary& library, const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".arch") files.push_back(it->path());
  }
  if (error) throw_errno(folder.string(), "read the folder", error.value());
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    library.add_text(file.string(), read_file(file, spec::SpecLibrary::kMostBytes));
  }
}

/// Names that are one tensor, as far as the files show.
std::vector<std::vector<std::string>> shared_names(const Checkpoint& checkpoint) {
  std::map<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t, Shape>, std::vector<std::string>> groups;
  for (const CheckpointTensor& t : checkpoint.tensors) {
    if (t.size_bytes != 0) groups[{t.file, t.storage, t.offset, t.shape}].push_back(t.name);
  }
  std::vector<std::vector<std::string>> out;
  for (auto& [key, names] : groups) {
    if (names.size() > 1) out.push_back(std::move(names));
  }
  return out;
}

/// The graph of a type that no description covers, where a checkpoint lies beside the config.
std::optional<MetaGraph> graph_of_names(const spec::SpecLibrary& library, const FoundModel& model, const BuildOptions& build) {
  if (!model.folder || library.has(model.config.model_type)) return std::nullopt;
  if (build.class_name != "base" && build.class_name != "auto") return std::nullopt;
  try {
    const Checkpoint checkpoint = model.checkpoint != nullptr ? *model.checkpoint : open_checkpoint(checkpoint_folder(model));
    const std::vector<TensorInfo> tensors(checkpoint.tensors.begin(), checkpoint.tensors.end());
    return graph_from_checkpoint(model.config, tensors, shared_names(checkpoint));
  } catch (const NotFoundError&) {
    return std::nullopt;  // no weights here: the unknown type is what is wrong
  }
}

FoundModel find_config(const std::string& argument, const spec::SpecLibrary& library, const Options& options, bool catalog,
                       Session& session) {
  if (options.flag("trust-remote-code")) {
    session.notes.note("--trust-remote-code: nothing to trust, bigmodel never runs a model's code");
  }
  if (argument == "-") {
    const std::string text = read_descriptor(0, "standard input", kConfigLimitBytes);
    return {argument, "file", "standard input", parse_config(text, "standard input", config_library(options)), {}};
  }
  std::error_code error;
  if (looks_like_path(argument) || fs::exists(argument, error)) return from_path(argument, options);
  const HubSettings settings = hub_settings_of(options, session.environment);
  const HubName name = hub_name(argument, options, settings);
  if (auto cached = from_cache(argument, name, settings, options, session)) return *std::move(cached);
  if (!name.asks_revision && name.file == "config.json" && catalog) {  // the catalog knows the main branch's config
    if (auto known = from_catalog(argument, name.repo.id, library, options, session)) return *std::move(known);
  }
  if (library.has(fmt::format("timm/{}", name.repo.id))) {
    throw NotFoundError(fmt::format("{}: no transformers model of that name, but timm has one", argument),
                        "pass --library_name timm");
  }
  return from_hub(argument, name, settings, options, catalog, session);
}

}  // namespace

OptionSpec arch_dir_option() {
  return {.name = "arch-dir",
          .kind = ValueKind::path,
          .value_name = "FOLDER",
          .help = "read architecture descriptions (*.arch) of FOLDER too",
          .list = ListStyle::commas,
          .more = "They add model types or replace built-in ones, after those in ~/.config/bigmodel/arch."};
}

std::vector<OptionSpec> model_option_rows(std::string_view default_class) {
  std::vector<OptionSpec> rows = {
      {.name = "class",
       .letter = 'c',
       .kind = ValueKind::choice,
       .value_name = "CLASS",
       .help = "which class of the model is meant",
       .default_text = default_class,
       .choices = {default_class, default_class == "base" ? "auto" : "base"},
       .open_choices = true,
       .more = "base is what AutoModel builds, as the published numbers count; auto is the class that the checkpoint "
               "itself names; any other text is a class by its Python name, such as BertForMaskedLM."},
      {.name = "library-name",
       .kind = ValueKind::choice,
       .value_name = "LIBRARY",
       .help = "the library that defines the model",
       .default_text = "auto",
       .choices = {"auto", "transformers", "timm"}},
      arch_dir_option(),
      {.name = "subfolder",
       .kind = ValueKind::text,
       .value_name = "FOLDER",
       .help = "where in the repository or folder the model's config.json is",
       .settable = false},
      {.name = "trust-remote-code",
       .help = "accepted for accelerate's sake: bigmodel never runs a model's code",
       .settable = false},
  };
  for (OptionSpec& row : hub_option_rows()) rows.push_back(std::move(row));
  return rows;
}

OptionSpec model_positional(bool repeated) {
  return {.name = "MODEL",
          .kind = ValueKind::model,
          .value_name = "MODEL",
          .help = "a folder, a config.json (- reads one from standard input), or a name of the Hub: NAME, NAME@REVISION, an address",
          .required = true,
          .repeated = repeated};
}

FoundModel find_model(const std::string& argument, const spec::SpecLibrary& library, const Options& options,
                      Session& session) {
  FoundModel out = find_config(argument, library, options, !wants_exact(options), session);
  if (wants_exact(options)) out.checkpoint = std::make_shared<const Checkpoint>(stored_checkpoint(out, options, session));
  return out;
}

FoundModel find_model_with_weights(const std::string& argument, const spec::SpecLibrary& library, const Options& options, Session& session) {
  FoundModel out = find_config(argument, library, options, false, session);
  if (out.repo_id.empty()) return out;
  try {
    open_checkpoint(checkpoint_folder(out));
  } catch (const NotFoundError&) {
    HubAccess hub(hub_settings_of(options, session.environment), session);
    out.folder = fetch_checkpoint(hub, out.repo_id, out.commit, {.folder = out.repo_folder}, session);
  }
  return out;
}

std::vector<std::string> known_model_names(const EnvironmentLookup& environment) {
  std::vector<std::string> out = cached_repo_ids(hub_cache_folder(environment));
  for (std::string& name : catalog_names()) out.push_back(std::move(name));
  return out;
}

fs::path hub_cache_folder(const EnvironmentLookup& environment) { return hub_settings(environment).cache; }

std::unique_ptr<spec::SpecLibrary> load_descriptions(const Options& options, Session& session) {
  auto library = std::make_unique<spec::SpecLibrary>(embedded::architectures_files());
  for (const fs::path& folder : description_folders(options, session)) {
    session.notes.detail(fmt::format("reading descriptions of {}", folder.string()));
    add_descriptions(*library, folder);
  }
  return library;
}

std::string description_text(const std::string& file, const Options& options, Session& session) {
  std::error_code error;
  const std::vector<fs::path> folders = description_folders(options, session);
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    for (const fs::path& path : {*folder / file, fs::path(file)}) {
      if (fs::is_regular_file(path, error)) return read_file(path, spec::SpecLibrary::kMostBytes);
    }
  }
  for (const EmbeddedFile& embedded : embedded::architectures_files()) {
    if (embedded.name == file) return std::string(embedded.content);
  }
  return {};
}

MetaGraph build_graph(spec::SpecLibrary& library, const FoundModel& model, const BuildOptions& build, Session& session) {
  if (auto named = graph_of_names(library, model, build)) return *std::move(named);
  MetaGraph graph = build_meta_graph(library, model.config, build);
  for (const std::string& note : graph.notes) session.notes.detail(fmt::format("{}: {}", model.argument, note));
  return graph;
}

MetaGraph build_checkpoint_graph(spec::SpecLibrary& library, const Config& config) {
  try {
    return build_meta_graph(library, config, {.class_name = "auto"});
  } catch (const NotFoundError&) {
    return build_meta_graph(library, config);
  }
}

std::filesystem::path checkpoint_folder(const FoundModel& model) {
  return model.folder->empty() ? fs::path(".") : *model.folder;
}

std::vector<std::string> model_warnings(const FoundModel& model, const MetaGraph& graph) {
  std::vector<std::string> out = graph.warnings;
  if (!model.config.quantization_method.empty()) {
    out.push_back(fmt::format("the checkpoint is quantised ({}); sizes are those of the model before quantisation",
                              model.config.quantization_method));
  }
  return out;
}

}  // namespace bigmodel::app
