// SPDX-License-Identifier: Apache-2.0
#include "commands/model_argument.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/hub/cache.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/model/catalog.h"

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
  return argument.starts_with('/') || argument.starts_with("./") || argument.starts_with("../") || argument == "." ||
         argument == ".." || argument.ends_with(".json") || argument.ends_with('/');
}

FoundModel from_path(const std::string& argument, const Options& options) {
  const fs::path path = argument;
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return {argument, "file", path.string(), read_config(path, config_library(options)), path.parent_path()};
  }
  const fs::path config = path / "config.json";
  if (!fs::exists(config, error)) {
    throw NotFoundError(fmt::format("{}: the folder has no config.json", argument),
                        "name a folder with one, or the file itself");
  }
  return {argument, "folder", path.string(), read_config(config, config_library(options)), path};
}

/// The repository as typed, else under a name that the catalog knows for the same model.
std::optional<FoundModel> from_cache(const std::string& argument, const Options& options, Session& session) {
  const fs::path cache = hub_cache_folder(session.environment);
  std::vector<std::string> ids{argument};
  if (const std::optional<CatalogEntry> entry = find_catalog_entry(argument)) {
    // "bert-base-cased" and "google-bert/bert-base-cased" are one repository; other aliases only have the same structure.
    const auto last = [](std::string_view id) { return id.substr(id.rfind('/') + 1); };
    std::vector<std::string> others = entry->aliases;
    others.push_back(entry->name);
    std::erase_if(others, [&](const std::string& id) { return id == argument || last(id) != last(argument); });
    ids.insert(ids.end(), others.begin(), others.end());
  }
  std::error_code error;
  for (const std::string& id : ids) {
    const std::optional<CachedSnapshot> snapshot = find_cached_snapshot(cache, id);
    if (!snapshot || !fs::exists(snapshot->folder / "config.json", error)) continue;
    session.notes.note(fmt::format("using cache {}@{}", id, snapshot->commit.substr(0, 7)));
    return FoundModel{argument, "cache", snapshot->folder.string(),
                      read_config(snapshot->folder / "config.json", config_library(options)), snapshot->folder};
  }
  return std::nullopt;
}

/// An entry of the catalog, or an architecture of timm: timm/resnet50.a1_in1k, or resnet50 under --library-name timm.
std::optional<FoundModel> from_catalog(const std::string& argument, const spec::SpecLibrary& library,
                                       const Options& options, Session& session) {
  const bool timm = options.text("library-name") == "timm";
  if (const std::optional<CatalogEntry> entry = timm ? std::nullopt : find_catalog_entry(argument)) {
    session.notes.note(fmt::format("using catalog entry {}", entry->name));
    return FoundModel{argument, "catalog", entry->name,
                      parse_config(entry->config, fmt::format("catalog entry {}", entry->name), config_library(options)), {}};
  }
  std::string_view name = argument;
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

}  // namespace

std::vector<OptionSpec> model_option_rows() {
  return {
      {.name = "class",
       .letter = 'c',
       .kind = ValueKind::choice,
       .value_name = "CLASS",
       .help = "which class of the model is meant",
       .default_text = "base",
       .choices = {"base", "auto"},
       .open_choices = true,
       .more = "base is what AutoModel builds, as the published numbers count; auto is the class that the checkpoint "
               "itself names; any other text is a class by its Python name, such as BertForMaskedLM."},
      {.name = "library-name",
       .kind = ValueKind::choice,
       .value_name = "LIBRARY",
       .help = "the library that defines the model",
       .default_text = "auto",
       .choices = {"auto", "transformers", "timm"}},
      {.name = "arch-dir",
       .kind = ValueKind::path,
       .value_name = "FOLDER",
       .help = "read architecture descriptions (*.arch) of FOLDER too",
       .list = ListStyle::commas,
       .more = "They add model types or replace built-in ones, after those in ~/.config/bigmodel/arch."},
      {.name = "trust-remote-code",
       .help = "accepted for accelerate's sake: bigmodel never runs a model's code",
       .settable = false},
  };
}

OptionSpec model_positional(bool repeated) {
  return {.name = "MODEL",
          .kind = ValueKind::model,
          .value_name = "MODEL",
          .help = "a folder, a config.json (- reads one from standard input), or a name of the Hub cache or the catalog",
          .required = true,
          .repeated = repeated};
}

FoundModel find_model(const std::string& argument, const spec::SpecLibrary& library, const Options& options,
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
  if (std::optional<FoundModel> cached = from_cache(argument, options, session)) return *std::move(cached);
  if (std::optional<FoundModel> known = from_catalog(argument, library, options, session)) return *std::move(known);
  if (library.has(fmt::format("timm/{}", argument))) {
    throw NotFoundError(fmt::format("{}: no transformers model of that name, but timm has one", argument),
                        "pass --library_name timm");
  }
  std::string hint = did_you_mean(argument, known_model_names(session.environment));
  if (hint.empty()) hint = "MODEL is a folder, a config.json, or a name of the Hub cache or the catalog";
  throw NotFoundError(fmt::format("{}: no such model", argument), std::move(hint));
}

std::vector<std::string> known_model_names(const EnvironmentLookup& environment) {
  std::vector<std::string> out = cached_repo_ids(hub_cache_folder(environment));
  for (std::string& name : catalog_names()) out.push_back(std::move(name));
  return out;
}

fs::path hub_cache_folder(const EnvironmentLookup& environment) {
  const auto variable = [&](const char* name) -> std::optional<fs::path> {
    std::optional<std::string> value = environment(name);
    if (!value || value->empty()) return std::nullopt;
    if (value->starts_with("~/")) value = environment("HOME").value_or("") + value->substr(1);
    return fs::path(*value);
  };
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const auto path = variable(name)) return *path;
  }
  if (const auto home = variable("HF_HOME")) return *home / "hub";
  if (const auto cache = variable("XDG_CACHE_HOME")) return *cache / "huggingface" / "hub";
  return variable("HOME").value_or("/") / ".cache" / "huggingface" / "hub";
}

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
  MetaGraph graph = build_meta_graph(library, model.config, build);
  for (const std::string& note : graph.notes) session.notes.detail(fmt::format("{}: {}", model.argument, note));
  return graph;
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
