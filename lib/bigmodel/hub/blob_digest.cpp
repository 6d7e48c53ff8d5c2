// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/blob_digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "bigmodel/core/error.h"

namespace bigmodel {

struct BlobDigest::State {
  EVP_MD_CTX* context = nullptr;
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

BlobDigest::Kind BlobDigest::kind_of(std::string_view etag) noexcept {
  if (etag.find_first_not_of("0123456789abcdef") != std::string_view::npos) return Kind::unknown;
  return etag.size() == 64 ? Kind::sha256 : etag.size() == 40 ? Kind::git_sha1 : Kind::unknown;
}

BlobDigest::BlobDigest(Kind kind, std::uint64_t size_bytes) : state_(std::make_unique<State>()) {
  if (kind == Kind::unknown) return;
  state_->context = EVP_MD_CTX_new();
  BIGMODEL_ASSERT(state_->context != nullptr);
  const EVP_MD* algorithm = kind == Kind::sha256 ? EVP_sha256() : EVP_sha1();
  BIGMODEL_ASSERT(EVP_DigestInit_ex(state_->context, algorithm, nullptr) == 1);
  if (kind != Kind::git_sha1) return;
  const std::string head = fmt::format("blob {}", size_bytes);
  update(std::as_bytes(std::span(head.c_str(), head.size() + 1)));  // with the NUL
}

BlobDigest::BlobDigest(BlobDigest&&) noexcept = default;
BlobDigest& BlobDigest::operator=(BlobDigest&&) noexcept = default;
BlobDigest::~BlobDigest() = default;

void BlobDigest::update(std::span<const std::byte> bytes) {
  if (state_->context == nullptr || bytes.empty()) return;
  BIGMODEL_ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string BlobDigest::finish_hex() {
  std::string out;
  if (state_->context == nullptr) return out;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  BIGMODEL_ASSERT(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1);
  for (unsigned int i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

}  // namespace bigmodel
