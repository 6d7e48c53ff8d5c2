// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/attention_keys.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/model/text_part.h"

namespace bigmodel {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kWindow = "sliding_window";

/// The reference then writes a window of 0.
bool switched_off(const spec::Map& map) {
  const spec::Value* use = spec::find(map, "use_sliding_window");
  return use != nullptr && !use->truthy();
}

void check_map(const spec::Map& map, const std::string& where, std::vector<std::string>& unread) {
  for (const std::string_view key : {"num_attention_heads"sv, "num_key_value_heads"sv, kWindow, "attention_chunk_size"sv, "head_dim"sv}) {
    const spec::Value* value = spec::find(map, key);
    if (value == nullptr || value->is_null() || value->if_list() != nullptr) continue;
    const std::int64_t* number = value->if_int();
    if (key == kWindow && number != nullptr && *number == 0 && switched_off(map)) continue;
    if (value->if_double() != nullptr || (number != nullptr && *number < 1)) {
      throw FormatError(fmt::format("{}: key '{}': expected a positive number, got {}", where, key, value->describe()));
    }
  }
  const spec::Value* types = spec::find(map, "layer_types");
  const spec::Value* layers = spec::find(map, "num_hidden_layers");
  const spec::List* list = types == nullptr ? nullptr : types->if_list();
  const std::int64_t* count = layers == nullptr ? nullptr : layers->if_int();
  if (list != nullptr && count != nullptr && static_cast<std::int64_t>(list->size()) != *count) {
    throw FormatError(fmt::format("{}: key 'layer_types': expected one for each of {} layers, got {}", where, *count, list->size()));
  }
  if (spec::find(map, "sliding_windows") != nullptr) unread.push_back("key 'sliding_windows' is not read: its windows are not counted");
}

}  // namespace

std::vector<std::string> check_attention_keys(const Config& config) {
  std::vector<std::string> unread;
  check_map(config.data, config.where, unread);
  for (const std::string_view part : kTextParts) {
    const spec::Value* value = spec::find(config.data, part);
    if (value != nullptr && value->if_map() != nullptr) check_map(*value->if_map(), fmt::format("{} of {}", part, config.where), unread);
  }
  return unread;
}

}  // namespace bigmodel
