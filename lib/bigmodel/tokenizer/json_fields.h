// SPDX-License-Identifier: Apache-2.0
// Typed reading of the small objects of tokenizer.json, as strict as the reference is.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "bigmodel/tokenizer/pre_tokenized.h"
#include "bigmodel/tokenizer/regex.h"

namespace bigmodel::tokenizer {

/// One object and the words that name it in errors. All getters throw FormatError naming the key.
class JsonFields {
 public:
  /// Throws FormatError unless `json` is an object.
  JsonFields(const nlohmann::ordered_json& json, std::string object);

  const std::string& object() const noexcept { return object_; }
  bool has(std::string_view key) const;
  /// Whether the key is there and not null.
  bool has_value(std::string_view key) const;
  const nlohmann::ordered_json& at(std::string_view key) const;
  const nlohmann::ordered_json& array(std::string_view key) const;
  std::string text(std::string_view key) const;
  bool boolean(std::string_view key) const;
  bool boolean_or(std::string_view key, bool otherwise) const;
  std::uint64_t count(std::string_view key) const;
  std::uint32_t id(std::string_view key) const;
  /// A string of exactly one code point.
  char32_t character(std::string_view key) const;
  /// {"String": text} or {"Regex": pattern}.
  Regex pattern(std::string_view key) const;
  SplitBehavior behavior(std::string_view key) const;

  [[noreturn]] void fail(std::string_view key, std::string_view expected) const;

 private:
  const nlohmann::ordered_json& json_;
  std::string object_;
};

std::uint32_t as_id(const nlohmann::ordered_json& json, const std::string& object);

}  // namespace bigmodel::tokenizer
