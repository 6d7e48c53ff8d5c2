// SPDX-License-Identifier: Apache-2.0
// Tells by its first bytes what a file is; suffixes lie (web pages and Git LFS pointers named model.safetensors are common).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "bigmodel/io/disk.h"

namespace bigmodel {

enum class FileKind { safetensors, zip, pickle, tar, json, lfs_pointer, web_page, gguf, hdf5, gzip, seven_zip, numpy, empty, unknown };

/// Reads at most 512 bytes. A file counts as safetensors when its header length fits the file and `{` follows (after white
/// space): also where those bytes happen to be pickle opcodes. Throws IoError.
FileKind sniff_file(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path);

/// "a Git LFS pointer (the file itself was not downloaded)", ...; empty for kinds that checkpoints are made of.
std::string describe_foreign_file(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path);

/// What to do about it; may be empty.
std::string foreign_file_hint(std::string_view description);

}  // namespace bigmodel
