// SPDX-License-Identifier: Apache-2.0
#include "commands/stored_checkpoint.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "commands/hub_access.h"
#include "render/digits.h"

namespace bigmodel::app {

OptionSpec exact_option() {
  return {.name = "exact",
          .help = "read the checkpoint's own safetensors headers, from the Hub by byte ranges: no weights are downloaded",
          .more = "Shows what is stored beside what the config describes, and compares the two; the catalog is left out."};
}

bool wants_exact(const Options& options) { return find_option(options.command(), "exact") != nullptr && options.flag("exact"); }

Checkpoint hub_headers(HubAccess& hub, const std::string& repo_id, const std::string& commit, const std::string& folder, const RemoteNames& names, Session& session) {
  HubClient& client = hub.client();
  const RemoteFiles files{
      .read = [&](const std::string& path, std::uint64_t first, std::uint64_t size, std::uint64_t& file_bytes) -> std::optional<std::string> {
        try {
          return client.read_range(repo_id, commit, path, first, size, &file_bytes);
        } catch (const EntryNotFoundError&) {
          return std::nullopt;
        }
      },
      .object = fmt::format("{}@{}", repo_id, commit.substr(0, 7)),
      .folder = folder,
      .names = names};
  Checkpoint out = read_remote_checkpoint(files);
  session.notes.note(fmt::format("read the headers of {} {} on the Hub, no weights", out.files.size(), out.files.size() == 1 ? "file" : "files"));
  return out;
}

Checkpoint stored_checkpoint(const FoundModel& model, const Options& options, Session& session) {
  if (model.folder) {
    try {
      return open_checkpoint(checkpoint_folder(model));
    } catch (const NotFoundError&) {
      if (model.repo_id.empty()) throw;  // not here: ask the Hub for the headers alone
    }
  }
  if (model.repo_id.empty()) {
    throw NotFoundError(fmt::format("{}: --exact reads a checkpoint's headers, and there is none", model.argument), "name a folder or a repository of the Hub");
  }
  HubAccess hub(hub_settings_of(options, session.environment), session);
  return hub_headers(hub, model.repo_id, model.commit, model.repo_folder, {}, session);
}

nlohmann::ordered_json dtypes_json(const std::vector<DTypeTotal>& totals) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const DTypeTotal& total : totals) out[std::string(name(total.dtype))] = total.size_bytes;
  return out;
}

std::string dtype_names(const std::vector<DTypeTotal>& totals) {
  std::string out;
  for (const DTypeTotal& total : totals) out += fmt::format("{}{}", out.empty() ? "" : ", ", name(total.dtype));
  return out;
}

nlohmann::ordered_json stored_json(const CheckpointTotals& totals, std::size_t files, bool packed) {
  nlohmann::ordered_json json{{"files", files}, {"tensors", totals.tensors}};
  if (!packed) json["parameters"] = totals.parameters;
  json["bytes"] = totals.size_bytes;
  json["dtypes"] = dtypes_json(totals.dtypes);
  return json;
}

nlohmann::ordered_json stored_json(const Checkpoint& checkpoint, bool packed) {
  return stored_json(checkpoint_totals(checkpoint), checkpoint.files.size(), packed);
}

std::string stored_line(const Checkpoint& checkpoint, bool packed) {
  const CheckpointTotals totals = checkpoint_totals(checkpoint);
  return fmt::format("checkpoint: {} tensors, {}{} in {} {} ({})", totals.tensors,
                     packed ? "packed, " : fmt::format("{} parameters, ", grouped_digits(totals.parameters)), format_binary(totals.size_bytes),
                     checkpoint.files.size(), checkpoint.files.size() == 1 ? "file" : "files", dtype_names(totals.dtypes));
}

}  // namespace bigmodel::app
