// SPDX-License-Identifier: Apache-2.0
#include "commands/verify.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/verify_checkpoint.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/disk.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/compare_tensors.h"
#include "bigmodel/model/config.h"
#include "commands/checkpoint_argument.h"
#include "commands/model_argument.h"
#include "render/json_text.h"
#include "render/one_line.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const CommandSpec& spec() {
  static const CommandSpec kSpec = [] {
    CommandSpec out{
      .name = "verify",
      .summary = "check a checkpoint: its files, its index, its tensors",
      .description =
          {"Reads the header of every file: that it is well-formed, that it covers the file, that the index names what is there and all of "
           "it, that total_size is true. Where a config.json lies beside it, names and shapes are held against the model's meta graph, as "
           "strictly as accelerate's load_sharded_checkpoint.",
           "Exit status 0: healthy, 1: not, 6: nothing of it can be read. Warnings and notes leave it healthy. Nothing in a file is ever "
           "executed."},
      .positionals = {checkpoint_positional()},
      .options = {{.name = "deep", .help = "read every tensor: count NaN and infinite values, print a sha256 of each"},
                  {.name = "against",
                   .kind = ValueKind::path,
                   .value_name = "OTHER",
                   .help = "compare with another checkpoint, tensor by tensor, whatever the formats and the cuts",
                   .settable = false},
                  {.name = "class",
                   .kind = ValueKind::text,
                   .value_name = "CLASS",
                   .help = "the class whose tensors are expected: base, auto (what the config names), or a class by name",
                   .default_text = "auto"},
                  {.name = "arch-dir",
                   .kind = ValueKind::path,
                   .value_name = "FOLDER",
                   .help = "read architecture descriptions (*.arch) of FOLDER too",
                   .list = ListStyle::commas}},
      .examples = {{"bigmodel verify ./model", "headers, index, names and shapes"},
                   {"bigmodel verify ./model --deep --json", "with NaN counts and a digest of every tensor"},
                   {"bigmodel verify ./model-sharded --against ./model", "that nothing was lost"}},
      .stoppable = true};
    for (OptionSpec& row : checkpoint_option_rows()) out.options.push_back(std::move(row));
    return out;
  }();
  return kSpec;
}

/// Names and shapes against the meta graph of the config beside the files.
void check_against_config(VerifyReport& report, const Options& options, Session& session) {
  const Checkpoint& checkpoint = report.checkpoint;
  const fs::path path = (checkpoint.folder.empty() ? fs::path(".") : checkpoint.folder) / "config.json";
  std::error_code error;
  if (!fs::exists(path, error)) return;
  const auto say = [&](Severity severity, std::string kind, std::string tensor, std::string message) {
    const bool has_tensor = !tensor.empty();
    report.findings.push_back({.severity = severity, .kind = std::move(kind), .file = {}, .tensor = std::move(tensor), .message = std::move(message), .has_tensor = has_tensor});
  };
  try {
    const Config config = read_config(path);
    if (!config.quantization_method.empty()) {
      say(Severity::note, "not_compared", "", fmt::format("config.json: the tensors are quantised ({}) and not held against the model", config.quantization_method));
      return;
    }
    const std::unique_ptr<spec::SpecLibrary> library = load_descriptions(options, session);
    MetaGraph graph;
    try {
      graph = build_meta_graph(*library, config, {.class_name = options.text("class")});
    } catch (const NotFoundError&) {
      if (options.given("class")) throw;
      graph = build_meta_graph(*library, config);
    }
    const std::vector<TensorInfo> tensors(checkpoint.tensors.begin(), checkpoint.tensors.end());
    const TensorComparison comparison = compare_tensors(graph, tensors);
    for (const std::string& name : comparison.missing) say(Severity::error, "missing_key", name, fmt::format("\"{}\": {} expects it and no file has it", name, graph.class_name));
    for (const std::string& name : comparison.unexpected) say(Severity::error, "unexpected_key", name, fmt::format("\"{}\": {} has no such tensor", name, graph.class_name));
    for (const std::string& text : comparison.reshaped) {
      say(Severity::error, "shape_mismatch", text.substr(0, text.rfind(": expected ")), fmt::format("{} ({})", text, graph.class_name));
    }
    if (comparison.agrees()) say(Severity::note, "agrees", "", fmt::format("names and shapes are those of {}", graph.class_name));
  } catch (const Error& e) {
    if (options.given("class") && e.kind() == ErrorKind::not_found) throw;
    say(Severity::note, "not_compared", "", fmt::format("the tensors are not held against the model: {}", e.message()));
  }
}

