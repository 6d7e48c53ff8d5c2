// SPDX-License-Identifier: Apache-2.0
#include "commands/part_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "bigmodel/core/error.h"
#include "bigmodel/io/read_file.h"
#include "commands/hub_access.h"
#include "commands/stored_checkpoint.h"

namespace bigmodel::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostTextBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kFirstGgufBytes = std::uint64_t{1} << 20, kMostGgufBytes = std::uint64_t{512} << 20;
/// In the order of choice.
constexpr const char* kStems[] = {"diffusion_pytorch_model", "model", "adapter_model"};

class Folder final : public PartFiles {
 public:
  explicit Folder(fs::path folder) : folder_(std::move(folder)) {}

  bool has(const std::string& path) const override {
    std::error_code error;
    return fs::exists(folder_ / path, error);
  }

  std::vector<std::string> gguf_names() const override {
    std::vector<std::string> out;
    std::error_code error;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".gguf") out.push_back(it->path().filename().string());
    }
    std::ranges::sort(out);
    return out;
  }

  std::string text(const std::string& path) override { return read_file(folder_ / path, kMostTextBytes); }

  Checkpoint weights(const std::string& folder) override {
    const fs::path part = folder_ / folder;
    for (const char* stem : kStems) {
      for (const char* ending : {".safetensors", ".safetensors.index.json", ".bin"}) {
        if (std::string name = std::string(stem) + ending; has((fs::path(folder) / name).string())) return open_checkpoint(part / name);
      }
    }
    return open_checkpoint(part);
  }

  GgufHeader gguf(const std::string& name) override { return read_gguf_header(folder_ / name); }
  std::string object() const override { return folder_.string(); }
  std::string source() const override { return "folder"; }

 private:
  fs::path folder_;
};

class Repository final : public PartFiles {
 public:
  Repository(const RepoReference& repo, const std::string& folder, const Options& options, Session& session)
      : hub_(hub_settings_of(options, session.environment), session), session_(session), repo_(repo.id), prefix_(folder.empty() ? "" : folder + "/") {
    commit_ = hub_.client().resolve_commit(repo_, repo.revision_or_main());
    for (const RepoFile& file : hub_.client().list_files(repo_, commit_)) {
      if (file.path.starts_with(prefix_)) names_.insert(file.path.substr(prefix_.size()));
    }
  }

  bool has(const std::string& path) const override {
    if (names_.contains(path)) return true;
    const auto it = names_.lower_bound(path + "/");
    return it != names_.end() && it->starts_with(path + "/");
  }

  std::vector<std::string> gguf_names() const override {
    std::vector<std::string> out;
    std::ranges::copy_if(names_, std::back_inserter(out), [](const std::string& name) { return name.ends_with(".gguf") && name.find('/') == std::string::npos; });
    return out;
  }

  std::string text(const std::string& path) override {
    std::uint64_t file_bytes = 0;
    std::string out = hub_.client().read_range(repo_, commit_, prefix_ + path, 0, kMostTextBytes, &file_bytes);
    if (file_bytes > kMostTextBytes) throw UnsupportedError(fmt::format("{}: {} has {} bytes, at most {} are read", object(), path, file_bytes, kMostTextBytes));
    return out;
  }

  Checkpoint weights(const std::string& folder) override {
    const std::string inside = folder.empty() ? "" : folder + "/";
    for (const char* stem : kStems) {
      if (!names_.contains(inside + stem + ".safetensors") && !names_.contains(inside + stem + ".safetensors.index.json")) continue;
      std::string path = prefix_ + inside;
      if (!path.empty()) path.pop_back();
      return hub_headers(hub_, repo_, commit_, path, {.stem = stem}, session_);
    }
    throw NotFoundError(fmt::format("{}: no safetensors{}", object(), folder.empty() ? "" : " in " + folder), "download it: other formats say nothing by their first bytes");
  }

  GgufHeader gguf(const std::string& name) override {
    std::string bytes;
    std::uint64_t file_bytes = 0;
    for (std::uint64_t size = kFirstGgufBytes; size <= kMostGgufBytes; size *= 2) {
      bytes += hub_.client().read_range(repo_, commit_, prefix_ + name, bytes.size(), size - bytes.size(), &file_bytes);
      if (auto header = parse_gguf_header(std::as_bytes(std::span(bytes)), file_bytes, fmt::format("{}: {}", object(), name))) return *std::move(header);
      if (bytes.size() >= file_bytes) break;
    }
    throw UnsupportedError(fmt::format("{}: {} has a header of more than {} bytes", object(), name, bytes.size()), "download it");
  }

  std::string object() const override { return fmt::format("{}@{}", repo_, commit_.substr(0, 7)); }
  std::string source() const override { return "hub"; }

 private:
  HubAccess hub_;
  Session& session_;
  std::string repo_, prefix_, commit_;
  std::set<std::string> names_;
};

}  // namespace

std::unique_ptr<PartFiles> folder_files(const fs::path& folder) { return std::make_unique<Folder>(folder); }

std::unique_ptr<PartFiles> hub_files(const RepoReference& repo, const std::string& folder, const Options& options, Session& session) {
  return std::make_unique<Repository>(repo, folder, options, session);
}

}  // namespace bigmodel::app
