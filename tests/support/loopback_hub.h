// SPDX-License-Identifier: Apache-2.0
// Runs tests/support/loopback_hub.py for a test: a Hub on loopback whose repositories fault/* misbehave by name.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/temp_folder.h"

namespace bigmodel::test {

class LoopbackHub {
 public:
  enum class Scheme { http, https };
  /// Starts python3 and waits until it serves. Throws std::runtime_error where it cannot.
  explicit LoopbackHub(Scheme scheme = Scheme::http);
  ~LoopbackHub();
  LoopbackHub(const LoopbackHub&) = delete;
  LoopbackHub& operator=(const LoopbackHub&) = delete;

  /// "http://127.0.0.1:40123".
  const std::string& endpoint() const { return endpoint_; }
  std::string cdn_origin() const { return cdn_; }
  /// The certificate that https is served with.
  std::string certificate() const { return (folder_ / "certificate.pem").string(); }

  struct Request {
    std::string server;  ///< "hub" or "cdn"
    std::string method, path;
    nlohmann::json headers;
    std::string body;
  };
  std::vector<Request> requests() const;
  /// How many requests have the method and contain the text in their path.
  std::size_t count(const std::string& method, const std::string& part) const;

 private:
  TempFolder folder_;
  std::string endpoint_, cdn_;
  int pid_ = -1;
  int input_ = -1;  ///< its end stops the server
};

}  // namespace bigmodel::test
