// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/text_part.h"

namespace bigmodel {

std::int64_t stated_context(const spec::Map& config) {
  for (const char* key : {"max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length"}) {
    const spec::Value* value = spec::find(config, key);
    if (value != nullptr && value->if_int() != nullptr && *value->if_int() > 0) return *value->if_int();
  }
  for (const std::string_view part : kTextParts) {
    const spec::Value* value = spec::find(config, part);
    if (value != nullptr && value->if_map() != nullptr) return stated_context(*value->if_map());
  }
  return 0;
}

}  // namespace bigmodel
