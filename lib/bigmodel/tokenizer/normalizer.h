// SPDX-License-Identifier: Apache-2.0
// What changes a text before it is cut.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/aligned_text.h"

namespace bigmodel::tokenizer {

class Normalizer {
 public:
  Normalizer() = default;
  virtual ~Normalizer() = default;
  Normalizer(const Normalizer&) = delete;
  Normalizer& operator=(const Normalizer&) = delete;

  /// Any thread. Throws UnsupportedError where a regular expression gives up.
  virtual void normalize(AlignedText& text) const = 0;
  /// True only if normalize() would leave the text as it is; false may also mean that nobody looked closely.
  virtual bool surely_unchanged(std::string_view text) const = 0;
};

/// From the "normalizer" object of tokenizer.json. Throws FormatError, UnsupportedError (an unknown type).
std::unique_ptr<Normalizer> read_normalizer(const nlohmann::ordered_json& json, const std::string& object);

/// The text alone, normalized.
std::string normalized(const Normalizer& normalizer, std::string_view text);

}  // namespace bigmodel::tokenizer
