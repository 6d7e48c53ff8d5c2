// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/curl_transport.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <mutex>

namespace bigmodel {
namespace {

/// libcurl, loaded by the first exchange instead of by every process: with the 25 libraries that it needs, loading takes longer
/// than an estimate does. Its soname has been the same since 2006. Never unloaded: TLS libraries leave handlers for the process's end.
class Libcurl {
 public:
  Libcurl() {
    void* library = ::dlopen(kName, RTLD_LAZY | RTLD_LOCAL);
    const bool complete = library != nullptr && find(library, "curl_global_init", global_init) && find(library, "curl_global_cleanup", global_cleanup) &&
                          find(library, "curl_easy_init", easy_init) && find(library, "curl_easy_cleanup", easy_cleanup) &&
                          find(library, "curl_easy_reset", easy_reset) && find(library, "curl_easy_setopt", easy_setopt) &&
                          find(library, "curl_easy_perform", easy_perform) && find(library, "curl_easy_strerror", easy_strerror) &&
                          find(library, "curl_slist_append", slist_append) && find(library, "curl_slist_free_all", slist_free_all);
    if (!complete) {
      throw TransportError(fmt::format("{}: cannot be loaded: {}", kName, ::dlerror()),
                           "install libcurl 7.85 or newer (Debian: libcurl4), or pass --offline to use what is here", false);
    }
    // Thread-safe since 7.84, and counted: nothing is torn down while others use the library.
    if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw TransportError("libcurl: cannot start", {}, false);
  }
  ~Libcurl() { global_cleanup(); }
  Libcurl(const Libcurl&) = delete;
  Libcurl& operator=(const Libcurl&) = delete;

  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_easy_reset) easy_reset = nullptr;
  decltype(&curl_easy_setopt) easy_setopt = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;

 private:
  static constexpr const char* kName = "libcurl.so.4";
  decltype(&curl_global_init) global_init = nullptr;
  decltype(&curl_global_cleanup) global_cleanup = nullptr;

  template <typename Function>
  static bool find(void* library, const char* name, Function& out) {
    out = reinterpret_cast<Function>(::dlsym(library, name));
    return out != nullptr;
  }
};

using Handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using List = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

constexpr std::size_t kMostHeaders = 1000;
constexpr std::size_t kLongestHeader = 64 << 10;
constexpr long kSlowestBytesPerSecond = 1;

/// What the callbacks of one exchange share.
struct Exchange {
  const HttpRequest& request;
  const HttpSink& sink;
  std::stop_token stop;
  HttpResponse response;
  std::exception_ptr failure;
  std::size_t body_sent = 0;
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size * count);
  try {
    if (line.starts_with("HTTP/")) {  // a new head: of a 100 Continue or a proxy before
      exchange.response.headers.clear();
      const std::size_t blank = line.find(' ');
      int status = 0;
      if (blank != std::string_view::npos) std::from_chars(line.data() + blank + 1, line.data() + line.size(), status);
      exchange.response.status = status;
      return line.size();
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.size() > kLongestHeader || exchange.response.headers.size() >= kMostHeaders) {
      return line.size();
    }
    exchange.response.headers.push_back({lower(trimmed(line.substr(0, colon))), std::string(trimmed(line.substr(colon + 1)))});
  } catch (...) {
    exchange.failure = std::current_exception();
    return 0;
  }
  return line.size();
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const std::size_t bytes = size * count;
  try {
    if (!exchange.sink) return bytes;
    if (exchange.sink(exchange.response, std::as_bytes(std::span(data, bytes)))) return bytes;
    exchange.response.stopped_by_sink = true;
  } catch (...) {
    exchange.failure = std::current_exception();
  }
  return bytes == 0 ? 1 : 0;
}

std::size_t on_upload(char* data, std::size_t size, std::size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const std::span<char> room(data, size * count);
  try {
    if (exchange.request.read_body) return exchange.request.read_body(room);
    const std::string_view rest = std::string_view(exchange.request.body).substr(exchange.body_sent);
    const std::size_t n = std::min(rest.size(), room.size());
    std::ranges::copy(rest.substr(0, n), room.begin());
    exchange.body_sent += n;
    return n;
  } catch (...) {
    exchange.failure = std::current_exception();
    return CURL_READFUNC_ABORT;
  }
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(user)->stop.stop_requested() ? 1 : 0;
}

std::string_view without_query(std::string_view url) { return url.substr(0, url.find('?')); }

[[noreturn]] void refuse(CURLcode code, const std::string& reason, const HttpRequest& request) {
  const std::string host = url_host(request.url);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      throw TransportError(fmt::format("{}: its name cannot be resolved: {}", host, reason),
                           "check the network, or pass --offline to use what is here", true);
    case CURLE_COULDNT_RESOLVE_PROXY:
      throw TransportError(fmt::format("{}: the proxy's name cannot be resolved: {}", host, reason),
                           "check http_proxy, HTTPS_PROXY and ALL_PROXY", false);
    case CURLE_PROXY:
      throw TransportError(fmt::format("{}: the proxy refused: {}", host, reason), "check http_proxy, HTTPS_PROXY and ALL_PROXY",
                           false);
    case CURLE_COULDNT_CONNECT:
      throw TransportError(fmt::format("{}: no connection: {}", host, reason),
                           "check the network and the proxy, or pass --offline to use what is here", true);
    case CURLE_OPERATION_TIMEDOUT:
      throw TransportError(fmt::format("{}: no answer in time: {}", host, reason),
                           "try again, or raise HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT", true);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      throw TransportError(fmt::format("{}: its certificate is not trusted: {}", host, reason),
                           "behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate", false);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      throw TransportError(fmt::format("{}: no address that may be asked: {}", without_query(request.url), reason), {}, false);
    default:
      throw TransportError(fmt::format("{}: the exchange broke: {}", without_query(request.url), reason), "try again", true);
  }
}

