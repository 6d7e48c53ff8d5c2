// SPDX-License-Identifier: Apache-2.0
#include "render/json_text.h"

#include <nlohmann/json.hpp>

namespace bigmodel::app {

std::string json_text(const nlohmann::ordered_json& value, bool indented) {
  return value.dump(indented ? 2 : -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace bigmodel::app
