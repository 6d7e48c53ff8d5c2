// SPDX-License-Identifier: Apache-2.0
// Large files to the Hub's storage, by Git LFS: ask where each goes, send it there in one piece or in parts, have it checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "bigmodel/hub/hub_client.h"

namespace bigmodel {

struct LfsObject {
  std::filesystem::path source;
  std::string path;    ///< in the repository, for messages
  std::string sha256;  ///< 64 hex digits: its name in the storage
  std::uint64_t size_bytes = 0;
};

struct LfsUpload {
  std::uint64_t sent_bytes = 0;   ///< of files, repetitions not counted
  std::uint64_t known_bytes = 0;  ///< of files that the storage has already
};

/// Uploads what the storage lacks, `connections` parts at a time, and reports progress as "uploading" out of `total_bytes`.
/// A file that changes meanwhile is refused by the storage or here. Throws NetworkError, AuthorisationError, FormatError (an
/// answer that makes no sense), IoError, CancelledError.
LfsUpload upload_lfs(HubClient& client, const std::string& repo_id, const std::string& revision, std::span<const LfsObject> objects,
                     unsigned connections);

}  // namespace bigmodel
