// SPDX-License-Identifier: Apache-2.0
// A client over real HTTP whose waits are counted instead of slept.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bigmodel/hub/curl_transport.h"
#include "bigmodel/hub/hub_client.h"
#include "support/temp_folder.h"

namespace bigmodel::test {

class TestClient {
 public:
  explicit TestClient(const std::string& endpoint, const std::function<void(HubSettings&)>& change = {}, WorkContext work = {}) {
    settings.endpoint = endpoint;
    settings.cache = cache / "hub";
    settings.metadata_timeout = std::chrono::seconds(20);
    settings.download_timeout = std::chrono::seconds(20);
    if (change) change(settings);
    CurlTransportOptions options;
    options.ca_file = settings.ca_file;
    transport_ = std::make_unique<CurlTransport>(std::move(options));
    client_ = std::make_unique<HubClient>(settings, *transport_, std::move(work),
                                          HubClientHooks{[this](std::chrono::milliseconds time) {
                                                           const std::scoped_lock lock(mutex_);
                                                           waits.push_back(time.count());
                                                         },
                                                         [] { return 0.0; },
                                                         [this](const std::string& text) { notices.push_back(text); }});
  }

  HubClient* operator->() { return client_.get(); }
  HubClient& operator*() { return *client_; }

  TempFolder cache;  ///< settings.cache is its folder "hub"
  HubSettings settings;
  std::vector<long> waits;  ///< in ms
  std::vector<std::string> notices;

 private:
  std::mutex mutex_;
  std::unique_ptr<CurlTransport> transport_;
  std::unique_ptr<HubClient> client_;
};

}  // namespace bigmodel::test