/// One exchange being set up.
struct Setup {
  const Libcurl& curl;
  CURL* handle;
  List headers{nullptr, curl.slist_free_all};

  template <typename Value>
  void set(CURLoption option, Value value) {
    if (curl.easy_setopt(handle, option, value) != CURLE_OK) throw InternalError("libcurl lacks an option that it should have");
  }

  void append(const std::string& line) {
    curl_slist* longer = curl.slist_append(headers.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    if (headers == nullptr) headers.reset(longer);
  }

  void set_method(const HttpRequest& request) {
    if (request.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (request.method != "GET") {
      const std::uint64_t bytes = request.read_body ? request.read_body_bytes : request.body.size();
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(bytes));
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
      append("Expect:");
    }
  }
};

}  // namespace

/// The library once it is needed, and idle handles, each with its own open connections.
struct CurlTransport::Pool {
  std::mutex mutex;
  std::optional<Libcurl> curl;
  std::vector<Handle> idle;

  Handle take() {
    {
      const std::scoped_lock lock(mutex);
      if (!curl) curl.emplace();
      if (!idle.empty()) {
        Handle out = std::move(idle.back());
        idle.pop_back();
        return out;
      }
    }
    Handle out(curl->easy_init(), curl->easy_cleanup);
    if (!out) throw TransportError("libcurl: cannot start", {}, false);
    return out;
  }
  void give(Handle handle) {
    curl->easy_reset(handle.get());  // options go, connections stay
    const std::scoped_lock lock(mutex);
    idle.push_back(std::move(handle));
  }
};

CurlTransport::CurlTransport(CurlTransportOptions options) : options_(std::move(options)), pool_(std::make_unique<Pool>()) {}
CurlTransport::~CurlTransport() = default;

HttpResponse CurlTransport::send(const HttpRequest& request, const HttpSink& sink, std::stop_token stop) {
  if (stop.stop_requested()) throw CancelledError("stopped");
  if (options_.show_request) options_.show_request(as_curl_command(request));
  Exchange exchange{request, sink, std::move(stop), {}, {}, 0};
  exchange.response.url = request.url;
  std::array<char, CURL_ERROR_SIZE> detail{};
  Handle handle = pool_->take();
  const Libcurl& curl = *pool_->curl;
  Setup setup{curl, handle.get()};
  for (const HttpHeader& header : request.headers) setup.append(header.name + ": " + header.value);
  setup.set(CURLOPT_URL, request.url.c_str());
  setup.set(CURLOPT_PROTOCOLS_STR, request.allow_plain_http ? "http,https" : "https");
  setup.set(CURLOPT_FOLLOWLOCATION, 0L);
  setup.set(CURLOPT_SSL_VERIFYPEER, 1L);
  setup.set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options_.ca_file.empty()) setup.set(CURLOPT_CAINFO, options_.ca_file.c_str());
  setup.set(CURLOPT_USERAGENT, options_.user_agent.c_str());
  setup.set(CURLOPT_NOSIGNAL, 1L);
  setup.set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_timeout.count()));
  setup.set(CURLOPT_LOW_SPEED_LIMIT, kSlowestBytesPerSecond);
  setup.set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout.count()));
  setup.set(CURLOPT_ERRORBUFFER, detail.data());
  setup.set(CURLOPT_HEADERFUNCTION, &on_header);
  setup.set(CURLOPT_HEADERDATA, &exchange);
  setup.set(CURLOPT_WRITEFUNCTION, &on_body);
  setup.set(CURLOPT_WRITEDATA, &exchange);
  setup.set(CURLOPT_READFUNCTION, &on_upload);
  setup.set(CURLOPT_READDATA, &exchange);
  setup.set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  setup.set(CURLOPT_XFERINFODATA, &exchange);
  setup.set(CURLOPT_NOPROGRESS, 0L);
  setup.set(CURLOPT_BUFFERSIZE, 256L << 10);
  setup.set_method(request);
  setup.set(CURLOPT_HTTPHEADER, setup.headers.get());
  const CURLcode code = curl.easy_perform(handle.get());
  if (exchange.failure) std::rethrow_exception(exchange.failure);
  if (exchange.stop.stop_requested() && code != CURLE_OK) throw CancelledError("stopped");
  if (code != CURLE_OK && !exchange.response.stopped_by_sink) refuse(code, detail[0] != '\0' ? detail.data() : curl.easy_strerror(code), request);
  if (code == CURLE_OK) pool_->give(std::move(handle));  // a broken exchange takes its connection with it
  return std::move(exchange.response);
}

std::string as_curl_command(const HttpRequest& request) {
  std::string out = fmt::format("curl -X {}", request.method);
  for (const HttpHeader& header : request.headers) {
    const bool secret = lower(header.name) == "authorization";
    out += fmt::format(" -H '{}: {}'", header.name, secret ? "<masked>" : header.value);
  }
  const bool signed_address = request.url.find("Signature=") != std::string::npos || request.url.find("X-Amz-") != std::string::npos;
  return out + fmt::format(" '{}{}'", signed_address ? without_query(request.url) : request.url, signed_address ? "?<masked>" : "");
}

}  // namespace bigmodel
