// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/hub_error.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "bigmodel/hub/repo_id.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

constexpr std::size_t kLongestServerText = 300;

/// One line without control bytes, so that a server cannot write to the terminal.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kLongestServerText)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  while (out.ends_with(' ') || out.ends_with('.')) out.pop_back();
  return out;
}

std::string header_text(const HttpResponse& response, std::string_view name) {
  const std::string* value = response.header(name);
  return value == nullptr ? std::string() : printable(*value);
}

std::string json_message(const std::string& body) {
  if (body.empty() || body.front() != '{') return {};
  try {
    const nlohmann::ordered_json json = parse_json(body, "answer", {.size_bytes = 1 << 20, .depth = 50});
    const auto error = json.find("error");
    if (error != json.end() && error->is_string()) return printable(error->get<std::string>());
    const auto errors = json.find("errors");
    if (errors != json.end() && errors->is_array() && !errors->empty() && errors->front().is_object()) {
      const auto message = errors->front().find("message");
      if (message != errors->front().end() && message->is_string()) return printable(message->get<std::string>());
    }
  } catch (const Error&) {
    return {};  // not the JSON it seemed to be
  }
  return {};
}

std::string token_words(const HubQuestion& question) {
  return question.token_source.empty() ? "no token was sent" : fmt::format("with the token of {}", question.token_source);
}

std::string token_hint(const HubQuestion& question) {
  if (question.token_source.empty()) return "if it is private or gated, set HF_TOKEN or pass --token-file";
  return fmt::format("if it is private, its owner must let the account of {} in", question.token_source);
}

std::optional<long> number_behind(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  long out = 0;
  const char* begin = text.data() + at + key.size();
  if (std::from_chars(begin, text.data() + text.size(), out).ec != std::errc{}) return std::nullopt;
  return out;
}

}  // namespace

bool worth_retrying(int status) noexcept {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

std::optional<std::chrono::seconds> asked_wait(const HttpResponse& response) {
  if (const std::string* limit = response.header("ratelimit")) {
    const auto left = number_behind(*limit, "r=");
    const auto wait = number_behind(*limit, "t=");
    if (left && *left == 0 && wait && *wait >= 0 && *wait < 1'000'000) return std::chrono::seconds(*wait + 1);
  }
  if (const std::string* after = response.header("retry-after")) {
    const auto wait = number_behind(*after, "");
    if (wait && *wait >= 0 && *wait < 1'000'000) return std::chrono::seconds(*wait);
  }
  return std::nullopt;
}

void throw_hub_error(const HttpResponse& response, const std::string& body, const HubQuestion& question) {
  const std::string code = header_text(response, "x-error-code");
  std::string said = header_text(response, "x-error-message");
  if (said.empty()) said = json_message(body);
  const std::string commit = header_text(response, "x-repo-commit");
  const std::string request_id = header_text(response, "x-request-id");
  const std::string behind = request_id.empty() ? "" : fmt::format(" (request {})", request_id);
  const std::string& repo = question.repo_id;
  const int status = response.status;
  if (code == "RevisionNotFound") {
    throw RevisionNotFoundError(fmt::format("{}: no branch, tag or commit '{}'", repo, question.revision),
                                fmt::format("see {}/{}/branches/main for what there is", question.endpoint, repo));
  }
  if (code == "EntryNotFound") {
    throw EntryNotFoundError(fmt::format("{}: no file {} at {}", repo, question.path, commit.empty() ? question.revision : commit.substr(0, 7)),
                             fmt::format("see {}/{}/tree/{}", question.endpoint, repo,
                                         percent_encoded(question.revision.empty() ? "main" : question.revision, false)),
                             is_commit_hash(commit) ? commit : "");
  }
  if (code == "GatedRepo") {
    throw AuthorisationError(fmt::format("{}: gated, and access is not granted ({})", repo, token_words(question)),
                             fmt::format("ask for access on {}/{}{}", question.endpoint, repo,
                                         question.token_source.empty() ? ", then set HF_TOKEN or pass --token-file" : ""));
  }
  if (said == "Access to this resource is disabled") {
    throw AuthorisationError(fmt::format("{}: the Hub has disabled access to this repository", repo));
  }
  if (status == 401 && said == "Invalid credentials in Authorization header") {
    throw AuthorisationError(fmt::format("{}: the token of {} is wrong or has expired", repo, question.token_source),
                             "check it with `hf auth whoami`, or log in again");
  }
  if (code == "RepoNotFound" || status == 401) {
    throw RepoNotFoundError(fmt::format("{}: the Hub has no such model, or not for this account ({})", repo, token_words(question)),
                            token_hint(question));
  }
  const std::string words = said.empty() ? "" : fmt::format(": {}", said);
  if (status == 403) {
    throw AuthorisationError(fmt::format("{}: forbidden{} ({}){}", repo, words, token_words(question), behind),
                             "use a token with the needed permission");
  }
  if (status == 404) throw NotFoundError(fmt::format("{}: not there{}{}", repo, words, behind), "check the name and the endpoint");
  if (status == 429) {
    const auto wait = asked_wait(response);
    throw BusyServerError(fmt::format("{}: the Hub's rate limit is reached{}", repo, words),
                          fmt::format("wait{}{}", wait ? fmt::format(" {} s", wait->count()) : " a few minutes",
                                      question.token_source.empty() ? ", or set HF_TOKEN, which has a higher limit" : ""));
  }
  if (worth_retrying(status)) {
    throw BusyServerError(fmt::format("{}: the server failed with status {}{}{}", repo, status, words, behind), "try again later");
  }
  if (status == 416) throw NetworkError(fmt::format("{}: the server refuses the range that was asked for{}", repo, behind));
  throw NetworkError(fmt::format("{}: unexpected status {}{}{}", repo, status, words, behind),
                     fmt::format("is {} a Hub?", question.endpoint));
}

}  // namespace bigmodel
