// SPDX-License-Identifier: Apache-2.0
// JSON from foreign files: strict where a mistake would be silent, lenient where Python is (NaN, Infinity).
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace bigmodel {

struct JsonLimits {
  std::uint64_t size_bytes = std::uint64_t{64} << 20;
  int depth = 200;                       ///< nesting of arrays and objects
  std::uint64_t values = 20'000'000;     ///< values altogether, so that memory stays in proportion
  bool refuse_duplicate_keys = true;     ///< else the last one wins, as in Python
};

/// Parses one JSON value. Python's bare NaN, Infinity, -Infinity and transformers' {"__float__": "Infinity"} become doubles.
/// Objects keep the order of the text. Throws FormatError: `<object>: line 3, column 7: <what>`.
nlohmann::ordered_json parse_json(std::string_view text, const std::string& object, const JsonLimits& limits = {});

/// The same of a file; throws NotFoundError, IoError, FormatError.
nlohmann::ordered_json read_json_file(const std::filesystem::path& path, const JsonLimits& limits = {});

}  // namespace bigmodel
