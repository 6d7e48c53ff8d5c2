// SPDX-License-Identifier: Apache-2.0
// torch/serialization.py, _load: data.pkl, data/KEY, byteorder, version below one root folder, all stored.
#include <fmt/format.h>
#include <zlib.h>

#include <charconv>
#include <unordered_map>

#include "bigmodel/checkpoint/pytorch_bin.h"
#include "bigmodel/checkpoint/pytorch_tensors.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/zip_reader.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kPickleLimitBytes = std::uint64_t{512} << 20;

class Archive {
 public:
  Archive(const Disk& disk, int fd, const CheckpointFile& file) : disk_(disk), fd_(fd), file_(file), object_(file.path.string()) {
    entries_ = read_zip_directory(disk, fd, file.identity.size_bytes, file.path);
    if (entries_.empty()) throw FormatError(object_ + ": an empty zip archive");
    root_ = entries_.front().name.substr(0, entries_.front().name.find('/'));
    for (const ZipEntry& entry : entries_) {
      if (!entry.name.starts_with(root_ + "/")) throw FormatError(fmt::format("{}: entry \"{}\" lies outside folder \"{}\"", object_, entry.name, root_));
      by_name_.emplace(std::string_view(entry.name).substr(root_.size() + 1), &entry);
    }
  }

  const ZipEntry* find(std::string_view name) const {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : it->second;
  }
  std::string read(const ZipEntry& entry, std::uint64_t limit) const {
    require_stored(entry);
    if (entry.size_bytes > limit) throw FormatError(fmt::format("{}: entry \"{}\" has {} bytes, expected at most {}", object_, entry.name, entry.size_bytes, limit));
    std::string out(static_cast<std::size_t>(entry.size_bytes), '\0');
    read_exactly(disk_, fd_, std::as_writable_bytes(std::span(out)), entry.offset, file_.path);
    // Zero: the writer computed none.
    const auto crc = static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size()));
    if (entry.crc32 != 0 && crc != entry.crc32) {
      throw FormatError(fmt::format("{}: entry \"{}\" is damaged: its checksum is {:08x}, expected {:08x}", object_, entry.name, crc, entry.crc32), "download the file again");
    }
    return out;
  }
  void require_stored(const ZipEntry& entry) const {
    if (entry.method != 0) {
      throw UnsupportedError(fmt::format("{}: entry \"{}\" is compressed, expected it stored as torch.save does", object_, entry.name),
                             "load and save it again with PyTorch");
    }
  }
  const std::string& object() const { return object_; }

 private:
  const Disk& disk_;
  int fd_;
  const CheckpointFile& file_;
  std::string object_;
  std::vector<ZipEntry> entries_;
  std::string root_;
  std::unordered_map<std::string_view, const ZipEntry*> by_name_;
};

void check_version(const Archive& archive) {
  const ZipEntry* entry = archive.find("version");
  if (entry == nullptr) entry = archive.find(".data/version");
  if (entry == nullptr) throw FormatError(archive.object() + ": no \"version\" entry, expected a PyTorch archive");
  const std::string text = archive.read(*entry, 64);
  unsigned version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || version < 1 || version > 10) {
    throw UnsupportedError(fmt::format("{}: archive version \"{}\", expected 1 to 10", archive.object(), text.substr(0, text.find('\n'))));
  }
}

}  // namespace

void read_pytorch_zip(const Disk& disk, int fd, std::string_view under, TensorList& list) {
  list.file.container = Container::pytorch_zip;
  const Archive archive(disk, fd, list.file);
  if (archive.find("constants.pkl") != nullptr || archive.find("model.json") != nullptr) {
    throw UnsupportedError(archive.object() + ": is a TorchScript archive, which holds a program, expected a state_dict",
                           "torch.save(torch.jit.load(FILE).state_dict(), NEW)");
  }
  const ZipEntry* pickle = archive.find("data.pkl");
  if (pickle == nullptr) throw FormatError(archive.object() + ": no \"data.pkl\" entry, expected a PyTorch archive");
  check_version(archive);
  if (const ZipEntry* order = archive.find("byteorder"); order != nullptr && archive.read(*order, 64) != "little") {
    throw UnsupportedError(archive.object() + ": written on a big-endian machine");
  }
  const std::string bytes = archive.read(*pickle, kPickleLimitBytes);
  PickleDocument document;
  try {
    document = read_pickle(bytes, archive.object());
  } catch (const PickleEnds&) {
    throw FormatError(archive.object() + ": its pickle is cut short");
  }
  std::vector<StoragePlace> places;
  for (const PickledStorage& storage : document.storages) {
    const ZipEntry* entry = archive.find("data/" + storage.key);
    if (entry == nullptr) throw FormatError(fmt::format("{}: no entry \"data/{}\" for a storage that the pickle names", archive.object(), storage.key));
    archive.require_stored(*entry);
    const std::uint64_t item = storage.dtype ? static_cast<std::uint64_t>(bit_size(*storage.dtype)) / 8 : 1;
    const std::uint64_t bytes_wanted = checked_mul(storage.count, item, archive.object());
    if (entry->size_bytes != bytes_wanted) {
      throw FormatError(fmt::format("{}: entry \"{}\" has {} bytes, expected {}", archive.object(), entry->name, entry->size_bytes, bytes_wanted));
    }
    places.push_back({entry->offset, entry->size_bytes});
    if (entry->crc32 != 0) list.file.records.push_back({entry->name, entry->offset, entry->size_bytes, entry->crc32});
  }
  list.tensors = tensors_of_pickle(document, places, under, archive.object(), list.notes);
}

}  // namespace bigmodel
