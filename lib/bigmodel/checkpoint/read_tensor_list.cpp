// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/read_tensor_list.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "bigmodel/checkpoint/file_kind.h"
#include "bigmodel/checkpoint/pytorch_bin.h"
#include "bigmodel/checkpoint/safetensors_header.h"
#include "bigmodel/core/error.h"

namespace bigmodel {

void take_safetensors_header(SafetensorsHeader header, TensorList& list) {
  list.file.container = Container::safetensors;
  list.file.header_bytes = header.header_bytes;
  list.file.metadata = std::move(header.metadata);
  list.notes = std::move(header.notes);
  list.tensors.reserve(header.tensors.size());
  for (SafetensorsEntry& entry : header.tensors) {
    CheckpointTensor tensor;
    static_cast<TensorInfo&>(tensor) = std::move(static_cast<TensorInfo&>(entry));
    tensor.offset = tensor.storage_offset = header.header_bytes + entry.begin;
    tensor.size_bytes = tensor.storage_bytes = entry.end - entry.begin;
    tensor.storage = list.tensors.size();
    list.tensors.push_back(std::move(tensor));
  }
}

namespace {

FileIdentity identity_of(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size_bytes = static_cast<std::uint64_t>(info.st_size),
          .modified_ns = static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
}

}  // namespace

std::optional<FileIdentity> find_file_identity(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return identity_of(info);
}

FileIdentity file_identity(int fd, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) throw_errno(path.string(), "read", errno);
  if (!S_ISREG(info.st_mode)) throw IoError(fmt::format("{}: is no regular file", path.string()));
  return identity_of(info);
}

TensorList read_tensor_list(const Disk& disk, const std::filesystem::path& path, std::string_view under) {
  TensorList list;
  list.file.path = path;
  // O_NONBLOCK: a named pipe without a writer must not hang the program.
  const UniqueFd fd = open_on(disk, path, O_RDONLY | O_NONBLOCK);
  list.file.identity = file_identity(fd.get(), path);
  const std::uint64_t size = list.file.identity.size_bytes;
  switch (sniff_file(disk, fd.get(), size, path)) {
    case FileKind::safetensors:
    case FileKind::unknown:  // an impossible header length has its own message there
      take_safetensors_header(read_safetensors_header(disk, fd.get(), size, path), list);
      return list;
    case FileKind::zip: read_pytorch_zip(disk, fd.get(), under, list); return list;
    case FileKind::pickle: read_pytorch_legacy(disk, fd.get(), under, list); return list;
    default: break;
  }
  const std::string kind = describe_foreign_file(disk, fd.get(), size, path);
  throw FormatError(fmt::format("{}: is {}, expected safetensors or a PyTorch file", path.string(), kind), foreign_file_hint(kind));
}

}  // namespace bigmodel
