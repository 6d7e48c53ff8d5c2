// SPDX-License-Identifier: Apache-2.0
// Reads a pickle into inert values. Nothing is ever called: the few callables that build tensors and plain containers are
// known by name and build values here; any other global is refused with its name.
// Opcodes of protocols 0 to 5 (Python Lib/pickletools.py).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/shape.h"

namespace bigmodel {

/// A storage named by a persistent id: ('storage', type, key, location, count[, view]).
struct PickledStorage {
  std::string key;
  std::optional<DType> dtype;  ///< empty: untyped, counted in bytes
  std::uint64_t count = 0;     ///< elements (bytes where untyped)
};

struct PickledTensor {
  std::uint32_t storage = 0;   ///< into PickleDocument::storages
  DType dtype = DType::float32;
  std::uint64_t offset = 0;    ///< in elements
  Shape shape;
  std::vector<std::int64_t> strides;
  bool conjugate = false;
  bool negative = false;
};

struct PickleValue {
  enum class Kind : std::uint8_t { none, boolean, integer, big_integer, real, text, bytes, tuple, list, dict, global, tensor, storage, other };
  Kind kind = Kind::none;
  std::uint32_t slot = 0;      ///< texts (text, bytes, global), sequences (tuple, list, dict: key, value, ...), tensors, storages
  std::int64_t integer = 0;    ///< boolean, integer; the bits of a real
};

using PickleId = std::uint32_t;

struct PickleDocument {
  std::vector<PickleValue> values;
  std::deque<std::string> texts;
  std::vector<std::vector<PickleId>> sequences;
  std::vector<PickledTensor> tensors;
  std::vector<PickledStorage> storages;
  PickleId root = 0;
  std::size_t end = 0;         ///< bytes consumed, to after STOP

  const PickleValue& at(PickleId id) const { return values[id]; }
  const std::string& text(const PickleValue& value) const { return texts[value.slot]; }
  const std::vector<PickleId>& items(const PickleValue& value) const { return sequences[value.slot]; }
};

struct PickleLimits {
  std::uint64_t opcodes = 200'000'000;
  std::uint64_t values = 16'000'000;    ///< some 22 a tensor
  std::uint64_t items = 64'000'000;     ///< put into containers altogether: what a recalled list is copied into counts again
  std::size_t marks = 100'000;          ///< depth of open containers
  std::size_t text_bytes = std::size_t{64} << 20;
};

/// Thrown inside a FormatError's place where the text simply ends: legacy files are read in growing pieces.
struct PickleEnds {};

/// Reads one pickle from the start of `bytes`. `object` names it in errors. Throws FormatError for what is malformed,
/// UnsupportedError naming the global that is refused, PickleEnds where `bytes` ends before STOP.
PickleDocument read_pickle(std::string_view bytes, const std::string& object, const PickleLimits& limits = {});

}  // namespace bigmodel