Json json_of(const VerifyReport& report, const std::string& input, bool deep) {
  Json json{{"schema", "bigmodel.verify/1"}, {"input", input}, {"healthy", healthy(report.findings)}};
  json["findings"] = Json::array();
  for (const Finding& finding : report.findings) {
    Json row{{"severity", to_string(finding.severity)}, {"kind", finding.kind}};
    if (!finding.file.empty()) row["file"] = finding.file;
    if (finding.has_tensor) row["tensor"] = finding.tensor;
    row["message"] = finding.message;
    json["findings"].push_back(std::move(row));
  }
  json["tensors"] = report.checkpoint.tensors.size();
  json["bytes"] = report.checkpoint.tensor_bytes();
  json["files"] = report.checkpoint.files.size();
  if (!deep) return json;
  json["contents"] = Json::array();
  for (std::size_t i = 0; i < report.contents.size(); ++i) {
    const CheckpointTensor& tensor = report.checkpoint.tensors[i];
    const TensorContent& content = report.contents[i];
    json["contents"].push_back({{"name", tensor.name}, {"file", report.checkpoint.files[tensor.file].name}, {"dtype", name(tensor.dtype)}, {"shape", tensor.shape},
                                {"sha256", content.sha256}, {"nan_count", content.nan_count}, {"inf_count", content.inf_count}});
  }
  return json;
}

std::string text_of(const VerifyReport& report, const std::string& input, bool deep) {
  const Checkpoint& checkpoint = report.checkpoint;
  const std::size_t files = checkpoint.files.size();
  std::string out = fmt::format("{}: {}; {} tensors, {} in {} file{}\n", input, healthy(report.findings) ? "healthy" : "not healthy",
                                checkpoint.tensors.size(), format_decimal(checkpoint.tensor_bytes()), files, files == 1 ? "" : "s");
  for (const Finding& finding : report.findings) out += fmt::format("{}: {}\n", to_string(finding.severity), one_line(finding.message));
  if (!deep) return out;
  for (std::size_t i = 0; i < report.contents.size(); ++i) out += fmt::format("{}  {}\n", report.contents[i].sha256, one_line(checkpoint.tensors[i].name));
  return out;
}

ExitStatus run(const Options& options, Session& session) {
  const std::string argument = options.find_text("CHECKPOINT").value_or("");
  const bool deep = options.flag("deep");
  const Disk disk;
  const FoundCheckpoint found = find_checkpoint(argument, WantedPart::all, options, session);
  const OpenOptions open = open_options(options);
  VerifyReport report = verify_checkpoint(found.path, {.variant = open.variant, .under = open.under, .deep = deep, .disk = &disk}, session.work);
  check_against_config(report, options, session);
  if (const auto against = options.find_text("against")) {
    const Checkpoint other = find_other_checkpoint(*against, options, session).open({});
    for (Finding& finding : compare_checkpoints(report.checkpoint, other, disk, session.work)) report.findings.push_back(std::move(finding));
  }
  const std::string name = argument.empty() ? "." : argument;
  if (options.flag("json")) {
    session.out.line(json_text(json_of(report, name, deep), session.out.terminal().is_tty));
  } else if (!options.flag("quiet")) {
    session.out.write(text_of(report, name, deep));
  }
  return healthy(report.findings) ? ExitStatus::done : ExitStatus::answered_no;
}

}  // namespace

Command verify_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
