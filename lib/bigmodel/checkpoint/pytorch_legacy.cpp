// SPDX-License-Identifier: Apache-2.0
// torch/serialization.py, _legacy_load: pickles of magic number, protocol 1001, system, object, storage keys; then each
// storage in the order of the keys as an int64 count and its elements.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "bigmodel/checkpoint/pytorch_bin.h"
#include "bigmodel/checkpoint/pytorch_tensors.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

using Kind = PickleValue::Kind;

constexpr std::uint64_t kPickleLimitBytes = std::uint64_t{512} << 20;
/// 0x1950a86a20f9469cfc6c, little-endian as a long lies in a pickle, and as protocols 0 and 1 spell it.
constexpr std::string_view kMagic{"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10};
constexpr std::string_view kMagicText = "119547037146038801333356";

/// The front of the file, read in growing pieces until a pickle is whole.
class Front {
 public:
  Front(const Disk& disk, int fd, const CheckpointFile& file) : disk_(disk), fd_(fd), file_(file), object_(file.path.string()) { grow(); }

  PickleDocument next() {
    while (true) {
      try {
        PickleDocument document = read_pickle(std::string_view(bytes_).substr(at_), object_);
        at_ += document.end;
        return document;
      } catch (const PickleEnds&) {
        if (bytes_.size() == file_.identity.size_bytes) throw FormatError(object_ + ": its pickle is cut short");
        if (bytes_.size() >= kPickleLimitBytes) throw FormatError(object_ + ": its pickle is larger than any real one");
        grow();
      }
    }
  }
  std::uint64_t position() const { return at_; }
  const std::string& object() const { return object_; }

 private:
  void grow() {
    const std::size_t have = bytes_.size();
    const std::uint64_t wanted = std::min(file_.identity.size_bytes, std::max<std::uint64_t>(have * 4, std::uint64_t{1} << 20));
    bytes_.resize(static_cast<std::size_t>(wanted));
    read_exactly(disk_, fd_, std::as_writable_bytes(std::span(bytes_)).subspan(have), have, file_.path);
  }

  const Disk& disk_;
  int fd_;
  const CheckpointFile& file_;
  std::string object_;
  std::string bytes_;
  std::size_t at_ = 0;
};

void check_system(const PickleDocument& document, const std::string& object) {
  const PickleValue& root = document.at(document.root);
  if (root.kind != Kind::dict) throw FormatError(object + ": no system record, expected a PyTorch file");
  const std::vector<PickleId>& items = document.items(root);
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    const PickleValue& key = document.at(items[i]);
    const PickleValue& value = document.at(items[i + 1]);
    if (key.kind == Kind::text && document.text(key) == "little_endian" && value.kind == Kind::boolean && value.integer == 0) {
      throw UnsupportedError(object + ": written on a big-endian machine");
    }
  }
}

std::vector<std::string> key_list(const PickleDocument& document, const std::string& object) {
  const PickleValue& root = document.at(document.root);
  if (root.kind != Kind::list) throw FormatError(object + ": no list of storages, expected a PyTorch file");
  std::vector<std::string> keys;
  for (const PickleId id : document.items(root)) {
    const PickleValue& key = document.at(id);
    if (key.kind == Kind::text) keys.push_back(document.text(key));
    else if (key.kind == Kind::integer) keys.push_back(std::to_string(key.integer));
    else throw FormatError(object + ": a storage key that is no text");
  }
  return keys;
}

}  // namespace

void read_pytorch_legacy(const Disk& disk, int fd, std::string_view under, TensorList& list) {
  list.file.container = Container::pytorch_legacy;
  Front front(disk, fd, list.file);
  const std::string& object = front.object();
  const PickleDocument magic = front.next();
  const PickleValue& root = magic.at(magic.root);
  if (root.kind != Kind::big_integer || (magic.text(root) != kMagic && magic.text(root) != kMagicText)) {
    throw UnsupportedError(object + ": is a pickle, but none that torch.save wrote", "save the bare state_dict with torch.save or as safetensors");
  }
  const PickleDocument protocol = front.next();
  const PickleValue& version = protocol.at(protocol.root);
  if (version.kind != Kind::integer || version.integer != 1001) throw FormatError(object + ": protocol version is not 1001, expected a PyTorch file");
  check_system(front.next(), object);
  const PickleDocument document = front.next();
  const std::vector<std::string> keys = key_list(front.next(), object);

  std::unordered_map<std::string_view, std::uint32_t> by_key;
  for (std::uint32_t i = 0; i < document.storages.size(); ++i) by_key.emplace(document.storages[i].key, i);
  std::vector<StoragePlace> places(document.storages.size());
  std::vector<bool> placed(document.storages.size(), false);
  std::uint64_t at = front.position();
  const std::uint64_t file_bytes = list.file.identity.size_bytes;
  for (const std::string& key : keys) {
    const auto it = by_key.find(key);
    if (it == by_key.end()) throw FormatError(fmt::format("{}: lists storage \"{}\", which no tensor names", object, key));
    if (placed[it->second]) throw FormatError(fmt::format("{}: lists storage \"{}\" twice", object, key));
    std::array<std::byte, 8> raw{};
    if (file_bytes - at < raw.size()) throw FormatError(fmt::format("{}: ends before storage \"{}\" (the file is cut short)", object, key));
    read_exactly(disk, fd, raw, at, list.file.path);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < raw.size(); ++i) count |= static_cast<std::uint64_t>(raw[i]) << (8 * i);
    const PickledStorage& storage = document.storages[it->second];
    // Untyped storages (of the dtypes that torch itself then fails to read back) are counted in bytes, in both places.
    const std::uint64_t width = storage.dtype ? static_cast<std::uint64_t>(bit_size(*storage.dtype)) / 8 : 1;
    const std::uint64_t size = checked_mul(count, width, object);
    const std::uint64_t named = checked_mul(storage.count, width, object);
    if (size != named) throw FormatError(fmt::format("{}: storage \"{}\" has {} bytes, expected {}", object, key, size, named));
    at += raw.size();
    if (size > file_bytes - at) throw FormatError(fmt::format("{}: ends inside storage \"{}\" (the file is cut short)", object, key));
    places[it->second] = {at, size};
    placed[it->second] = true;
    at += size;
  }
  for (std::size_t i = 0; i < placed.size(); ++i) {
    if (!placed[i]) throw FormatError(fmt::format("{}: no storage \"{}\", which a tensor names", object, document.storages[i].key));
  }
  if (at != file_bytes) list.notes.push_back(fmt::format("{} bytes after the last storage", file_bytes - at));
  list.tensors = tensors_of_pickle(document, places, under, object, list.notes);
}

}  // namespace bigmodel
