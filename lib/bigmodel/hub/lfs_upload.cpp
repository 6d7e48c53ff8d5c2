// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/lfs_upload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "bigmodel/core/parse_number.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/unique_fd.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kObjectsPerQuestion = 256;
constexpr std::size_t kErrorBodyBytes = 64 << 10;
constexpr std::uint64_t kMostParts = 10'000;
constexpr std::string_view kLfsJson = "application/vnd.git-lfs+json";

struct Action {
  std::string href;
  std::vector<HttpHeader> headers;
  std::uint64_t part_bytes = 0;     ///< 0: one piece
  std::vector<std::string> parts;   ///< their addresses in order
};

struct Instructions {
  std::optional<Action> upload;  ///< none: it is there already
  std::optional<Action> verify;
};

[[noreturn]] void senseless(const LfsObject& object, std::string_view what) {
  throw FormatError(fmt::format("{}: the storage's answer {}", object.path, what), "is HF_ENDPOINT a Hub?");
}

bool fits_header(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

Action read_action(const Json& json, const LfsObject& object, const std::string& endpoint) {
  Action out;
  const auto href = json.is_object() ? json.find("href") : json.end();
  if (!json.is_object() || href == json.end() || !href->is_string()) senseless(object, "names no address");
  out.href = at_endpoint(href->get<std::string>(), endpoint);
  const auto header = json.find("header");
  if (header == json.end() || !header->is_object()) return out;
  std::map<std::uint64_t, std::string> parts;
  for (const auto& [name, value] : header->items()) {
    if (!value.is_string()) continue;
    const std::string text = value.get<std::string>();
    if (name == "chunk_size") {
      out.part_bytes = parse_number<std::uint64_t>(text).value_or(0);
      if (out.part_bytes == 0) senseless(object, "has a chunk_size that is no size");
    } else if (const auto number = parse_number<std::uint64_t>(name)) {
      parts[*number] = text;
    } else if (fits_header(name) && fits_header(text) && name.find(':') == std::string::npos) {
      out.headers.push_back({name, text});
    }
  }
  if (out.part_bytes == 0) return out;
  out.headers.clear();
  for (auto& [number, url] : parts) out.parts.push_back(std::move(url));
  const std::uint64_t expected = (object.size_bytes + out.part_bytes - 1) / out.part_bytes;
  if (out.parts.size() != expected || expected > kMostParts) {
    senseless(object, fmt::format("has another number of parts than the file, expected {}, got {}", expected, out.parts.size()));
  }
  return out;
}

/// What to do with each object, by its sha256.
std::map<std::string, Instructions> ask_storage(HubClient& client, const std::string& repo_id, const std::string& revision,
                                                std::span<const LfsObject> objects) {
  Json question{{"operation", "upload"}, {"transfers", {"basic", "multipart"}}, {"objects", Json::array()}, {"hash_algo", "sha256"}};
  question["ref"] = {{"name", revision}};
  for (const LfsObject& object : objects) question["objects"].push_back({{"oid", object.sha256}, {"size", object.size_bytes}});
  const std::string body = client.call_api("POST", fmt::format("/{}.git/info/lfs/objects/batch", repo_id), question.dump(),
                                           client.question(repo_id, revision, {}), kLfsJson);
  const Json answer = parse_json(body, fmt::format("the storage's answer for {}", repo_id));
  const auto rows = answer.is_object() ? answer.find("objects") : answer.end();
  std::map<std::string, Instructions> out;
  if (answer.is_object() && rows != answer.end() && rows->is_array()) {
    for (const Json& row : *rows) {
      const auto oid = row.is_object() ? row.find("oid") : row.end();
      if (!row.is_object() || oid == row.end() || !oid->is_string()) continue;
      const auto object = std::ranges::find(objects, oid->get<std::string>(), &LfsObject::sha256);
      if (object == objects.end()) continue;
      if (const auto error = row.find("error"); error != row.end()) {
        const auto text = error->is_object() ? error->find("message") : error->end();
        throw NetworkError(fmt::format("{}: the storage refuses it: {}", object->path,
                                       error->is_object() && text != error->end() && text->is_string() ? text->get<std::string>() : error->dump()));
      }
      Instructions found;
      if (const auto actions = row.find("actions"); actions != row.end() && actions->is_object()) {
        if (actions->contains("upload")) found.upload = read_action((*actions)["upload"], *object, client.settings().endpoint);
        if (actions->contains("verify")) found.verify = read_action((*actions)["verify"], *object, client.settings().endpoint);
      }
      out[object->sha256] = std::move(found);
    }
  }
  for (const LfsObject& object : objects) {
    if (!out.contains(object.sha256)) senseless(object, "leaves the file out");
  }
  return out;
}

/// PUTs bytes [first, first + size) of a file; the answer's ETag.
std::string put_range(HubClient& client, const LfsObject& object, int fd, const std::string& url, const std::vector<HttpHeader>& headers,
                      std::uint64_t first, std::uint64_t size, const HubQuestion& question, const std::function<void(std::uint64_t)>& arrived) {
  std::string etag;
  client.with_retries([&](std::optional<std::chrono::seconds>& asked) {
    std::uint64_t at = 0;
    HttpRequest request;
    request.method = "PUT";
    request.url = url;
    request.headers = headers;
    request.connect_timeout = client.settings().metadata_timeout;
    request.stall_timeout = std::max(client.settings().download_timeout, std::chrono::seconds(60));  // storage answers late
    request.read_body_bytes = size;
    request.read_body = [&](std::span<char> room) -> std::size_t {
      const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), size - at));
      ssize_t got = 0;
      do {
        got = ::pread(fd, room.data(), want, static_cast<off_t>(first + at));
      } while (got < 0 && errno == EINTR);
      if (got < 0) throw_errno(object.source.string(), "read", errno);
      if (got == 0 && want > 0) throw IoError(fmt::format("{}: became shorter while it was uploaded", object.source.string()), "try again");
      at += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    };
    std::string error;
    const HttpResponse response = client.send(std::move(request), [&](const HttpResponse&, std::span<const std::byte> piece) {
      error.append(reinterpret_cast<const char*>(piece.data()), std::min(piece.size(), kErrorBodyBytes - std::min(kErrorBodyBytes, error.size())));
      return true;
    });
    asked = asked_wait(response);
    if (response.status / 100 != 2) throw_hub_error(response, error, question);
    if (const std::string* header = response.header("etag")) etag = *header;
  });
  arrived(size);
  return etag;
}

