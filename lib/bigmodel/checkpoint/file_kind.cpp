// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/file_kind.h"

#include <algorithm>

namespace bigmodel {
namespace {

bool is_white(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool looks_like_safetensors(std::string_view head, std::uint64_t file_bytes) {
  if (head.size() < 8) return false;
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(static_cast<unsigned char>(head[i])) << (8 * i);
  if (length < 2 || length > file_bytes - 8) return false;
  std::string_view json = head.substr(8);
  while (!json.empty() && is_white(json.front())) json.remove_prefix(1);
  return json.empty() || json.front() == '{';
}

FileKind kind_of(std::string_view head, std::uint64_t file_bytes) {
  using namespace std::string_view_literals;
  if (file_bytes == 0) return FileKind::empty;
  if (looks_like_safetensors(head, file_bytes)) return FileKind::safetensors;
  if (head.starts_with("version https://git-lfs")) return FileKind::lfs_pointer;
  if (head.starts_with("PK\3\4"sv) || head.starts_with("PK\5\6"sv)) return FileKind::zip;
  if (head.starts_with("GGUF")) return FileKind::gguf;
  if (head.starts_with("\x89HDF")) return FileKind::hdf5;
  if (head.starts_with("\x1f\x8b")) return FileKind::gzip;
  if (head.starts_with("7z\xbc\xaf")) return FileKind::seven_zip;
  if (head.starts_with("\x93NUMPY")) return FileKind::numpy;
  if (head.size() >= 262 && head.substr(257, 5) == "ustar") return FileKind::tar;
  std::string_view text = head;
  while (!text.empty() && is_white(text.front())) text.remove_prefix(1);
  if (text.starts_with('<')) return FileKind::web_page;
  if (text.starts_with('{') || text.starts_with('[')) return FileKind::json;
  if (head.starts_with('\x80') && head.size() > 1 && head[1] >= 2 && head[1] <= 5) return FileKind::pickle;
  // Protocols 0 and 1 have no mark; torch's first object is its magic number as a long.
  if (head.starts_with("L119547037146038801333356")) return FileKind::pickle;
  return FileKind::unknown;
}

}  // namespace

FileKind sniff_file(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path) {
  std::string head(static_cast<std::size_t>(std::min<std::uint64_t>(file_bytes, 512)), '\0');
  read_exactly(disk, fd, std::as_writable_bytes(std::span(head)), 0, path);
  return kind_of(head, file_bytes);
}

std::string describe_foreign_file(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path) {
  switch (sniff_file(disk, fd, file_bytes, path)) {
    case FileKind::lfs_pointer: return "a Git LFS pointer";
    case FileKind::web_page: return "a web page or XML";
    case FileKind::gguf: return "a GGUF file";
    case FileKind::hdf5: return "an HDF5 (TensorFlow or Keras) file";
    case FileKind::gzip: return "a gzip archive";
    case FileKind::seven_zip: return "a 7-Zip archive";
    case FileKind::numpy: return "a numpy array";
    case FileKind::tar: return "a tar archive (PyTorch 0.1 wrote such files)";
    case FileKind::zip: return "a zip archive (a PyTorch file, perhaps)";
    case FileKind::pickle: return "a pickle (a PyTorch file, perhaps)";
    case FileKind::json: return "JSON text";
    case FileKind::empty: return "empty";
    case FileKind::safetensors:
    case FileKind::unknown: return {};
  }
  return {};
}

std::string foreign_file_hint(std::string_view description) {
  if (description.find("LFS pointer") != std::string_view::npos) return "fetch the file itself: git lfs pull, or bigmodel download";
  if (description.find("web page") != std::string_view::npos) return "the download answered with a page (a login, perhaps): download the file again";
  if (description.find("tar archive") != std::string_view::npos) return "load it with an old PyTorch and save it again";
  if (description.find("GGUF") != std::string_view::npos) return "convert it to safetensors first";
  if (description.find("HDF5") != std::string_view::npos) return "save the model from PyTorch, or take the repository's safetensors files";
  if (description.find("archive") != std::string_view::npos) return "unpack it first";
  return {};
}

}  // namespace bigmodel
