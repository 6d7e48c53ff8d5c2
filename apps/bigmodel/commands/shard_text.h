// SPDX-License-Identifier: Apache-2.0
// How `bigmodel shard` and `bigmodel init` write, and what they print: the plan or the report, as text or JSON, from one struct.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/shard_writer.h"
#include "commands/command.h"

namespace bigmodel::app {

struct ShardResult {
  const nlohmann::ordered_json& head;   ///< the keys that the JSON starts with: schema, and what was read
  std::string output;
  std::uint64_t max_shard_size_bytes = 0;
  const ShardJob* job = nullptr;
  std::optional<ShardReport> report;    ///< absent after --dry-run
  std::vector<std::string> warnings;
};

/// write_shards, and where that fails with finished files kept, a note on how to go on. `target`: the folder that is written.
ShardReport write_with_progress(const Checkpoint& checkpoint, const ShardJob& job, const WriteOptions& write, const std::filesystem::path& target,
                                Session& session);

/// finish_interrupted_commit, with a note where there was something to finish.
void finish_interrupted_run(const std::filesystem::path& folder, Session& session);

void print_shards(const ShardResult& result, bool json, bool quiet, Output& out);

}  // namespace bigmodel::app