class Uploader {
 public:
  Uploader(HubClient& client, const std::string& repo_id, const std::string& revision, unsigned connections, std::uint64_t total_bytes)
      : client_(client), repo_id_(repo_id), revision_(revision), connections_(std::max(connections, 1U)), total_bytes_(total_bytes) {}

  void upload(const LfsObject& object, Instructions instructions) {
    if (!instructions.upload) {
      out.known_bytes += object.size_bytes;
      count(object.size_bytes);
      return;
    }
    const std::uint64_t before = done_;
    try {
      send(object, *instructions.upload);
    } catch (const AuthorisationError&) {
      // Signed addresses expire: one more try with new ones.
      done_ = before;
      instructions = ask_storage(client_, repo_id_, revision_, {&object, 1}).at(object.sha256);
      if (instructions.upload) send(object, *instructions.upload);
    }
    if (instructions.verify) {
      const Json body{{"oid", object.sha256}, {"size", object.size_bytes}};
      client_.call_api("POST", instructions.verify->href, body.dump(), client_.question(repo_id_, revision_, object.path));
    }
    out.sent_bytes += object.size_bytes;
  }

  LfsUpload out;

 private:
  void count(std::uint64_t bytes) { client_.work().report("uploading", std::min(done_ += bytes, total_bytes_), total_bytes_); }

  void send(const LfsObject& object, const Action& action) {
    const UniqueFd fd = open_file(object.source, O_RDONLY);
    const HubQuestion question = client_.question(repo_id_, revision_, object.path);
    struct stat before {};
    if (::fstat(fd.get(), &before) != 0) throw_errno(object.source.string(), "read", errno);
    const auto arrived = [this](std::uint64_t bytes) { count(bytes); };
    if (action.parts.empty()) {
      put_range(client_, object, fd.get(), action.href, action.headers, 0, object.size_bytes, question, arrived);
    } else {
      const std::vector<std::string> etags = send_parts(object, action, fd.get(), question, arrived);
      Json body{{"oid", object.sha256}, {"parts", Json::array()}};
      for (std::size_t i = 0; i < etags.size(); ++i) body["parts"].push_back({{"partNumber", i + 1}, {"etag", etags[i]}});
      client_.call_api("POST", action.href, body.dump(), question, kLfsJson);
    }
    struct stat after {};
    if (::fstat(fd.get(), &after) != 0) throw_errno(object.source.string(), "read", errno);
    if (after.st_size != before.st_size || after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec) {
      throw IoError(fmt::format("{}: changed while it was uploaded", object.source.string()), "try again");
    }
  }

  std::vector<std::string> send_parts(const LfsObject& object, const Action& action, int fd, const HubQuestion& question,
                                      const std::function<void(std::uint64_t)>& arrived) {
    std::vector<std::string> etags(action.parts.size());
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < std::min<std::size_t>(connections_, etags.size()); ++t) {
        threads.emplace_back([&] {
          try {
            for (std::size_t i = next++; i < etags.size(); i = next++) {
              {
                const std::scoped_lock lock(mutex);
                if (failure) return;
              }
              const std::uint64_t first = i * action.part_bytes;
              etags[i] = put_range(client_, object, fd, action.parts[i], {}, first, std::min(action.part_bytes, object.size_bytes - first), question,
                                   arrived);
              if (etags[i].empty()) senseless(object, "to a part has no ETag");
            }
          } catch (...) {
            const std::scoped_lock lock(mutex);
            if (!failure) failure = std::current_exception();
          }
        });
      }
    }
    if (failure) std::rethrow_exception(failure);
    return etags;
  }

  HubClient& client_;
  const std::string& repo_id_;
  const std::string& revision_;
  unsigned connections_;
  std::uint64_t total_bytes_;
  std::atomic<std::uint64_t> done_{0};
};

}  // namespace

LfsUpload upload_lfs(HubClient& client, const std::string& repo_id, const std::string& revision, std::span<const LfsObject> objects,
                     unsigned connections) {
  std::uint64_t total = 0;
  for (const LfsObject& object : objects) total += object.size_bytes;
  Uploader uploader(client, repo_id, revision, connections, total);
  for (std::size_t begin = 0; begin < objects.size(); begin += kObjectsPerQuestion) {
    const auto some = objects.subspan(begin, std::min(kObjectsPerQuestion, objects.size() - begin));
    std::map<std::string, Instructions> instructions = ask_storage(client, repo_id, revision, some);
    for (const LfsObject& object : some) {
      client.work().throw_if_stopped();
      // Equal files are one object: the second is there once the first is.
      uploader.upload(object, std::exchange(instructions[object.sha256], Instructions{}));
    }
  }
  return uploader.out;
}

}  // namespace bigmodel
