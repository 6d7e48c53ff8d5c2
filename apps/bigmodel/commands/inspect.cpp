// SPDX-License-Identifier: Apache-2.0
#include "commands/inspect.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "commands/inspect_checkpoint.h"
#include "commands/inspect_text.h"
#include "commands/model_argument.h"
#include "commands/stored_checkpoint.h"
#include "render/format.h"

namespace bigmodel::app {
namespace {

std::vector<OptionSpec> option_rows() {
  std::vector<OptionSpec> rows = {
      {.name = "tensors", .help = "list every parameter and buffer with dtype and shape"},
      {.name = "tree", .help = "print the module tree with sizes, repeated layers folded"},
      {.name = "why",
       .kind = ValueKind::text,
       .value_name = "NAME",
       .help = "explain a parameter, buffer or module: the description's lines and the config's keys that made it",
       .settable = false},
      {.name = "summary", .help = "print totals, classes that are not split, tied parameters and the file's tensors"},
      {.name = "depth",
       .kind = ValueKind::integer,
       .value_name = "N",
       .help = "of --tree: print N levels below the root"},
      {.name = "dtype",
       .kind = ValueKind::dtype,
       .value_name = "DTYPE",
       .help = "the dtype that the model is loaded in; without it the config's own, else float32"},
      exact_option(),
      format_option({"table", "json", "jsonl", "csv", "markdown"}),
  };
  for (OptionSpec& row : inspect_checkpoint_rows()) rows.push_back(std::move(row));
  for (OptionSpec& row : model_option_rows()) rows.push_back(std::move(row));
  return rows;
}

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "inspect",
      .summary = "show a model's tensors, module tree, one name's origin, or what weight files hold",
      .description = {"Builds the model's meta graph from its config.json: every module, parameter and buffer by name, "
                      "shape and dtype, without data. Without a choice of view it prints the summary and the tree.",
                      "Of a checkpoint (a weight file, an index.json, a folder without config.json, or any with --checkpoint) it reads the "
                      "headers: --tensors says where each tensor lies, --summary what the files add up to by dtype, --tree by layer."},
      .positionals = {model_positional(false)},
      .options = option_rows(),
      .examples = {{"bigmodel inspect bert-base-cased --tree", "modules with sizes, layers folded"},
                   {"bigmodel inspect gpt2 --tensors --format jsonl", "one JSON object a tensor"},
                   {"bigmodel inspect gpt2 --why h.0.attn.c_attn.weight", "why the tensor is there and has its shape"},
                   {"bigmodel inspect ./model --checkpoint", "its weight files, dtypes and layers"},
                   {"bigmodel inspect ./model --tensors --stats --format csv", "the values of each stored tensor"}}};
  return kSpec;
}

ExitStatus run(const Options& options, Session& session) {
  const int views = int{options.flag("tensors")} + int{options.flag("tree")} + int{options.given("why")} +
                    int{options.flag("summary")};
  if (views > 1) throw UsageError("inspect: --tensors, --tree, --why and --summary exclude each other", "give one");
  const Format format = output_format(options);
  if (inspects_checkpoint(options.text("MODEL"), options)) {
    inspect_checkpoint(options.text("MODEL"), options, format, session);
    return ExitStatus::done;
  }

  InspectResult result;
  const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
  result.model = find_model(options.text("MODEL"), *library, options, session);
  result.graph = build_graph(*library, result.model, {.class_name = options.text("class")}, session);
  result.assumptions = result.graph.assumptions;
  for (const std::string& assumption : result.assumptions) session.notes.note(assumption);
  const std::optional<DType> wanted = options.find_dtype_value("dtype");
  result.dtype = wanted.value_or(result.graph.stored_dtype.value_or(DType::float32));
  if (!wanted && !result.graph.stored_dtype) result.assumptions.push_back("float32, as the config states no dtype");
  result.warnings = model_warnings(result.model, result.graph);
  for (const std::string& warning : result.warnings) session.notes.warning(warning);

  if (options.flag("tensors")) {
    print_tensors(result, format, session.out);
  } else if (options.given("why")) {
    const auto text_of = [&](const std::string& file) { return description_text(file, options, session); };
    print_why(result, options.text("why"), text_of, format, session.out);
  } else {
    const bool both = views == 0;
    print_overview(result, {.summary = both || options.flag("summary"),
                            .tree = both || options.flag("tree"),
                            .depth = options.find_integer("depth").value_or(both ? 3 : 1000)},
                   format, session.out);
  }
  return ExitStatus::done;
}

}  // namespace

Command inspect_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
