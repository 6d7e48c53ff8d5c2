// SPDX-License-Identifier: Apache-2.0
#include "commands/shard_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/commit_journal.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "render/json_text.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json files_json(const ShardResult& result) {
  Json files = Json::array();
  if (!result.report) {
    for (const OutputFile& file : result.job->files) files.push_back({{"name", file.name}, {"tensors", file.tensors.size()}});
    return files;
  }
  for (const ShardReport::File& file : result.report->files) {
    Json row{{"name", file.name}, {"size_bytes", file.size_bytes}, {"tensors", file.tensors}};
    if (!file.sha256.empty()) row["sha256"] = file.sha256;
    files.push_back(std::move(row));
  }
  return files;
}

Json result_json(const ShardResult& result) {
  const ShardJob& job = *result.job;
  Json out = result.head;
  out["output"] = result.output;
  out["format"] = job.format == OutputFormat::bin ? "bin" : "safetensors";
  out["max_shard_size_bytes"] = result.max_shard_size_bytes;
  out["total_size"] = job.plan.total_size;
  out["files"] = files_json(result);
  if (!job.index_name.empty()) out["index"] = job.index_name;
  if (!job.dropped.empty()) {
    Json tied = Json::object();
    for (const auto& [dropped, kept] : job.dropped) tied[dropped] = kept;
    out["tied"] = std::move(tied);
  }
  if (result.report) {
    const ShardReport& report = *result.report;
    out["copied"] = {{"reflink_bytes", report.reflink_bytes}, {"bytes", report.copied_bytes}};
    if (report.resumed_bytes > 0) out["copied"]["resumed_bytes"] = report.resumed_bytes;
    if (!report.removed.empty()) out["removed"] = report.removed;
    if (!report.side_files.empty()) out["side_files"] = report.side_files;
    out["elapsed_ms"] = report.elapsed.count();
  }
  if (!out.contains("warnings")) out["warnings"] = Json::array();
  for (const std::string& warning : result.warnings) out["warnings"].push_back(warning);
  return out;
}

void print_text(const ShardResult& result, Output& out) {
  const ShardJob& job = *result.job;
  std::size_t tensors = 0;
  TextTable table{{{"file"}, {"tensors", Align::right}, {"size", Align::right}}, {}};
  for (const OutputFile& file : job.files) {
    tensors += file.tensors.size();
    table.rows.push_back({file.name, fmt::format("{}", file.tensors.size()), format_decimal(file.size_bytes)});
  }
  out.print("{}{}: {} tensors, {} in {} {}\n", result.report ? "" : "would write ", result.output, tensors, format_decimal(job.plan.total_size), job.files.size(),
            job.files.size() == 1 ? "file" : "files");
  if (!job.files.empty()) out.write(plain_table(table));
  if (!job.index_name.empty()) out.print("index: {}, total_size {}\n", job.index_name, job.plan.total_size);
  std::vector<std::string> beside;
  if (result.report) {
    beside = result.report->side_files;
  } else {
    for (const auto& path : job.side_files) beside.push_back(path.filename().string());
  }
  if (!beside.empty()) out.print("with: {}\n", fmt::join(beside, ", "));
  for (const auto& [dropped, kept] : job.dropped) out.print("tied: {} is {}, written once\n", dropped, kept);
  if (!result.report) return;
  const ShardReport& report = *result.report;
  if (!report.removed.empty()) out.print("removed: {}\n", fmt::join(report.removed, ", "));
  if (report.reflink_bytes > 0) out.print("{} shared with the source, {} copied\n", format_decimal(report.reflink_bytes), format_decimal(report.copied_bytes));
  if (report.resumed_bytes > 0) out.print("{} were there from the interrupted run\n", format_decimal(report.resumed_bytes));
  if (out.terminal().is_tty) {
    const double seconds = std::max(0.001, static_cast<double>(report.elapsed.count()) / 1000);
    out.print("{:.1f} s, {}/s\n", seconds, format_decimal(static_cast<std::uint64_t>(static_cast<double>(report.copied_bytes + report.reflink_bytes) / seconds)));
  }
}

/// The writer keeps a journal exactly where finished files wait for --resume.
bool can_go_on(const fs::path& target, const WriteOptions& write) {
  std::error_code error;
  const fs::path folder = target.has_filename() ? target : target.parent_path();
  return fs::exists(places_inside(folder).journal, error) || (!write.in_place && fs::exists(places_beside(folder).journal, error));
}

}  // namespace

ShardReport write_with_progress(const Checkpoint& checkpoint, const ShardJob& job, const WriteOptions& write, const fs::path& target, Session& session) {
  try {
    ShardReport report = write_shards(checkpoint, job, write, session.work);
    session.progress.clear();
    return report;
  } catch (const Error&) {
    session.progress.clear();
    if (can_go_on(target, write)) session.notes.note("finished files are kept; the same call with --resume goes on from there");
    throw;
  }
}

void finish_interrupted_run(const fs::path& folder, Session& session) {
  if (finish_interrupted_commit(folder)) session.notes.note(fmt::format("finished what an interrupted run had begun in {}", folder.string()));
}

void print_shards(const ShardResult& result, bool json, bool quiet, Output& out) {
  if (json) {
    out.line(json_text(result_json(result), out.terminal().is_tty));
  } else if (quiet) {
    out.line(result.output);
  } else {
    print_text(result, out);
  }
}

}  // namespace bigmodel::app
