// SPDX-License-Identifier: Apache-2.0
#include "commands/run_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/io/atomic_file.h"

namespace bigmodel::app {

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
