// SPDX-License-Identifier: Apache-2.0
// The files of a model that is made of several parts: in a folder, or in a repository of the Hub, of which only texts and headers are read.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/gguf_header.h"
#include "bigmodel/hub/repo_id.h"
#include "commands/command.h"

namespace bigmodel::app {

class PartFiles {
 public:
  virtual ~PartFiles() = default;
  /// A file, or a folder with files. Paths are relative, with '/'.
  virtual bool has(const std::string& path) const = 0;
  /// At the top.
  virtual std::vector<std::string> gguf_names() const = 0;
  /// Throws NotFoundError, and UnsupportedError above a limit.
  virtual std::string text(const std::string& path) = 0;
  /// Headers of a part's weights ("": at the top): where full and half precision lie side by side, the one without a variant. Throws
  /// NotFoundError where there are none.
  virtual Checkpoint weights(const std::string& folder) = 0;
  virtual GgufHeader gguf(const std::string& name) = 0;
  /// The place, for errors; "folder" or "hub".
  virtual std::string object() const = 0;
  virtual std::string source() const = 0;
};

std::unique_ptr<PartFiles> folder_files(const std::filesystem::path& folder);
/// At the commit that the reference means, below `folder` ("": all). Throws what asking the Hub throws.
std::unique_ptr<PartFiles> hub_files(const RepoReference& repo, const std::string& folder, const Options& options, Session& session);

}  // namespace bigmodel::app
