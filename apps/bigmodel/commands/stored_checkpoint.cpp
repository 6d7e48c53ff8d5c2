// SPDX-License-Identifier: Apache-2.0
#include "commands/stored_checkpoint.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/remote_checkpoint.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "commands/hub_access.h"
#include "render/digits.h"

namespace bigmodel::app {
namespace {

struct Stored {
  std::int64_t parameters = 0;
  std::uint64_t size_bytes = 0;
  std::vector<std::pair<std::string, std::uint64_t>> dtypes;  ///< in order of appearance
};

Stored stored_of(const Checkpoint& checkpoint) {
  Stored out;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    out.parameters += element_count(tensor.shape, tensor.name);
    out.size_bytes += tensor.size_bytes;
    const std::string dtype(name(tensor.dtype));
    auto it = std::ranges::find(out.dtypes, dtype, &std::pair<std::string, std::uint64_t>::first);
    if (it == out.dtypes.end()) it = out.dtypes.insert(out.dtypes.end(), {dtype, 0});
    it->second += tensor.size_bytes;
  }
  return out;
}

}  // namespace

OptionSpec exact_option() {
  return {.name = "exact",
          .help = "read the checkpoint's own safetensors headers, from the Hub by byte ranges: no weights are downloaded",
          .more = "Shows what is stored beside what the config describes, and compares the two; the catalog is left out."};
}

bool wants_exact(const Options& options) { return find_option(options.command(), "exact") != nullptr && options.flag("exact"); }

Checkpoint hub_headers(HubAccess& hub, const std::string& repo_id, const std::string& commit, const std::string& folder, Session& session) {
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
      .folder = folder};
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
  return hub_headers(hub, model.repo_id, model.commit, model.repo_folder, session);
}

nlohmann::ordered_json stored_json(const Checkpoint& checkpoint) {
  const Stored stored = stored_of(checkpoint);
  nlohmann::ordered_json dtypes = nlohmann::ordered_json::object();
  for (const auto& [dtype, bytes] : stored.dtypes) dtypes[dtype] = bytes;
  return {{"files", checkpoint.files.size()},
          {"tensors", checkpoint.tensors.size()},
          {"parameters", stored.parameters},
          {"bytes", stored.size_bytes},
          {"dtypes", std::move(dtypes)}};
}

std::string stored_line(const Checkpoint& checkpoint) {
  const Stored stored = stored_of(checkpoint);
  std::string dtypes;
  for (const auto& row : stored.dtypes) dtypes += (dtypes.empty() ? "" : ", ") + row.first;
  return fmt::format("checkpoint: {} tensors, {} parameters, {} in {} {} ({})", checkpoint.tensors.size(), grouped_digits(stored.parameters),
                     format_binary(stored.size_bytes), checkpoint.files.size(), checkpoint.files.size() == 1 ? "file" : "files", dtypes);
}

}  // namespace bigmodel::app
