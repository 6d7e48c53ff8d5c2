// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/fetch.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "bigmodel/hub/blob_digest.h"
#include "bigmodel/hub/blob_download.h"
#include "bigmodel/hub/cache_writer.h"
#include "bigmodel/hub/repo_id.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSmallFileBytes = std::uint64_t{64} << 20;

void say(const std::function<void(const std::string&)>& to, const std::string& text) {
  if (to) to(text);
}

/// The cache's copy, where it has one.
std::optional<FetchedFile> from_cache(const HubClient& client, const std::string& repo_id, const std::string& revision,
                                      const std::string& path) {
  const CachedFile found = find_cached_file(client.settings().cache, repo_id, path, revision);
  if (found.state != CachedFile::State::found) return std::nullopt;
  return FetchedFile{found.path, found.commit, false, false};
}

/// Brings the blob into the cache unless it is there, and links it.
BlobDownload bring(HubClient& client, const CacheRepo& repo, const std::string& repo_id, const std::string& path,
                   const FileMetadata& file, const BlobDownloadOptions& options) {
  repo.prepare();
  const BlobLock lock(repo, file.etag, client.work().stop, [&] {
    say(options.note, fmt::format("{}: still waiting for another program that downloads it", path));
  });
  BlobDownload out;
  std::error_code error;
  if (fs::exists(repo.file_path(file.commit, path), error)) return out;  // meanwhile, by the other program
  const fs::path blob = repo.blob_path(file.etag);
  if (fs::file_size(blob, error) != file.size_bytes || error) out = download_blob(client, repo, repo_id, path, file, options);
  repo.link_file(file.commit, path, file.etag, !client.settings().disable_symlinks);
  return out;
}

[[noreturn]] void refuse_offline(const HubClient& client, const std::string& repo_id, const std::string& revision, const std::string& path) {
  const CachedFile state = find_cached_file(client.settings().cache, repo_id, path, revision);
  if (state.state == CachedFile::State::known_missing) {
    throw EntryNotFoundError(fmt::format("{}: no file {} at {}", repo_id, path, state.commit.substr(0, 7)), {}, state.commit);
  }
  throw NetworkError(fmt::format("{}: {}{} is not in the cache, and the network is off ({})", repo_id, path,
                                 revision == "main" ? "" : fmt::format(" at {}", revision), client.settings().offline_source),
                     "allow the network once, or name a folder");
}

void note_missing(const HubClient& client, const std::string& repo_id, const std::string& path, const std::string& commit) {
  if (commit.empty()) return;
  try {
    CacheRepo(client.settings().cache, repo_id).note_missing(commit, path);
  } catch (const Error&) {
    return;  // a read-only cache: the next call asks again
  }
}

void keep_ref(const CacheRepo& repo, const std::string& revision, const std::string& commit) {
  try {
    repo.write_ref(revision, commit);
  } catch (const IoError&) {
    return;  // a read-only cache whose file is there all the same
  }
}

bool matches(const std::string& pattern, const std::string& path) {
  const std::string whole = pattern.ends_with('/') ? pattern + "*" : pattern;
  return ::fnmatch(whole.c_str(), path.c_str(), 0) == 0;
}

}  // namespace

FetchedFile fetch_file(HubClient& client, const std::string& repo_id, const std::string& revision, const std::string& path,
                       const FetchNotes& notes) {
  const bool fixed = is_commit_hash(revision);
  std::optional<FetchedFile> cached = from_cache(client, repo_id, revision, path);
  if (cached && (fixed || client.settings().offline)) return *cached;
  if (client.settings().offline) refuse_offline(client, repo_id, revision, path);
  FileMetadata file;
  try {
    file = client.file_metadata(repo_id, revision, path);
  } catch (const EntryNotFoundError& e) {
    note_missing(client, repo_id, path, e.commit());
    throw;
  } catch (const RevisionNotFoundError&) {
    throw;
  } catch (const Error& e) {
    const bool no_answer = e.kind() == ErrorKind::network || e.kind() == ErrorKind::authorisation || e.kind() == ErrorKind::not_found;
    if (!cached || !no_answer) throw;
    say(notes.warning, fmt::format("{}; using the cache, which may be stale", e.message()));
    cached->stale = true;
    return *cached;
  }
  const CacheRepo repo(client.settings().cache, repo_id);
  std::error_code error;
  FetchedFile out{repo.file_path(file.commit, path), file.commit, false, false};
  if (!fs::exists(out.path, error)) {
    const BlobDownload got = bring(client, repo, repo_id, path, file,
                                   {.note = notes.note});
    out.downloaded = got.received_bytes > 0;
  }
  keep_ref(repo, revision, file.commit);
  return out;
}

std::uint64_t DownloadPlan::total_bytes() const {
  std::uint64_t out = 0;
  for (const PlannedFile& planned : files) out += planned.file.size_bytes;
  return out;
}

std::uint64_t DownloadPlan::missing_bytes() const {
  std::uint64_t out = 0;
  for (const PlannedFile& planned : files) out += planned.cached ? 0 : planned.file.size_bytes;
  return out;
}

