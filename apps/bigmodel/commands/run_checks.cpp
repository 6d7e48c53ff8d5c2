// SPDX-License-Identifier: Apache-2.0
#include "commands/run_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <system_error>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel::app {
namespace {

struct TokenTable {
  std::string name;
  std::int64_t count = 0;
};

/// From role to role down to a plain embedding; nothing where they lead elsewhere, such as to tables of hashes.
std::optional<TokenTable> token_table(const MetaGraph& graph) {
  std::string name;
  const ModuleTemplate* module = graph.root.get();
  while (module->block) {
    const ModuleTemplate* next = nullptr;
    for (const char* role : {"body", "text", "encoder", "embeddings", "words", "embed"}) {
      next = member_module(*module, role);
      if (next == nullptr) continue;
      name += (name.empty() ? "" : ".") + member_path(*module->block, role);
      break;
    }
    if (next == nullptr) return std::nullopt;
    module = next;
  }
  const TensorTemplate* weight = find_parameter(*module, "weight");
  if (module->layer_kind != "Embedding" || weight == nullptr || weight->shape.size() != 2) return std::nullopt;
  return TokenTable{name, weight->shape.front()};
}

}  // namespace

void check_ids(const MetaGraph& graph, std::span<const std::int64_t> ids) {
  const std::optional<TokenTable> table = token_table(graph);
  if (!table) return;
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= table->count) {
      throw UsageError(fmt::format("module '{}': id {}, expected 0 to {}", table->name, id, table->count - 1), "the prompt holds a token that the model does not have");
    }
  }
}

void check_output_file(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) throw IoError(fmt::format("{}: is a folder, expected a file", path.string()));
  const AtomicFile probe(path);
}

void check_idle_options(const Options& options, bool generates, Notes& notes) {
  if (options.given("system") && !options.flag("chat")) throw UsageError("--system: belongs to --chat", "add --chat, or write the text into the prompt");
  if (options.given("pair") && generates) throw UsageError("--pair: belongs to encoders, and this model continues one text", "leave it out, or write both texts into the prompt");
  const bool text = !options.flag("json") && options.text("format") == "text";
  if (options.flag("logprobs") && text) notes.warning("--logprobs: are printed as JSON only: add --json or --format jsonl");
  if (options.given("max-memory") && options.text("device-map") != "auto") notes.warning("--max-memory: has no effect beside --device-map, which says where weights lie");
  if (options.given("offload-folder")) notes.note("--offload-folder: nothing is written there, weights of \"disk\" are read from the model's own files");
}

void check_memory(const RunPlan& plan, const Options& options, Notes& notes) {
  if (options.text("device-map") == "auto") return;
  const std::uint64_t usable = read_machine_info().memory.usable_bytes();
  const auto needed = static_cast<std::uint64_t>(std::max<std::int64_t>(plan.peak_bytes(), 0));
  if (needed <= usable) return;
  notes.warning(fmt::format("--device-map: {} are planned for RAM, of which {} can be taken; --device-map auto keeps within it", format_binary(needed), format_binary(usable)));
}

}  // namespace bigmodel::app
