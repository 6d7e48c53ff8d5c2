// SPDX-License-Identifier: Apache-2.0
// The digest that names a blob of the Hub: SHA-256 of large files, git's SHA-1 (over "blob <size>\0" and the bytes) of others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bigmodel {

/// Move-only, one thread at a time.
class BlobDigest {
 public:
  enum class Kind { sha256, git_sha1, unknown };

  /// The kind that an etag is by its form: 64 or 40 lower-case hexadecimal digits.
  static Kind kind_of(std::string_view etag) noexcept;

  /// `size_bytes` is that of the whole blob. An unknown kind takes bytes and gives an empty digest.
  BlobDigest(Kind kind, std::uint64_t size_bytes);
  BlobDigest(BlobDigest&&) noexcept;
  BlobDigest& operator=(BlobDigest&&) noexcept;
  ~BlobDigest();

  void update(std::span<const std::byte> bytes);
  /// Lower-case hexadecimal. Call once.
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bigmodel
