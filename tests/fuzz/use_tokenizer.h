// SPDX-License-Identifier: Apache-2.0
// What a tokenizer that came out of foreign bytes must stand, and what must then hold.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::fuzz {

/// Encodes one valid text and decodes what came out. Aborts where the lists are not parallel, ids alone are others than with
/// offsets, or a stream shows another text than decode(). Throws what the tokenizer throws.
inline void check(tokenizer::Encoder& encoder, std::string_view text) {
  const tokenizer::Encoding full = encoder.encode({text, {}});
  // A template may give special tokens more ids than texts, so the texts are not held to that.
  if (full.offsets.size() != full.size() || full.words.size() != full.size()) std::abort();
  if (full.type_ids.size() != full.size() || full.attention_mask.size() != full.size() || full.special_tokens_mask.size() != full.size()) std::abort();
  if (encoder.encode({text, {}}, {.ids_only = true}).ids != full.ids) std::abort();
  const tokenizer::Tokenizer& tokenizer = encoder.tokenizer();
  tokenizer::StreamDecoder stream(tokenizer, false);
  std::string all;
  for (const std::uint32_t id : full.ids) all += stream.step(id);
  all += stream.finish();
  if (tokenizer::find_invalid_utf8(all) != std::string::npos || all != tokenizer.decode(full.ids, false)) std::abort();
}

/// A few texts that visit most parts; a text that the tokenizer refuses does not end the others.
inline void use(const tokenizer::Tokenizer& tokenizer) {
  tokenizer::Encoder encoder(tokenizer);
  for (const std::string_view text : {"", "Hello  hello\n\n world's 12345 <s>", "\xE7\x9A\x84 \xF0\x9F\x98\x80\xCC\x81 \xE2\x96\x81x\xC2\xA0\xC4\xB0", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    try {
      check(encoder, text);
      (void)encoder.encode({text, "b"});
    } catch (const Error&) {
    }
  }
}

}  // namespace bigmodel::fuzz
