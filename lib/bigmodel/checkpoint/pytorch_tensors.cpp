// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/pytorch_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

using Kind = PickleValue::Kind;

/// An expanded view (stride 0) may be this many times its storage, once it is large.
constexpr std::uint64_t kMostExpansion = 64;
constexpr std::uint64_t kLarge = std::uint64_t{1} << 30;
constexpr std::size_t kDeepest = 200;
/// Of all tensors' names: a long key can be recalled for each, or stand above each.
constexpr std::uint64_t kMostNameBytes = std::uint64_t{256} << 20;

bool row_major(const Shape& shape, const std::vector<std::int64_t>& strides) {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

CheckpointTensor place_tensor(const PickledTensor& from, const PickledStorage& storage, const StoragePlace& place, std::string name, const std::string& object) {
  const auto fail = [&](const std::string& what) { throw FormatError(fmt::format("{}: tensor \"{}\": {}", object, name, what)); };
  const std::uint64_t item = static_cast<std::uint64_t>(bit_size(from.dtype)) / 8;
  if (item == 0) fail(fmt::format("dtype {} has no whole bytes", bigmodel::name(from.dtype)));
  CheckpointTensor out;
  out.dtype = from.dtype;
  out.shape = from.shape;
  out.storage_offset = place.offset;
  out.storage_bytes = place.size_bytes;
  const auto count = static_cast<std::uint64_t>(element_count(from.shape, object));
  out.size_bytes = checked_mul(count, item, object);
  if (count == 0) {
    // An empty view may say any offset and stride: nothing is read.
    out.offset = place.offset;
    out.name = std::move(name);
    return out;
  }
  std::uint64_t last = from.offset;
  for (std::size_t i = 0; i < from.shape.size(); ++i) {
    if (from.shape[i] == 1) continue;
    const auto step = checked_mul(static_cast<std::uint64_t>(from.shape[i] - 1), static_cast<std::uint64_t>(from.strides[i]), object);
    last = checked_add(last, step, object);
  }
  const auto end = checked_mul(checked_add(last, std::uint64_t{1}, object), item, object);
  if (end > place.size_bytes) fail(fmt::format("needs {} bytes of its storage \"{}\", which has {}", end, storage.key, place.size_bytes));
  if (out.size_bytes > kLarge && out.size_bytes / kMostExpansion > place.size_bytes) {
    fail(fmt::format("expands {} bytes of storage to {}", place.size_bytes, out.size_bytes));
  }
  out.offset = place.offset + from.offset * item;
  if (!row_major(from.shape, from.strides)) out.strides = from.strides;
  out.conjugate = from.conjugate && is_complex(from.dtype);
  out.negative = from.negative;
  out.name = std::move(name);
  return out;
}

class Walk {
 public:
  Walk(const PickleDocument& document, std::vector<std::string>& notes) : document_(document), notes_(notes) {}

  /// Depth first in the file's order, with an explicit stack: a hostile file nests as deep as it likes.
  std::vector<std::pair<std::string, std::uint32_t>> run(const std::string& object) {
    struct Frame {
      PickleId id;
      std::string prefix;
      std::size_t next = 0;
    };
    std::vector<std::pair<std::string, std::uint32_t>> out;
    std::vector<Frame> stack;
    const auto visit = [&](PickleId id, std::string name) {
      const PickleValue& value = document_.at(id);
      switch (value.kind) {
        case Kind::tensor: out.emplace_back(std::move(name), value.slot); return;
        case Kind::storage: ++bare_storages_; return;
        case Kind::dict:
        case Kind::list:
        case Kind::tuple:
          if (!seen_.insert(value.slot).second) return;
          if (stack.size() >= kDeepest) throw FormatError(fmt::format("{}: nested deeper than {} levels", object, kDeepest));
          stack.push_back({id, std::move(name)});
          return;
        default: ++leaves_; return;
      }
    };
    visit(document_.root, "");
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const PickleValue& value = document_.at(frame.id);
      const std::vector<PickleId>& items = document_.items(value);
      const bool dict = value.kind == Kind::dict;
      if (frame.next >= items.size()) {
        stack.pop_back();
        continue;
      }
      std::string key;
      PickleId child = 0;
      if (dict) {
        key = key_text(items[frame.next]);
        child = items[frame.next + 1];
        frame.next += 2;
      } else {
        key = std::to_string(frame.next);
        child = items[frame.next++];
      }
      name_bytes_ += frame.prefix.size() + 1 + key.size();
      if (name_bytes_ > kMostNameBytes) throw FormatError(fmt::format("{}: names longer than {} bytes altogether", object, kMostNameBytes));
      std::string name = stack.size() > 1 ? frame.prefix + "." + key : key;
      visit(child, std::move(name));
    }
    if (bare_storages_ > 0) notes_.push_back(fmt::format("{} storages without a tensor are not carried over", bare_storages_));
    if (leaves_ > 0) notes_.push_back(fmt::format("{} values that are no tensors are not carried over", leaves_));
    return out;
  }

 private:
  std::string key_text(PickleId id) const {
    const PickleValue& key = document_.at(id);
    switch (key.kind) {
      case Kind::text:
      case Kind::bytes: return document_.text(key);
      case Kind::integer: return std::to_string(key.integer);
      default: return "?";
    }
  }

  const PickleDocument& document_;
  std::vector<std::string>& notes_;
  std::unordered_set<std::uint32_t> seen_;
  std::uint64_t leaves_ = 0;
  std::uint64_t bare_storages_ = 0;
  std::uint64_t name_bytes_ = 0;
};

}  // namespace

std::vector<CheckpointTensor> tensors_of_pickle(const PickleDocument& document, const std::vector<StoragePlace>& places,
                                                std::string_view under, const std::string& object, std::vector<std::string>& notes) {
  std::vector<CheckpointTensor> out;
  // Pickled keys may repeat: Python keeps the last value at the first place.
  std::unordered_map<std::string, std::size_t> names;
  const std::string prefix = under.empty() ? "" : std::string(under) + ".";
  for (auto& [name, slot] : Walk(document, notes).run(object)) {
    if (!prefix.empty()) {
      if (!name.starts_with(prefix)) continue;
      name.erase(0, prefix.size());
    }
    if (!names.emplace(name, out.size()).second) {
      throw FormatError(fmt::format("{}: tensor \"{}\" is there twice", object, name));
    }
    const PickledTensor& from = document.tensors[slot];
    CheckpointTensor tensor = place_tensor(from, document.storages[from.storage], places[from.storage], std::move(name), object);
    tensor.storage = from.storage;
    out.push_back(std::move(tensor));
  }
  if (!under.empty() && out.empty()) throw NotFoundError(fmt::format("{}: no tensors below \"{}\"", object, under));
  return out;
}

}  // namespace bigmodel
