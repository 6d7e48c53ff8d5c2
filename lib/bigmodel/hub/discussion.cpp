// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/discussion.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {

std::string open_discussion(HubClient& client, const std::string& repo_id, const std::string& title, const std::string& text) {
  const nlohmann::json question{{"title", title}, {"description", text}, {"pullRequest", false}};
  const std::string answer = client.call_api("POST", fmt::format("/api/models/{}/discussions", repo_id), question.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), client.question(repo_id, {}, {}));
  const nlohmann::ordered_json json = parse_json(answer, fmt::format("answer to a discussion in {}", repo_id));
  if (!json.is_object() || !json.contains("num") || !json["num"].is_number_integer()) {
    throw FormatError(fmt::format("{}: the Hub's answer to a new discussion has no number", repo_id), "look at the repository's discussions");
  }
  return fmt::format("{}/{}/discussions/{}", client.settings().endpoint, repo_id, json["num"].get<std::int64_t>());
}

}  // namespace bigmodel
