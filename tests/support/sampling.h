// SPDX-License-Identifier: Apache-2.0
// Under sanitizers everything takes many times as long: of the large sets every n-th record is taken there.
#pragma once

#include <cstdio>

namespace bigmodel::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// Counts records: take() says whether the next one is to be checked. Says once on stderr that it samples.
class Sampling {
 public:
  explicit Sampling(int every) : every_(kSanitized ? every : 1) {
    if (every_ > 1) std::fprintf(stderr, "SAMPLED: every %d. record, as this is a sanitizer's run\n", every_);
  }
  bool take() { return count_++ % every_ == 0; }

 private:
  int every_;
  int count_ = 0;
};

}  // namespace bigmodel::test
