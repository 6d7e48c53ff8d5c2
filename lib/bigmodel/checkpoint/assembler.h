// SPDX-License-Identifier: Apache-2.0
// Makes the bytes of an output file from its layout, any range at a time.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/checkpoint/output_layout.h"
#include "bigmodel/checkpoint/tensor_reader.h"

namespace bigmodel {

/// Two steps per range: fill() may run on several threads at once, each with its own reader; finish() is called for the
/// ranges in order, one at a time, and puts in what depends on all bytes before (checksums).
class Assembler {
 public:
  Assembler(const Checkpoint& checkpoint, const OutputFile& file);

  /// Bytes [offset, offset + out.size()) of the file, but for the late pieces. Thread-safe.
  void fill(TensorReader& reader, std::uint64_t offset, std::span<std::byte> out) const;
  void finish(std::uint64_t offset, std::span<std::byte> bytes);
  /// Whether finish() does anything for this file.
  bool needs_finish() const noexcept { return !file_.records.empty(); }

 private:
  std::size_t piece_at(std::uint64_t offset) const;
  void fill_tensor(TensorReader& reader, const OutputPiece& piece, std::uint64_t begin, std::span<std::byte> out) const;

  const Checkpoint& checkpoint_;
  const OutputFile& file_;
  std::vector<std::uint32_t> crc32_;                ///< per record, of the payload so far
  std::map<std::uint64_t, std::string> late_text_;  ///< by piece offset
};

}  // namespace bigmodel
