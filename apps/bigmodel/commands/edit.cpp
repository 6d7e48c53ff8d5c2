// SPDX-License-Identifier: Apache-2.0
#include "commands/edit.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_plan.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/prune_checkpoint.h"
#include "bigmodel/engine/resize_vocabulary.h"
#include "bigmodel/io/scratch_folder.h"
#include "commands/checkpoint_argument.h"
#include "commands/model_argument.h"
#include "commands/shard_text.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const CommandSpec& spec() {
  static const CommandSpec kSpec = [] {
    CommandSpec out{
        .name = "edit",
        .summary = "change a checkpoint's vocabulary size, take out attention heads",
        .description =
            {"--resize-vocab writes the checkpoint again with another number of tokens, as transformers' resize_token_embeddings: embeddings, heads "
             "and their biases are cut or get rows at their end, tied ones stay tied, and config.json says the new size. What the size shapes is "
             "found by building the model under both configs, so that every described type can be edited.",
             "--prune-heads takes attention heads out of the layers, as prune_heads of transformers 4: the projections lose their rows and columns, and "
             "config.json lists all heads that are gone as pruned_heads, numbered as before any pruning. Heads that share keys and values go "
             "together. bigmodel reads that key in every command; transformers 4 does for the types that it could prune, transformers 5 no more.",
             "Tensors pass through in chunks; those that change are made in a hidden folder beside the output first. The source is never changed; the "
             "output is there whole or not at all, as with shard, and the same call clears what a killed one left. The tokenizer is carried along "
             "as it is."},
        .positionals = {checkpoint_positional()},
        .options =
            {{.name = "resize-vocab", .kind = ValueKind::integer, .value_name = "N", .help = "tokens afterwards", .settable = false},
             {.name = "pad-to-multiple-of", .kind = ValueKind::integer, .value_name = "M", .help = "round N up to a multiple of M", .settable = false},
             {.name = "mean-resizing", .help = "new tokens start as the mean of the old ones; the default", .settable = false},
             {.name = "no-mean-resizing", .help = "new tokens start as zeros", .settable = false},
             {.name = "prune-heads",
              .kind = ValueKind::text,
              .value_name = "LAYER:HEADS",
              .help = "heads to take out, such as \"0:1,3;5:0\": heads 1 and 3 of layer 0, head 0 of layer 5",
              .settable = false},
             {.name = "output", .letter = 'o', .kind = ValueKind::path, .value_name = "FOLDER", .help = "where to write", .settable = false},
             {.name = "max-shard-size",
              .letter = 's',
              .kind = ValueKind::size,
              .value_name = "SIZE",
              .help = "the most bytes of tensors in one file",
              .default_text = "10GB"},
             {.name = "force", .help = "replace the weights that are in the output folder", .settable = false},
             {.name = "resume", .help = "keep the files that an interrupted run of the same call finished", .settable = false},
             arch_dir_option()},
        .examples = {{"bigmodel edit ./model --resize-vocab 32064 --output ./larger", "64 tokens more, each the mean of the others"},
                     {"bigmodel edit ./model --resize-vocab 50257 --pad-to-multiple-of 64 --output ./padded", "50,304 rows"},
                     {"bigmodel edit ./model --prune-heads \"0:1,3;5:0\" --output ./pruned", "three heads less"}},
        .stoppable = true};
    for (OptionSpec& row : checkpoint_option_rows()) out.options.push_back(std::move(row));
    return out;
  }();
  return kSpec;
}

