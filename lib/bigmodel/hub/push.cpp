// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/push.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "bigmodel/core/base64.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/hub/blob_digest.h"
#include "bigmodel/hub/fetch.h"
#include "bigmodel/hub/lfs_upload.h"
#include "bigmodel/hub/repo_id.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/io/unique_fd.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kFilesPerQuestion = 256;
constexpr std::size_t kSampleBytes = 512;
constexpr std::size_t kMostFiles = 100'000;
constexpr std::uint64_t kMostRegularBytes = std::uint64_t{512} << 20;  // a commit's body is one text in memory
constexpr std::uint64_t kLargeBytes = std::uint64_t{10} << 20;
/// Suffixes that a new repository's .gitattributes sends to the storage.
constexpr std::array<std::string_view, 33> kLargeSuffixes{
    ".7z",     ".arrow",   ".bin",     ".bz2",     ".ckpt", ".ftz",   ".gz",    ".h5",  ".joblib",   ".mlmodel",     ".model",
    ".msgpack", ".npy",    ".npz",     ".onnx",    ".ot",   ".parquet", ".pb",  ".pickle", ".pkl", ".pt",     ".pth",         ".rar",
    ".safetensors", ".tar", ".tflite", ".tgz",     ".wasm", ".xz",    ".zip",   ".zst", ".gguf",   ".ark"};

std::string sample_of(const PushFile& file) {
  const UniqueFd fd = open_file(file.source, O_RDONLY);
  std::string out(kSampleBytes, '\0');
  const ssize_t got = ::pread(fd.get(), out.data(), out.size(), 0);
  if (got < 0) throw_errno(file.source.string(), "read", errno);
  out.resize(static_cast<std::size_t>(got));
  return out;
}

std::string digest_of(HubClient& client, const PushFile& file, BlobDigest::Kind kind, std::uint64_t& hashed, std::uint64_t total) {
  const UniqueFd fd = open_file(file.source, O_RDONLY);
  BlobDigest digest(kind, file.size_bytes);
  std::vector<std::byte> chunk(1 << 20);
  std::uint64_t at = 0;
  while (true) {
    client.work().throw_if_stopped();
    const ssize_t got = ::pread(fd.get(), chunk.data(), chunk.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno(file.source.string(), "read", errno);
    if (got == 0) break;
    digest.update({chunk.data(), static_cast<std::size_t>(got)});
    at += static_cast<std::uint64_t>(got);
    hashed += static_cast<std::uint64_t>(got);
    client.work().report("hashing", std::min(hashed, total), total);
  }
  if (at != file.size_bytes) throw IoError(fmt::format("{}: changed while it was read", file.source.string()), "try again");
  return digest.finish_hex();
}

PushFile::Mode guessed_mode(const PushFile& file) {
  if (file.size_bytes == 0) return PushFile::Mode::regular;
  const bool large = file.size_bytes > kLargeBytes || std::ranges::any_of(kLargeSuffixes, [&](std::string_view suffix) { return file.path.ends_with(suffix); });
  return large ? PushFile::Mode::lfs : PushFile::Mode::regular;
}

std::string text_of(const Json& json, const char* key) {
  const auto it = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

/// The last two parts of a repository's address.
std::string id_of_url(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const std::size_t last = url.rfind('/');
  const std::size_t before = last == std::string::npos || last == 0 ? std::string::npos : url.rfind('/', last - 1);
  return url.substr(before == std::string::npos ? 0 : before + 1);
}

std::string commit_body(HubClient& client, const PushPlan& plan, const PushOptions& options, const std::vector<LfsObject>& objects) {
  std::uint64_t regular = 0;
  for (const PushFile& file : plan.files) regular += file.mode == PushFile::Mode::regular ? file.size_bytes : 0;
  if (regular > kMostRegularBytes) {
    throw CapacityError(fmt::format("{}: {} of files go into the commit itself, expected at most {}", plan.repo_id, format_decimal(regular),
                                    format_decimal(kMostRegularBytes)),
                        "push in several calls with --include");
  }
  std::string out = Json{{"key", "header"}, {"value", {{"summary", options.message}, {"description", ""}}}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const auto add = [&](const Json& line) { out += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; };
  for (const PushFile& file : plan.files) {
    if (file.mode != PushFile::Mode::regular) continue;
    client.work().throw_if_stopped();
    add({{"key", "file"}, {"value", {{"content", encode_base64(read_file(file.source, kMostRegularBytes))}, {"path", file.path}, {"encoding", "base64"}}}});
  }
  for (const LfsObject& object : objects) {
    add({{"key", "lfsFile"}, {"value", {{"path", object.path}, {"algo", "sha256"}, {"oid", object.sha256}, {"size", object.size_bytes}}}});
  }
  return out;
}

}  // namespace

std::string_view to_string(PushFile::Mode mode) noexcept {
  switch (mode) {
    case PushFile::Mode::regular: return "regular";
    case PushFile::Mode::lfs: return "lfs";
    case PushFile::Mode::unchanged: return "unchanged";
    case PushFile::Mode::ignored: return "ignored";
  }
  return "regular";
}

PushPlan plan_push(const fs::path& folder, std::string repo_id, std::string revision, std::span<const std::string> include,
                   std::span<const std::string> exclude) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) throw NotFoundError(fmt::format("{}: no such folder", folder.string()));
  PushPlan out{.repo_id = std::move(repo_id), .revision = std::move(revision), .files = {}};
  std::error_code unknown;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (it->is_directory(unknown)) {
      if (name == ".git" || name == ".cache") it.disable_recursion_pending();
      if (it->is_symlink(unknown)) throw UsageError(fmt::format("{}: a link to a folder, expected files and folders", it->path().string()), "leave it out of the folder");
      continue;
    }
    PushFile file{.path = it->path().lexically_relative(folder).generic_string(), .source = it->path()};
    if (name == ".git" || !is_wanted(file.path, include, exclude)) continue;
    if (!it->is_regular_file(unknown)) throw UsageError(fmt::format("{}: neither a file nor a folder", file.source.string()), "leave it out with --exclude");
    if (const auto fault = repo_path_fault(file.path)) {
      throw UsageError(fmt::format("{}: no name for a file of a repository: {}", file.source.string(), *fault), "rename it, or leave it out with --exclude");
    }
    file.size_bytes = it->file_size(unknown);
    file.mode = guessed_mode(file);
    out.files.push_back(std::move(file));
    if (out.files.size() > kMostFiles) throw UnsupportedError(fmt::format("{}: more than {} files", folder.string(), kMostFiles));
  }
  if (error) throw_errno(folder.string(), "read the folder", error.value());
  std::ranges::sort(out.files, {}, &PushFile::path);
  return out;
}

