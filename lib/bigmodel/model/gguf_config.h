// SPDX-License-Identifier: Apache-2.0
// The config.json that a GGUF file's metadata stand for, as far as caches and widths go: what estimates of running ask of a model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bigmodel/model/config.h"

namespace bigmodel {

/// Whole numbers, and lists of them, below the architecture's name and without it: "block_count", "attention.head_count_kv".
using GgufFacts = std::map<std::string, std::vector<std::int64_t>>;

/// `architecture` is general.architecture, which llama.cpp names ("qwen3moe", "gpt-oss"); keys as llama.cpp's conversion writes them. Lists say a
/// thing by layer: equal ones are one number, windows and layers without heads become `layer_types`. The config states its class.
/// Throws UnsupportedError for architectures that are not known here and for heads that differ between layers, FormatError for
/// missing or senseless numbers.
Config config_of_gguf(const std::string& architecture, const GgufFacts& facts, const std::string& where);

/// Those that are known, in no order.
std::vector<std::string> gguf_architectures();

}  // namespace bigmodel
