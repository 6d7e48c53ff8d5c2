// SPDX-License-Identifier: Apache-2.0
// Questions to the Hub: where a file is and what it is, which files a revision has, parts of files. Keeps the token at the
// endpoint, follows redirects by the Hub's rules, tries again where that may help.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "bigmodel/core/progress.h"
#include "bigmodel/hub/cache.h"
#include "bigmodel/hub/hub_error.h"
#include "bigmodel/hub/settings.h"
#include "bigmodel/hub/transport.h"

namespace bigmodel {

/// What a metadata probe says about one file.
struct FileMetadata {
  std::string commit;    ///< 40 hex digits
  std::string etag;      ///< blob's name
  std::uint64_t size_bytes = 0;
  std::string location;  ///< where the bytes are: the resolve address, or a signed one of a content network
};

struct HubClientHooks {
  /// Waits; throws CancelledError when stopped. Tests count instead of waiting.
  std::function<void(std::chrono::milliseconds)> sleep;
  /// A number in [0, 1), for jitter.
  std::function<double()> random;
  /// Server notices (X-HF-Warning), once per topic; may be empty.
  std::function<void(const std::string&)> notice;
};

class HubClient {
 public:
  /// All must outlive it. Thread-safe.
  HubClient(const HubSettings& settings, HttpTransport& transport, WorkContext work, HubClientHooks hooks);

  const HubSettings& settings() const { return settings_; }
  const WorkContext& work() const { return work_; }

  /// HEAD of the resolve address. Throws EntryNotFoundError, RevisionNotFoundError, RepoNotFoundError, AuthorisationError,
  /// NetworkError.
  FileMetadata file_metadata(const std::string& repo_id, const std::string& revision, const std::string& path);

  /// The commit that a branch, tag or short commit means; one call of the API.
  std::string resolve_commit(const std::string& repo_id, const std::string& revision);

  /// All files at a commit, sorted; at most 100,000.
  std::vector<RepoFile> list_files(const std::string& repo_id, const std::string& commit);

  /// Bytes [first, first + size) of a file, or fewer where it ends before. The server must answer with that range; where it
  /// sends the whole file, reading stops once the bytes are there. `file_bytes` is set to the file's size.
  std::string read_range(const std::string& repo_id, const std::string& revision, const std::string& path, std::uint64_t first,
                         std::uint64_t size, std::uint64_t* file_bytes = nullptr);

  /// One GET of a body, redirects followed, without retries. `extra` are further headers (Range).
  HttpResponse get(const std::string& url, std::vector<HttpHeader> extra, const HttpSink& sink);

  /// A request to the endpoint's API with a JSON body (empty: none), retried; the answer's body, at most `limit_bytes`.
  std::string call_api(const std::string& method, const std::string& path, const std::string& body,
                       const HubQuestion& question, std::string_view content_type = "application/json",
                       HttpResponse* answer = nullptr, std::uint64_t limit_bytes = std::uint64_t{64} << 20);

  /// A request anywhere (an upload's signed address): the token goes along only to the endpoint's origin.
  HttpResponse send(HttpRequest request, const HttpSink& sink);

  /// Runs `attempt` up to six times while it throws a TransportError worth retrying or BusyServerError, with waits of 1 s
  /// doubling to 8 s and jitter; what the attempt puts into its argument (Retry-After) is waited instead, up to a minute. Where no server has ever answered there is one more try only.
  void with_retries(const std::function<void(std::optional<std::chrono::seconds>& asked)>& attempt);

  /// Waits before the next try: what the server asked for (up to a minute), else 1 s doubling with each failure, at most 8 s.
  void pause(int failures, std::optional<std::chrono::seconds> asked);

  std::string resolve_address(const std::string& repo_id, const std::string& revision, const std::string& path) const;
  HubQuestion question(const std::string& repo_id, const std::string& revision, const std::string& path) const;

 private:
  HttpRequest request_for(const std::string& method, const std::string& url) const;
  /// Follows redirects for as long as they stay within known Hub hosts; the last answer comes back.
  HttpResponse head_within_hub(std::string url);
  std::string redirect_target(const HttpResponse& response) const;
  void show_notices(const HttpResponse& response);

  const HubSettings& settings_;
  HttpTransport& transport_;
  WorkContext work_;
  HubClientHooks hooks_;
  std::atomic<bool> answered_{false};  ///< a server has answered: a broken line now is worth waiting for
  std::mutex notices_mutex_;
  std::vector<std::string> seen_topics_;
};

/// Sleeps in small steps until the time is over or `stop` is requested, which throws CancelledError.
void sleep_until_stopped(std::chrono::milliseconds time, const std::stop_token& stop);

/// "https://huggingface.co/..." of an answer becomes the endpoint's; others stay.
std::string at_endpoint(std::string url, const std::string& endpoint);

/// `next` of a Link header (RFC 8288), or empty.
std::string next_link(std::string_view header);

/// Start, end (inclusive) and total of "bytes 0-9/100"; nullopt where it is not that.
struct ContentRange {
  std::uint64_t first = 0, last = 0, total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text);

/// A reference against the address it came from: absolute, scheme-relative, absolute path; empty where it is none of these.
std::string resolved_url(std::string_view base, std::string_view reference);

}  // namespace bigmodel
