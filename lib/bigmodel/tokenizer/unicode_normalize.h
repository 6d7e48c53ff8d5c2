// SPDX-License-Identifier: Apache-2.0
// Normalization forms of Unicode 9.0, with what became of every character.
#pragma once

#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/aligned_text.h"

namespace bigmodel::tokenizer {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// True only if the form leaves the text as it is; false may also mean that nobody looked closely.
bool surely_normal(std::string_view text, NormalForm form) noexcept;

/// The text in the form, as changes for AlignedText::transform. Code points that Unicode 9.0 did not know stay.
void normalize(std::string_view text, NormalForm form, std::vector<Change>& out);

}  // namespace bigmodel::tokenizer
