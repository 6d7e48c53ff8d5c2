// SPDX-License-Identifier: Apache-2.0
// Golden files: JSON lines, plain or xz-compressed.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace bigmodel::test {

/// Calls `record` for every non-empty line of a .jsonl or .jsonl.xz file, in order; under a sanitizer for every n-th, n being
/// `sanitized_every`, and the others are not even parsed.
void for_each_record(const std::filesystem::path& path, const std::function<void(const nlohmann::ordered_json&)>& record,
                     int sanitized_every = 1);

/// The content of a file, decompressed where its name ends in .xz.
std::string read_maybe_xz(const std::filesystem::path& path);

}  // namespace bigmodel::test