bool is_wanted(const std::string& path, std::span<const std::string> include, std::span<const std::string> exclude) {
  const auto hits = [&](const std::string& pattern) { return matches(pattern, path); };
  return (include.empty() || std::ranges::any_of(include, hits)) && std::ranges::none_of(exclude, hits);
}

DownloadPlan plan_download(HubClient& client, const std::string& repo_id, const std::string& revision,
                           std::span<const std::string> include, std::span<const std::string> exclude) {
  const fs::path& cache = client.settings().cache;
  DownloadPlan out{repo_id, revision, {}, {}, {}};
  std::vector<RepoFile> files;
  if (client.settings().offline) {
    const std::optional<std::string> commit = cached_commit(cache, repo_id, revision);
    const auto snapshot = find_cached_snapshot(cache, repo_id, revision);
    if (!commit || !snapshot) refuse_offline(client, repo_id, revision, "its snapshot");
    out.commit = *commit;
    const auto tree = cached_tree(cache, repo_id, *commit);
    files = tree ? *tree : snapshot_files(snapshot->folder);
  } else {
    out.commit = client.resolve_commit(repo_id, revision);
    files = client.list_files(repo_id, out.commit);
  }
  out.folder = cache / repo_folder_name(repo_id) / "snapshots" / out.commit;
  for (RepoFile& file : files) {
    if (!is_wanted(file.path, include, exclude)) continue;
    std::error_code error;
    const bool cached = fs::is_regular_file(out.folder / file.path, error);
    out.files.push_back({std::move(file), cached});
  }
  return out;
}

DownloadResult download(HubClient& client, const DownloadPlan& plan, unsigned connections, const FetchNotes& notes) {
  const CacheRepo repo(client.settings().cache, plan.repo_id);
  DownloadResult out;
  std::vector<const PlannedFile*> missing;
  for (const PlannedFile& planned : plan.files) {
    if (!planned.cached) missing.push_back(&planned);
  }
  if (client.settings().offline && !missing.empty()) {
    refuse_offline(client, plan.repo_id, plan.revision, missing.front()->file.path);
  }
  // Small files side by side, then each large one in parallel ranges.
  std::ranges::stable_sort(missing, {}, [](const PlannedFile* planned) { return planned->file.size_bytes; });
  const std::uint64_t total = plan.missing_bytes();
  std::atomic<std::uint64_t> arrived{0};
  std::mutex mutex;  // of the result, of notes and of reports
  std::exception_ptr failure;
  std::atomic<std::size_t> next{0};
  const auto small = static_cast<std::size_t>(std::ranges::count_if(
      missing, [](const PlannedFile* planned) { return planned->file.size_bytes < kSmallFileBytes; }));
  BlobDownloadOptions options;
  options.arrived = [&](std::uint64_t bytes) {
    const std::uint64_t now = arrived += bytes;
    client.work().report("downloading", std::min(now, total), total);
  };
  options.note = [&](const std::string& text) {
    const std::scoped_lock lock(mutex);
    say(notes.note, text);
  };
  const auto one = [&](const PlannedFile& planned, unsigned streams) {
    client.work().throw_if_stopped();
    // The listing has all that a probe would say, unless a mirror leaves digests out.
    const FileMetadata file = BlobDigest::kind_of(planned.file.etag) == BlobDigest::Kind::unknown
                                  ? client.file_metadata(plan.repo_id, plan.commit, planned.file.path)
                                  : FileMetadata{plan.commit, planned.file.etag, planned.file.size_bytes,
                                                 client.resolve_address(plan.repo_id, plan.commit, planned.file.path)};
    if (file.commit != plan.commit) throw NetworkError(fmt::format("{}: the server answers with another commit", plan.repo_id), "try again");
    BlobDownloadOptions mine = options;
    mine.connections = streams;
    const BlobDownload got = bring(client, repo, plan.repo_id, planned.file.path, file, mine);
    const std::scoped_lock lock(mutex);
    out.received_bytes += got.received_bytes;
    out.resumed_bytes += got.resumed_bytes;
    arrived += got.resumed_bytes;
    if (got.received_bytes + got.resumed_bytes > 0) ++out.downloaded_files;
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min<std::size_t>(small, std::max(connections, 1U)); ++i) {
      threads.emplace_back([&] {
        try {
          for (std::size_t k = next++; k < small; k = next++) {
            {
              const std::scoped_lock lock(mutex);
              if (failure) return;
            }
            one(*missing[k], 1);
          }
        } catch (...) {
          const std::scoped_lock lock(mutex);
          if (!failure) failure = std::current_exception();
        }
      });
    }
  }
  if (failure) std::rethrow_exception(failure);
  for (std::size_t k = small; k < missing.size(); ++k) one(*missing[k], connections);
  if (!client.settings().offline) keep_ref(repo, plan.revision, plan.commit);
  return out;
}

}  // namespace bigmodel