void ask_modes(HubClient& client, PushPlan& plan) {
  struct Answer {
    std::string mode, oid;
    bool ignored = false;
  };
  std::unordered_map<std::string, Answer> answers;
  for (std::size_t begin = 0; begin < plan.files.size(); begin += kFilesPerQuestion) {
    Json question{{"files", Json::array()}};
    for (std::size_t i = begin; i < std::min(begin + kFilesPerQuestion, plan.files.size()); ++i) {
      const PushFile& file = plan.files[i];
      question["files"].push_back({{"path", file.path}, {"sample", encode_base64(sample_of(file))}, {"size", file.size_bytes}});
      if (file.path == ".gitignore") question["gitIgnore"] = read_file(file.source, kLargeBytes);
    }
    const std::string body = client.call_api(
        "POST", fmt::format("/api/models/{}/preupload/{}", plan.repo_id, percent_encoded(plan.revision, false)),
        question.dump(-1, ' ', false, Json::error_handler_t::replace), client.question(plan.repo_id, plan.revision, {}));
    const Json json = parse_json(body, fmt::format("answer about files for {}", plan.repo_id));
    const auto files = json.is_object() ? json.find("files") : json.end();
    if (!json.is_object() || files == json.end() || !files->is_array()) {
      throw FormatError(fmt::format("{}: the answer about files lists none", plan.repo_id), "is HF_ENDPOINT a Hub?");
    }
    for (const Json& row : *files) {
      const auto ignored = row.is_object() ? row.find("shouldIgnore") : row.end();
      answers[text_of(row, "path")] = {text_of(row, "uploadMode"), text_of(row, "oid"),
                                       row.is_object() && ignored != row.end() && ignored->is_boolean() && ignored->get<bool>()};
    }
  }
  std::uint64_t total = 0;
  std::uint64_t hashed = 0;
  for (const PushFile& file : plan.files) {
    const auto it = answers.find(file.path);
    if (it != answers.end() && BlobDigest::kind_of(it->second.oid) != BlobDigest::Kind::unknown) total += file.size_bytes;
  }
  for (PushFile& file : plan.files) {
    const auto it = answers.find(file.path);
    if (it == answers.end() || (it->second.mode != "lfs" && it->second.mode != "regular")) {
      throw FormatError(fmt::format("{}: the Hub does not say how it wants {}, expected lfs or regular, got '{}'", plan.repo_id, file.path,
                                    it == answers.end() ? "" : it->second.mode));
    }
    const Answer& answer = it->second;
    // The storage takes no empty objects.
    file.mode = answer.ignored ? PushFile::Mode::ignored : answer.mode == "lfs" && file.size_bytes > 0 ? PushFile::Mode::lfs : PushFile::Mode::regular;
    const BlobDigest::Kind kind = BlobDigest::kind_of(answer.oid);
    if (answer.ignored || kind == BlobDigest::Kind::unknown) continue;
    if (digest_of(client, file, kind, hashed, total) == answer.oid) file.mode = PushFile::Mode::unchanged;
  }
  plan.assumed = false;
}

