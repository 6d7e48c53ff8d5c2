// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/side_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// The largest real tokenizer files have some 35 MB.
constexpr std::uintmax_t kLargestSideFile = std::uintmax_t{256} << 20;

bool is_side_name(std::string_view name) {
  for (const std::string_view suffix : {".json", ".txt", ".model", ".md", ".jinja", ".tiktoken", ".vocab", ".jsonl", ".yaml"}) {
    if (name.ends_with(suffix)) return true;
  }
  for (const std::string_view stem : {"LICENSE", "LICENCE", "NOTICE", "USE_POLICY"}) {
    if (name.starts_with(stem)) return true;
  }
  return false;
}

}  // namespace

bool is_weight_related(std::string_view name) {
  for (const std::string_view suffix : {".safetensors", ".bin", ".pt", ".pth", ".th", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".dat"}) {
    if (name.ends_with(suffix)) return true;
  }
  return name.ends_with(".index.json") || name == "index.json" || (name.find(".index.") != std::string_view::npos && name.ends_with(".json"));
}

std::vector<fs::path> side_files_of(const Checkpoint& checkpoint, std::vector<std::string>& warnings) {
  std::vector<fs::path> out;
  std::error_code error;
  if (!fs::is_directory(checkpoint.path, error) && !checkpoint.index) return out;
  std::size_t python = 0;
  for (fs::directory_iterator it(checkpoint.folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name.starts_with('.') || !it->is_regular_file(ignored) || is_weight_related(name)) continue;
    if (name.ends_with(".py")) ++python;
    if (is_side_name(name) && it->file_size(ignored) <= kLargestSideFile) out.push_back(it->path());
  }
  if (error) throw IoError(fmt::format("{}: cannot list: {}", checkpoint.folder.string(), error.message()));
  if (python > 0) warnings.push_back(fmt::format("{} Python files beside the weights are not copied", python));
  std::ranges::sort(out);
  return out;
}

}  // namespace bigmodel
