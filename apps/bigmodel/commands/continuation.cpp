// SPDX-License-Identifier: Apache-2.0
#include "commands/continuation.h"

namespace bigmodel::app {

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
