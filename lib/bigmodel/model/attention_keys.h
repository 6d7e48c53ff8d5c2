// SPDX-License-Identifier: Apache-2.0
// Keys of a config that decide what attention caches, held against each other: what contradicts itself must not end as "it fits".
#pragma once

#include <string>
#include <vector>

#include "bigmodel/model/config.h"

namespace bigmodel {

/// Of the config and its text part: counts of heads below one, windows below one, layer_types of another length than num_hidden_layers
/// (transformers refuses that too). Throws FormatError naming the key. Returns keys that would change windows and are read by no
/// description, such as a list `sliding_windows`.
std::vector<std::string> check_attention_keys(const Config& config);

}  // namespace bigmodel
