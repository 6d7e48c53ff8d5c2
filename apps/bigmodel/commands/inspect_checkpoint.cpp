// SPDX-License-Identifier: Apache-2.0
#include "commands/inspect_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/checkpoint/offload_folder.h"
#include "bigmodel/checkpoint/shared_tensors.h"
#include "bigmodel/core/error.h"
#include "commands/checkpoint_argument.h"
#include "commands/inspect_checkpoint_text.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;

/// What only a model has.
constexpr std::string_view kModelOptions[] = {"why", "depth", "dtype", "exact", "class", "library-name"};

bool is_checkpoint_file(const fs::path& path) {
  if (path.extension() == ".json") return path.string().ends_with(".index.json") || (path.filename() == "index.json" && is_offload_index(path));
  constexpr std::string_view kEndings[] = {".safetensors", ".bin", ".pt", ".pth", ".th", ".ckpt"};
  return std::ranges::find(kEndings, path.extension().string()) != std::end(kEndings);
}

}  // namespace

std::vector<OptionSpec> inspect_checkpoint_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "checkpoint",
       .help = "show the weight files, not the model that the config.json beside them describes",
       .more = "Without it, weight files, indexes and folders without a config.json are shown so.",
       .settable = false},
      {.name = "digest", .help = "of a checkpoint: read every tensor and add a sha256 of its contiguous bytes", .settable = false},
      {.name = "stats", .help = "of a checkpoint: read every tensor and add smallest, largest, mean and spread of its values, NaN and infinite ones counted", .settable = false},
  };
  for (OptionSpec& row : weight_option_rows()) rows.push_back(std::move(row));
  return rows;
}

bool inspects_checkpoint(const std::string& argument, const Options& options) {
  if (options.flag("checkpoint") || options.flag("digest") || options.flag("stats") || options.given("variant") || options.given("under")) return true;
  fs::path path = argument;
  std::error_code error;
  if (!fs::is_directory(path, error)) return argument.find("://") == std::string::npos && is_checkpoint_file(path);
  if (options.given("subfolder")) path /= options.text("subfolder");
  if (fs::exists(path / "config.json", error)) return false;
  try {
    choose_files(Disk{}, path, {});
    return true;
  } catch (const Error&) {
    return false;  // no weights either: the missing config.json is what is wrong
  }
}

void inspect_checkpoint(const std::string& argument, const Options& options, Format format, Session& session) {
  for (const std::string_view name : kModelOptions) {
    const auto it = options.values().find(name);
    if (it == options.values().end() || it->second.origin != Origin::command_line) continue;
    throw UsageError(fmt::format("--{}: {} is shown as a checkpoint, which has no such thing", name, argument), "name a folder with a config.json, or leave the option out");
  }
  const bool digest = options.flag("digest");
  const bool statistics = options.flag("stats");
  const FoundCheckpoint found = find_checkpoint(argument, digest || statistics ? WantedPart::all : WantedPart::headers, options, session);
  CheckpointInspection result{.argument = argument, .source = found.source, .checkpoint = found.open(open_options(options))};
  for (const std::string& note : result.checkpoint.notes) session.notes.note(note);
  result.totals = checkpoint_totals(result.checkpoint);
  for (auto& [dropped, kept] : keep_distinct(result.checkpoint).dropped) result.tied_to.emplace(dropped, kept);
  if (digest || statistics) result.contents = read_contents(result.checkpoint, {.digest = digest, .statistics = statistics}, Disk{}, session.work);
  session.progress.clear();
  const bool tensors = options.flag("tensors") || ((digest || statistics) && !options.flag("tree") && !options.flag("summary"));
  const bool both = !tensors && !options.flag("summary") && !options.flag("tree");
  print_checkpoint(result, {.tensors = tensors, .summary = both || options.flag("summary"), .layers = both || options.flag("tree")}, format, session.out);
}

}  // namespace bigmodel::app