std::string create_repository(HubClient& client, const std::string& repo_id, bool is_private, bool& created) {
  const std::size_t slash = repo_id.find('/');
  Json question{{"name", slash == std::string::npos ? repo_id : repo_id.substr(slash + 1)}, {"type", "model"}};
  if (slash != std::string::npos) question["organization"] = repo_id.substr(0, slash);
  if (is_private) question["visibility"] = "private";
  std::string url;
  created = true;
  client.with_retries([&](std::optional<std::chrono::seconds>& asked) {
    HttpRequest request;
    request.method = "POST";
    request.url = client.settings().endpoint + "/api/repos/create";
    request.body = question.dump();
    request.headers.push_back({"content-type", "application/json"});
    request.connect_timeout = client.settings().metadata_timeout;
    request.stall_timeout = std::max(client.settings().download_timeout, std::chrono::seconds(30));
    std::string body;
    const HttpResponse response = client.send(std::move(request), [&](const HttpResponse&, std::span<const std::byte> piece) {
      body.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      return body.size() < kLargeBytes;
    });
    asked = asked_wait(response);
    created = response.status / 100 == 2;
    if (!created && response.status != 409) throw_hub_error(response, body, client.question(repo_id, {}, {}));
    const Json answer = Json::parse(body, nullptr, false);
    url = answer.is_discarded() ? "" : text_of(answer, "url");
  });
  if (slash != std::string::npos) return repo_id;
  std::string full = id_of_url(url);
  if (repo_id_fault(full) || !full.ends_with("/" + repo_id)) {
    throw FormatError(fmt::format("{}: the Hub does not say under which account it is", repo_id), "write it as NAMESPACE/NAME");
  }
  return full;
}

PushResult push(HubClient& client, const PushPlan& plan, const PushOptions& options) {
  PushResult out;
  std::vector<LfsObject> objects;
  std::uint64_t total = 0;
  std::uint64_t hashed = 0;
  bool changes = false;
  for (const PushFile& file : plan.files) {
    if (file.mode == PushFile::Mode::lfs) total += file.size_bytes;
    changes = changes || file.mode == PushFile::Mode::lfs || file.mode == PushFile::Mode::regular;
  }
  if (!changes) return out;
  for (const PushFile& file : plan.files) {
    if (file.mode != PushFile::Mode::lfs) continue;
    objects.push_back({file.source, file.path, digest_of(client, file, BlobDigest::Kind::sha256, hashed, total), file.size_bytes});
  }
  const LfsUpload uploaded = upload_lfs(client, plan.repo_id, plan.revision, objects, options.connections);
  out.sent_bytes = uploaded.sent_bytes;
  out.known_bytes = uploaded.known_bytes;
  const std::string body = commit_body(client, plan, options, objects);
  for (const PushFile& file : plan.files) out.sent_bytes += file.mode == PushFile::Mode::regular ? file.size_bytes : 0;
  const std::string answer = client.call_api("POST",
                                             fmt::format("/api/models/{}/commit/{}{}", plan.repo_id, percent_encoded(plan.revision, false),
                                                         options.create_pr ? "?create_pr=1" : ""),
                                             body, client.question(plan.repo_id, plan.revision, {}), "application/x-ndjson");
  const Json json = parse_json(answer, fmt::format("answer to the commit to {}", plan.repo_id));
  out.commit = text_of(json, "commitOid");
  out.commit_url = text_of(json, "commitUrl");
  out.pull_request_url = text_of(json, "pullRequestUrl");
  if (!is_commit_hash(out.commit)) throw FormatError(fmt::format("{}: the Hub's answer names no commit", plan.repo_id), "look at the repository before trying again");
  return out;
}

}  // namespace bigmodel
