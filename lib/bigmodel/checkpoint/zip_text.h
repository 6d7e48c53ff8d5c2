// SPDX-License-Identifier: Apache-2.0
// The bytes of a zip archive around its payloads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/output_layout.h"

namespace bigmodel {

/// Local header, padded with an extra field so that the payload begins at a multiple of 64. Sizes and checksum stand in the
/// descriptor behind the payload (an empty record has none).
std::string zip_local_header(const ZipRecord& record);

/// 16 bytes, or 24 where the record or its place needs 64 bits.
std::uint64_t zip_descriptor_size(const ZipRecord& record);
std::string zip_descriptor(const ZipRecord& record, std::uint32_t crc32);

/// Directory and end records of an archive whose payloads end at `offset`.
std::uint64_t zip_directory_size(std::span<const ZipRecord> records, std::uint64_t offset);
std::string zip_directory(std::span<const ZipRecord> records, std::span<const std::uint32_t> crc32, std::uint64_t offset);

}  // namespace bigmodel
