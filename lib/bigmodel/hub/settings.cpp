// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/io/read_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kTokenLimitBytes = 64 << 10;

bool is_true(std::string_view text) {
  std::string upper(text);
  std::ranges::transform(upper, upper.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE";
}

bool is_name_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// The lookup with empty values as unset.
class Variables {
 public:
  explicit Variables(const HubEnvironment& environment) : environment_(environment) {}

  std::optional<std::string> text(const std::string& name) const {
    std::optional<std::string> out = environment_(name);
    if (out && out->empty()) return std::nullopt;
    return out;
  }

  bool flag(const std::string& name) const { return is_true(text(name).value_or("")); }

  std::optional<fs::path> path(const std::string& name) const {
    const std::optional<std::string> raw = text(name);
    if (!raw) return std::nullopt;
    return fs::path(expanded(*raw));
  }

  std::chrono::seconds seconds(const std::string& name, std::chrono::seconds fallback) const {
    const std::string raw = text(name).value_or("");
    const std::optional<int> value = parse_number<int>(raw);
    return value && *value > 0 ? std::chrono::seconds(*value) : fallback;
  }

 private:
  /// `~` at the front and $NAME, ${NAME}; unknown variables stay as they are.
  std::string expanded(std::string raw) const {
    if (raw == "~" || raw.starts_with("~/")) raw.replace(0, 1, text("HOME").value_or("~"));
    std::string out;
    for (std::size_t i = 0; i < raw.size();) {
      if (raw[i] != '$') {
        out += raw[i++];
        continue;
      }
      const bool braces = i + 1 < raw.size() && raw[i + 1] == '{';
      const std::size_t begin = i + (braces ? 2 : 1);
      std::size_t end = begin;
      while (end < raw.size() && is_name_character(raw[end])) ++end;
      const bool whole = end > begin && (!braces || (end < raw.size() && raw[end] == '}'));
      const std::optional<std::string> value = whole ? environment_(raw.substr(begin, end - begin)) : std::nullopt;
      if (value) {
        out += *value;
        i = end + (braces ? 1 : 0);
      } else {
        out += raw[i++];
      }
    }
    return out;
  }

  const HubEnvironment& environment_;
};

void read_token(HubSettings& settings, const Variables& variables, const fs::path& home, const HubFileReader& read) {
  if (variables.flag("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return;
  if (variables.text("HF_OIDC_RESOURCE")) {
    settings.notes.emplace_back("HF_OIDC_RESOURCE is set, but bigmodel does not exchange CI tokens; set HF_TOKEN instead");
  }
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    settings.token = cleaned_token(variables.text(name).value_or(""));
    settings.token_source = name;
    if (!settings.token.empty()) return;
  }
  const fs::path file = variables.path("HF_TOKEN_PATH").value_or(home / "token");
  settings.token = cleaned_token(read(file).value_or(""));
  settings.token_source = settings.token.empty() ? "" : file.string();
}

}  // namespace

std::string cleaned_token(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  std::string out(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
  std::erase_if(out, [](char c) { return c == '\r' || c == '\n'; });
  return out;
}

HubSettings hub_settings(const HubEnvironment& environment, const HubFileReader& read_token_file) {
  const Variables variables(environment);
  HubSettings out;
  const fs::path user_cache =
      variables.path("XDG_CACHE_HOME").value_or(fs::path(variables.text("HOME").value_or("/")) / ".cache");
  const fs::path home = variables.path("HF_HOME").value_or(user_cache / "huggingface");
  out.cache = home / "hub";
  for (const char* name : {"HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"}) out.cache = variables.path(name).value_or(out.cache);
  if (const auto endpoint = variables.text("HF_ENDPOINT")) out.endpoint = *endpoint;
  while (out.endpoint.ends_with('/')) out.endpoint.pop_back();
  read_token(out, variables, home, read_token_file);
  for (const char* name : {"TRANSFORMERS_OFFLINE", "HF_HUB_OFFLINE"}) {
    if (!variables.flag(name)) continue;
    out.offline = true;
    out.offline_source = name;
  }
  if (const auto bars = variables.text("HF_HUB_DISABLE_PROGRESS_BARS")) out.disable_progress_bars = is_true(*bars);
  out.disable_symlinks = variables.flag("HF_HUB_DISABLE_SYMLINKS");
  out.debug = variables.flag("HF_DEBUG");
  out.user_agent_origin = variables.text("HF_HUB_USER_AGENT_ORIGIN").value_or("");
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (const auto file = variables.path(name)) out.ca_file = file->string();
  }
  out.metadata_timeout = variables.seconds("HF_HUB_ETAG_TIMEOUT", out.metadata_timeout);
  out.download_timeout = variables.seconds("HF_HUB_DOWNLOAD_TIMEOUT", out.download_timeout);
  return out;
}

HubSettings hub_settings(const HubEnvironment& environment) {
  return hub_settings(environment, [](const fs::path& file) -> std::optional<std::string> {
    try {
      return read_file(file, kTokenLimitBytes);
    } catch (const Error&) {
      return std::nullopt;
    }
  });
}

}  // namespace bigmodel
