// SPDX-License-Identifier: Apache-2.0
// Pictures beside a prompt, for models of text and images: as the reference's LlavaProcessor prepares them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/engine/tensor.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "commands/run_model.h"

namespace bigmodel::app {

struct PromptPictures {
  Tensor pixels;             ///< [images, 3, height, width]
  std::int64_t token = 0;    ///< marks a picture in a prompt
  std::int64_t places = 0;   ///< rows of embeddings that a picture takes: as often the token is repeated
};

/// Those of --image; nullopt where it is not given. Throws UsageError for models that read text alone, UnsupportedError for those whose pictures are cut
/// into patches by another processor, and what reading and preparing a picture throws.
std::optional<PromptPictures> read_pictures(const Options& options, const RunModel& model);

/// The ids of a prompt that is alone, with the places of its pictures. A text that marks none has them in front of it, on a line of their own, and a
/// note says so. Throws UsageError where it marks another number of them.
std::vector<std::int64_t> ids_with_pictures(const tokenizer::Tokenizer& tokenizer, std::string text, bool chat, const PromptPictures& pictures, Notes& notes);

}  // namespace bigmodel::app
