// SPDX-License-Identifier: Apache-2.0
#include "commands/shard.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_plan.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/core/error.h"
#include "commands/checkpoint_argument.h"
#include "commands/shard_plan_from.h"
#include "commands/shard_text.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;

const CommandSpec& spec() {
  static const CommandSpec kSpec = [] {
    CommandSpec out{
      .name = "shard",
      .summary = "cut a checkpoint into shards, merge it, or convert it",
      .description =
          {"Reads safetensors, PyTorch files (.bin, .pt, also legacy ones) and accelerate's offload folders, sharded or not, and "
           "writes them again, cut as huggingface_hub cuts: next-fit in the checkpoint's order, the limit on tensor bytes, a tensor "
           "above the limit alone in its file. What fits the limit becomes one file without an index.",
           "Memory is bounded by chunks, not by tensors. Where the file system shares extents (btrfs, xfs), nothing is copied but "
           "headers. The source is never changed; the output is staged beside its place, synced, checked and renamed, the index last, "
           "so that a reader sees all of it or nothing. A run that was stopped is continued with --resume.",
           "Configuration, tokenizer and README are carried along. What is written of a --variant is named as that variant. Nothing in a file is ever executed."},
      .positionals = {checkpoint_positional()},
      .options = {{.name = "max-shard-size",
                   .letter = 's',
                   .kind = ValueKind::size,
                   .value_name = "SIZE",
                   .help = "the most bytes of tensors in one file",
                   .default_text = "10GB"},
                  {.name = "output",
                   .letter = 'o',
                   .kind = ValueKind::path,
                   .value_name = "FOLDER",
                   .help = "where to write",
                   .more = "Without it <name>-sharded beside the checkpoint, ./sharded for the current folder.",
                   .settable = false},
                  {.name = "in-place",
                   .help = "replace the checkpoint in its own folder, once the new files are written and read back",
                   .settable = false},
                  {.name = "format",
                   .letter = 'f',
                   .kind = ValueKind::choice,
                   .value_name = "FORMAT",
                   .help = "the container to write; keep leaves safetensors and .bin what they are",
                   .default_text = "keep",
                   .choices = {"keep", "safetensors", "bin"}},
                  {.name = "merge", .help = "write one file, whatever its size"},
                  {.name = "dtype",
                   .letter = 'd',
                   .kind = ValueKind::dtype,
                   .value_name = "DTYPE",
                   .help = "convert floating-point tensors, rounding as PyTorch does"},
                  {.name = "policy",
                   .kind = ValueKind::choice,
                   .value_name = "POLICY",
                   .help = "how the cut is found",
                   .default_text = "hf",
                   .choices = {"hf", "balanced"},
                   .more = "balanced takes as few shards as the limit allows, of equal size, and splits no layer across two."},
                  {.name = "compat",
                   .kind = ValueKind::choice,
                   .value_name = "LIBRARY",
                   .help = "write files byte for byte as that library does",
                   .choices = {"hf"}},
                  {.name = "force", .help = "replace the weights that are in the output folder", .settable = false},
                  {.name = "resume", .help = "go on where an interrupted run of the same job stopped", .settable = false},
                  {.name = "read-back", .help = "compare what the disk holds with what was written (always done in place)"},
                  {.name = "dry-run", .letter = 'n', .help = "print the plan and write nothing", .settable = false},
                  {.name = "plan-from",
                   .kind = ValueKind::path,
                   .value_name = "FILE",
                   .help = "plan for the tensors that FILE lists, and print the plan as JSON",
                   .more = "FILE is a JSON list of {\"name\", \"dtype\", \"shape\"} with an optional \"storage\": equal texts share memory, "
                           "and one such as base:4096 states its size.",
                   .settable = false}},
      .examples = {{"bigmodel shard ./model --max-shard-size 200MB", "shards of 200 MB in ./model-sharded"},
                   {"bigmodel shard ./model --merge --format safetensors --dtype bfloat16", "one safetensors file, converted"},
                   {"bigmodel shard --in-place --max-shard-size 5GB", "cut the current folder's checkpoint again"},
                   {"bigmodel shard ./model --max-shard-size 2GB --dry-run", "only the plan"}},
      .stoppable = true};
    for (OptionSpec& row : checkpoint_option_rows()) out.options.push_back(std::move(row));
    return out;
  }();
  return kSpec;
}

/// ./sharded for the current folder, else <name>-sharded beside the folder or file.
fs::path default_output(const fs::path& checkpoint) {
  std::error_code error;
  if (!fs::is_directory(checkpoint, error)) {
    const std::string name = checkpoint.filename().string();
    return checkpoint.parent_path() / fmt::format("{}-sharded", name.substr(0, name.find('.', 1)));
  }
  fs::path folder = checkpoint.lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (folder.empty() || folder == ".") return "./sharded";
  // ".." and the like have no name of their own.
  if (folder.filename() == "..") folder = fs::canonical(folder, error);
  return folder.parent_path() / fmt::format("{}-sharded", folder.filename().string());
}

