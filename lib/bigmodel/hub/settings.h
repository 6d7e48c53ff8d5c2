// SPDX-License-Identifier: Apache-2.0
// The Hub's settings as plain values, and the one function that reads them from an environment as huggingface_hub does.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

struct HubSettings {
  std::filesystem::path cache;                         ///< root that holds the models--* folders
  std::string endpoint = "https://huggingface.co";     ///< without a trailing slash; prefixes api and resolve addresses
  std::string token;                                   ///< empty: none
  std::string token_source;                            ///< for messages: "HF_TOKEN", or the file's path; empty without
  bool offline = false;                                ///< no network at all
  std::string offline_source;                          ///< "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "--offline"
  std::optional<bool> disable_progress_bars;           ///< unset: the terminal decides
  bool disable_symlinks = false;                       ///< snapshots hold the files themselves
  bool debug = false;                                  ///< HF_DEBUG: show each request, token masked
  std::string user_agent_origin;                       ///< HF_HUB_USER_AGENT_ORIGIN
  std::string ca_file;                                 ///< certificates to trust instead of the system's; empty: system's
  std::chrono::seconds metadata_timeout{10};           ///< HF_HUB_ETAG_TIMEOUT
  std::chrono::seconds download_timeout{10};           ///< HF_HUB_DOWNLOAD_TIMEOUT: without a byte arriving
  std::vector<std::string> notes;                      ///< what was seen and is not followed
};

/// Looks a variable of the environment up.
using HubEnvironment = std::function<std::optional<std::string>(const std::string&)>;
/// A small file's text, nullopt where it cannot be read. Passed in so that tests need no files.
using HubFileReader = std::function<std::optional<std::string>(const std::filesystem::path&)>;

/// Cache: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub.
/// Token: HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the file $HF_TOKEN_PATH, else $HF_HOME/token; none of them is used where
/// HF_HUB_DISABLE_IMPLICIT_TOKEN is true. Booleans are true for 1, ON, YES, TRUE in any case, false otherwise. An empty
/// variable counts as unset. `~` and `$VAR` are expanded in paths.
HubSettings hub_settings(const HubEnvironment& environment, const HubFileReader& read_token_file);

/// The same with token files read from disk (at most 64 KiB).
HubSettings hub_settings(const HubEnvironment& environment);

/// A token file's text without spaces and line ends at both sides.
std::string cleaned_token(std::string_view text);

}  // namespace bigmodel
