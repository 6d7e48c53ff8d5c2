// SPDX-License-Identifier: Apache-2.0
// The text of a description and places in it; the error that points at such a place.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bigmodel/core/error.h"

namespace bigmodel::spec {

/// One .arch file. `text` stays where it is for the life of the library that owns the source.
struct Source {
  std::string name;       ///< file name as errors show it
  std::string_view text;
  std::shared_ptr<const std::string> owned;  ///< holds `text` where it is not embedded in the program
  std::uint32_t index = 0;                   ///< its number in the library
};

/// A position: 1-based line and column (bytes). A null source means "not in a description".
struct Place {
  const Source* source = nullptr;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

/// An error in a description, or one found while evaluating it. The message is one line
/// (`llama.arch:12:22: unknown name ...`); `excerpt` is the line and a caret below it, for people
/// who write descriptions: it is empty where the mistake is in a config and the description one of the program's own.
class SpecError : public FormatError {
 public:
  SpecError(std::string what, const Place& place, std::string hint = {});

  const std::string& excerpt() const noexcept { return excerpt_; }
  const Place& place() const noexcept { return place_; }
  /// Without the place: what add_chain builds on.
  const std::string& plain() const noexcept { return plain_; }

 private:
  std::string plain_;
  std::string excerpt_;
  Place place_;
};

}  // namespace bigmodel::spec
