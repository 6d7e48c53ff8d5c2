// SPDX-License-Identifier: Apache-2.0
#include "commands/run_tokenizer.h"

#include <filesystem>

#include "bigmodel/io/read_file.h"
#include "bigmodel/tokenizer/tokenizer_folder.h"
#include "bigmodel/tokenizer/tokenizer_json.h"
#include "commands/demo_model.h"

namespace bigmodel::app {
namespace {

constexpr std::uint64_t kMostPromptBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMostConfigBytes = std::uint64_t{16} << 20;

}  // namespace

tokenizer::Tokenizer run_tokenizer(const FoundModel& model, bool demo) {
  if (demo) {
    return tokenizer::Tokenizer(tokenizer::parse_tokenizer_json(demo_file("tokenizer.json"), "tokenizer.json of the demo model"));
  }
  return tokenizer::read_tokenizer(*model.folder);
}

GenerationConfig run_generation_config(const FoundModel& model, bool demo) {
  if (demo) return parse_generation_config(demo_file("generation_config.json"), "generation_config.json of the demo model");
  for (const char* name : {"generation_config.json", "config.json"}) {
    const std::filesystem::path path = *model.folder / name;
    if (std::filesystem::exists(path)) return parse_generation_config(read_file(path, kMostConfigBytes), path.string());
  }
  return {};
}

std::string prompt_text(const std::string& given) {
  if (given != "-") return given;
  std::string out = read_descriptor(0, "standard input", kMostPromptBytes);
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

Continuation::Continuation(const tokenizer::Tokenizer& tokenizer, const std::vector<std::int64_t>& prompt_ids) : decoder_(tokenizer, true) {
  for (const std::int64_t id : prompt_ids) decoder_.step(static_cast<std::uint32_t>(id));
}

std::string Continuation::step(std::int64_t id) {
  std::string piece = decoder_.step(static_cast<std::uint32_t>(id));
  text_ += piece;
  return piece;
}

std::string Continuation::finish() {
  std::string piece = decoder_.finish();
  text_ += piece;
  return piece;
}

}  // namespace bigmodel::app