ExitStatus run(const Options& options, Session& session) {
  const std::optional<std::int64_t> size = options.find_integer("resize-vocab");
  if (!size && !options.given("prune-heads")) throw UsageError("edit: nothing to change", "give --resize-vocab N or --prune-heads LAYER:HEADS");
  for (const char* name : {"pad-to-multiple-of", "mean-resizing", "no-mean-resizing"}) {
    if (!size && options.given(name)) throw UsageError(fmt::format("--{}: belongs to --resize-vocab", name));
  }
  if (!options.given("output")) throw UsageError("edit: no place for the result", "give --output FOLDER");
  if (options.flag("mean-resizing") && options.flag("no-mean-resizing")) throw UsageError("--mean-resizing: contradicts --no-mean-resizing", "give one of them");
  const HeadsByLayer heads = options.given("prune-heads") ? parse_heads(options.text("prune-heads")) : HeadsByLayer{};
  const std::int64_t multiple = options.find_integer("pad-to-multiple-of").value_or(0);
  if (options.given("pad-to-multiple-of") && multiple == 0) throw UsageError("--pad-to-multiple-of: is 0, expected 1 or more");
  const std::uint64_t limit = parse_max_shard_size(options.text("max-shard-size"), "--max-shard-size");
  const fs::path output = options.text("output");
  const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
  const FoundCheckpoint source = find_checkpoint(options.find_text("CHECKPOINT").value_or(""), WantedPart::all, options, session);
  if (options.flag("force")) finish_interrupted_run(output, session);
  const Checkpoint checkpoint = source.open(open_options(options));
  for (const std::string& note : checkpoint.notes) session.notes.note(note);
  WriteOptions write{.output = output, .force = options.flag("force"), .resume = options.flag("resume"), .made_of = &checkpoint.files, .copy = {}};
  // What a killed run of the same call left beside an output that it had finished.
  for (const char* purpose : {kHeadsPurpose, kVocabularyPurpose}) ScratchFolder::remove_leftovers(output, purpose);
  check_output(checkpoint, write);

  const Disk disk;
  Config config = read_config(checkpoint.folder / "config.json");
  Json head{{"schema", "bigmodel.edit/1"}, {"input", source.path.string()}};
  EditedCheckpoint edited{checkpoint, nullptr, {}};
  std::vector<std::unique_ptr<ScratchFolder>> scratch;
  std::vector<TensorEdit> changes;
  const auto apply = [&](const CheckpointEdit& edit) {
    write.made_how += edit.config_text;
    for (const TensorEdit& t : edit.tensors) write.made_how += t.mean ? '1' : '0';
    edited = edit_checkpoint(edited.checkpoint, edit, output, disk, session.work);
    scratch.push_back(std::move(edited.scratch));
    changes.insert(changes.end(), edited.tensors.begin(), edited.tensors.end());
    config = parse_config(edit.config_text, config.where);
  };
  if (!heads.empty()) {
    apply(plan_pruning(*library, config, checkpoint, heads).files);
    head["pruned_heads"] = Json::parse(config.text)["pruned_heads"];
  }
  if (size) {
    const VocabularyEdit plan = plan_vocabulary(*library, config, {.size = *size, .pad_to_multiple_of = multiple, .mean_resizing = !options.flag("no-mean-resizing")});
    apply(plan.files);
    head["vocab_size"] = plan.size;
  }
  head["resized"] = Json::array();
  const bool safetensors = !checkpoint.files.empty() && checkpoint.files.front().container == Container::safetensors;
  ShardJob job = plan_shard_job(edited.checkpoint, {.max_shard_size_bytes = limit, .format = safetensors ? OutputFormat::safetensors : OutputFormat::bin});
  std::erase_if(job.side_files, [](const fs::path& p) { return p.filename() == "config.json"; });
  job.side_texts.emplace_back("config.json", config.text);

  for (const TensorEdit& t : changes) head["resized"].push_back({{"name", t.name}, {"from", t.from}, {"to", t.to}});
  ShardResult result{.head = head, .output = output.string(), .max_shard_size_bytes = limit, .job = &job, .report = std::nullopt, .warnings = job.warnings};
  result.report = write_with_progress(edited.checkpoint, job, write, output, session);
  result.warnings = result.report->warnings;
  for (const std::string& warning : result.warnings) session.notes.warning(warning);
  for (const TensorEdit& t : changes) session.notes.note(fmt::format("{}: {} to {}", t.name, to_string(t.from), to_string(t.to)));
  print_shards(result, options.flag("json"), options.flag("quiet"), session.out);
  return ExitStatus::done;
}

}  // namespace

Command edit_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
