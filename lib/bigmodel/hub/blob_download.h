// SPDX-License-Identifier: Apache-2.0
// One blob from the network into the cache: resumed where a part is there, in parallel ranges where it is large, and accepted
// only when its digest is its name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "bigmodel/hub/cache_writer.h"
#include "bigmodel/hub/hub_client.h"

namespace bigmodel {

struct BlobDownloadOptions {
  unsigned connections = 8;                                   ///< at most, for files of several ranges
  std::uint64_t range_bytes = std::uint64_t{32} << 20;        ///< one request's share of a large file
  std::function<void(std::uint64_t)> arrived;                 ///< bytes that came, from several threads; may be empty
  std::function<void(const std::string&)> note;               ///< "resumed at ..."; may be empty
};

struct BlobDownload {
  std::uint64_t received_bytes = 0;  ///< over the network, repetitions counted
  std::uint64_t resumed_bytes = 0;   ///< that an earlier call had left
};

/// Downloads to blobs/<etag>. The caller holds the blob's lock. `repo_id`, `path` name the file in messages and find a fresh
/// address when a signed one has expired. While it runs there is blobs/<etag>.bigmodel.incomplete, which stays for the next
/// call when this one fails or is stopped (on local file systems; elsewhere it is removed).
/// Throws NetworkError (digest differs twice, file changed), AuthorisationError, IoError (disk full), CancelledError.
BlobDownload download_blob(HubClient& client, const CacheRepo& repo, const std::string& repo_id, const std::string& path,
                           const FileMetadata& file, const BlobDownloadOptions& options);

}  // namespace bigmodel
