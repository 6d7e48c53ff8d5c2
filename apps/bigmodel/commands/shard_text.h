// SPDX-License-Identifier: Apache-2.0
// What `bigmodel shard` and `bigmodel init` print: the plan or the report, as text or JSON, from one struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/shard_writer.h"
#include "render/output.h"

namespace bigmodel::app {

struct ShardResult {
  std::string schema;                   ///< "bigmodel.shard/1"
  std::string input;                    ///< as given
  std::string output;
  std::uint64_t max_shard_size_bytes = 0;
  const ShardJob* job = nullptr;
  std::optional<ShardReport> report;    ///< absent after --dry-run
  std::vector<std::string> warnings;
};

void print_shards(const ShardResult& result, bool json, bool quiet, Output& out);

}  // namespace bigmodel::app
