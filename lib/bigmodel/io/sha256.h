// SPDX-License-Identifier: Apache-2.0
// SHA-256, the digest that the Hub names large files by.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace bigmodel {

/// Move-only, one thread at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(std::span<const std::byte> bytes);
  /// Lower-case hexadecimal; the object starts anew afterwards.
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace bigmodel
