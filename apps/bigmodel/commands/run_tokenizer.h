// SPDX-License-Identifier: Apache-2.0
// Text around a run: the model's tokenizer, how its generation_config.json wants tokens chosen, and the words as they come out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bigmodel/engine/generation/generation_config.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "commands/model_argument.h"

namespace bigmodel::app {

/// Of the model's folder; of the demo model where `demo`. Throws NotFoundError (no tokenizer there) and what reading one throws.
tokenizer::Tokenizer run_tokenizer(const FoundModel& model, bool demo);

/// Of generation_config.json, else of the config's own keys. Throws FormatError.
GenerationConfig run_generation_config(const FoundModel& model, bool demo);

/// "-": standard input to its end, without its last line break. Throws FormatError past 64 MiB, IoError.
std::string prompt_text(const std::string& given);

/// The text of a continuation, token by token, with what came before it in mind (a first space, half a character).
class Continuation {
 public:
  Continuation(const tokenizer::Tokenizer& tokenizer, const std::vector<std::int64_t>& prompt_ids);
  /// What can be shown after one more token; may be empty.
  std::string step(std::int64_t id);
  /// What is left at the end.
  std::string finish();
  /// All of it so far.
  const std::string& text() const { return text_; }

 private:
  tokenizer::StreamDecoder decoder_;
  std::string text_;
};

}  // namespace bigmodel::app