ShardOptions shard_options(const Options& options) {
  ShardOptions out;
  out.max_shard_size_bytes = parse_max_shard_size(options.text("max-shard-size"), "--max-shard-size");
  const std::string format = options.text("format");
  out.format = format == "bin" ? OutputFormat::bin : format == "safetensors" ? OutputFormat::safetensors : OutputFormat::keep;
  out.merge = options.flag("merge");
  out.dtype = options.find_dtype_value("dtype");
  out.policy = options.text("policy") == "balanced" ? ShardPolicy::balanced : ShardPolicy::hf;
  out.compat_hf = options.given("compat");
  out.variant = options.find_text("variant").value_or("");
  return out;
}

void check_options(const Options& options) {
  const auto exclude = [](bool both, std::string_view a, std::string_view b) {
    if (both) throw UsageError(fmt::format("--{}: contradicts --{}", a, b), "give one of them");
  };
  const bool in_place = options.flag("in-place");
  exclude(in_place && options.given("output"), "in-place", "output");
  exclude(in_place && options.flag("force"), "in-place", "force");
  exclude(options.flag("force") && options.flag("resume"), "force", "resume");
  const auto limit = options.values().find("max-shard-size");
  exclude(options.flag("merge") && limit != options.values().end() && limit->second.origin == Origin::command_line, "merge", "max-shard-size");
}

/// Where the job's files go in the end.
fs::path target_folder(const fs::path& input, const WriteOptions& write) {
  if (!write.in_place) return write.output;
  std::error_code error;
  if (fs::is_directory(input, error)) return input;
  return input.parent_path().empty() ? fs::path(".") : input.parent_path();
}

ExitStatus run(const Options& options, Session& session) {
  check_options(options);
  ShardOptions job_options = shard_options(options);
  if (options.given("plan-from")) {
    if (options.given("CHECKPOINT")) throw UsageError("--plan-from: plans for the tensors of a list, not for a checkpoint", "leave CHECKPOINT out");
    const ShardNames names = usual_names(job_options.format == OutputFormat::bin, job_options.variant);
    const std::uint64_t limit = job_options.merge ? ~std::uint64_t{0} : job_options.max_shard_size_bytes;
    session.out.line(plan_of_list(options.text("plan-from"), limit, names, job_options.policy, session.out.terminal().is_tty));
    return ExitStatus::done;
  }
  const std::string argument = options.find_text("CHECKPOINT").value_or("");
  const bool dry_run = options.flag("dry-run");
  if (options.flag("in-place") && !argument.empty() && names_repository(argument, options, session)) {
    throw UsageError("--in-place: the Hub's cache is shared and never changed", "give --output");
  }
  const FoundCheckpoint source = find_checkpoint(argument, dry_run ? WantedPart::headers : WantedPart::all, options, session);
  const fs::path& input = source.path;
  const fs::path usual_output = default_output(source.name);
  const fs::path output = options.given("output") ? fs::path(options.text("output")) : usual_output;
  const WriteOptions write{.output = output,
                           .in_place = options.flag("in-place"),
                           .inside_source = output.lexically_normal() == usual_output.lexically_normal(),
                           .force = options.flag("force"),
                           .resume = options.flag("resume"),
                           .read_back = options.flag("read-back"),
                           .copy = {}};
  const fs::path target = target_folder(input, write);
  if (!dry_run && (write.in_place || write.force)) finish_interrupted_run(target, session);

  const Checkpoint checkpoint = source.open(open_options(options));
  for (const std::string& note : checkpoint.notes) session.notes.note(note);
  if (!source.has_weights) job_options.side_files = false;  // they are not here
  const ShardJob job = plan_shard_job(checkpoint, job_options);
  const nlohmann::ordered_json head{{"schema", "bigmodel.shard/1"}, {"input", input.string()}};
  ShardResult result{.head = head,
                     .output = target.string(),
                     .max_shard_size_bytes = job_options.max_shard_size_bytes,
                     .job = &job,
                     .report = std::nullopt,
                     .warnings = job.warnings};
  if (!dry_run) {
    result.report = write_with_progress(checkpoint, job, write, target, session);
    result.warnings = result.report->warnings;
  }
  for (const std::string& warning : result.warnings) session.notes.warning(warning);
  print_shards(result, options.flag("json"), options.flag("quiet"), session.out);
  return ExitStatus::done;
}

}  // namespace

Command shard_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
