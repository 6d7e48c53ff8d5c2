// SPDX-License-Identifier: Apache-2.0
// Chooses the files of a checkpoint and puts what their headers say into one list.
#include "bigmodel/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/checkpoint/offload_folder.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr off_t kUsualHeaderBytes = 64 << 10;

/// Asks the kernel to have a header in memory soon; nothing happens where that cannot be.
void announce_read(const fs::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (fd) static_cast<void>(::posix_fadvise(fd.get(), 0, kUsualHeaderBytes, POSIX_FADV_WILLNEED));
}

/// Collects or throws, as the caller of open_checkpoint wants.
class Faults {
 public:
  explicit Faults(std::vector<Finding>* findings) : findings_(findings) {}
  bool collecting() const { return findings_ != nullptr; }
  void fault(const Error& error, std::string kind, std::string file) {
    if (findings_ == nullptr) {
      if (error.kind() == ErrorKind::not_found) throw NotFoundError(error.message(), error.hint());
      throw FormatError(error.message(), error.hint());
    }
    findings_->push_back({.kind = std::move(kind), .file = std::move(file), .message = error.message()});
  }
  void tensor_fault(std::string kind, std::string file, std::string tensor, std::string message, std::string hint = {}) {
    if (findings_ == nullptr) throw FormatError(message, hint);
    findings_->push_back({.kind = std::move(kind), .file = std::move(file), .tensor = std::move(tensor), .message = std::move(message), .has_tensor = true});
  }

 private:
  std::vector<Finding>* findings_;
};

/// The places of each name, in the order of the files.
class TensorsByName {
 public:
  explicit TensorsByName(const std::vector<CheckpointTensor>& tensors) : next_(tensors.size(), kNone) {
    first_.reserve(tensors.size());
    for (std::size_t i = tensors.size(); i-- > 0;) {
      const auto [it, fresh] = first_.emplace(tensors[i].name, i);
      if (!fresh) next_[i] = std::exchange(it->second, i);
    }
  }
  /// kNone where there is none.
  std::size_t first(std::string_view name) const {
    const auto it = first_.find(name);
    return it == first_.end() ? kNone : it->second;
  }
  std::size_t next(std::size_t i) const { return next_[i]; }

  static constexpr std::size_t kNone = ~std::size_t{0};

 private:
  std::unordered_map<std::string_view, std::size_t> first_;
  std::vector<std::size_t> next_;
};

/// Appends a file's tensors. Returns false where the file could not be read and faults are being collected.
bool add_file(Checkpoint& checkpoint, const fs::path& path, const std::string& name, const OpenOptions& options,
              const Disk& disk, Faults& faults) {
  try {
    TensorList list = read_tensor_list(disk, path, options.under);
    const auto file = static_cast<std::uint32_t>(checkpoint.files.size());
    list.file.name = name;
    checkpoint.files.push_back(std::move(list.file));
    for (CheckpointTensor& tensor : list.tensors) {
      tensor.file = file;
      checkpoint.tensors.push_back(std::move(tensor));
    }
    for (std::string& note : list.notes) checkpoint.notes.push_back(fmt::format("{}: {}", name, note));
    return true;
  } catch (const Error& error) {
    if (!faults.collecting() || error.kind() == ErrorKind::io) throw;
    faults.fault(error, error.kind() == ErrorKind::not_found ? "missing_shard" : "unreadable_file", name);
    return false;
  }
}

void open_by_index(Checkpoint& checkpoint, const ChosenFiles& chosen, const OpenOptions& options, const Disk& disk, Faults& faults) {
  checkpoint.index = read_checkpoint_index(chosen.index);
  const CheckpointIndex& index = *checkpoint.index;
  std::vector<std::size_t> first_tensor;
  std::vector<bool> readable;
  // Headers are read one after the other: the disk should not wait for that.
  for (const std::string& shard : index.shards) announce_read(checkpoint.folder / shard);
  for (const std::string& shard : index.shards) {
    const fs::path path = checkpoint.folder / shard;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      faults.fault(NotFoundError(fmt::format("{}: names shard \"{}\", which is not there", chosen.index.string(), shard),
                                 "the download is incomplete: fetch the missing files"),
                   "missing_shard", shard);
      readable.push_back(false);
      continue;
    }
    readable.push_back(add_file(checkpoint, path, shard, options, disk, faults));
  }
  const TensorsByName held(checkpoint.tensors);
  std::vector<std::size_t> order;
  std::vector<bool> taken(checkpoint.tensors.size(), false);
  order.reserve(index.weight_map.size());
  for (const IndexEntry& entry : index.weight_map) {
    if (!readable[entry.shard]) continue;
    const std::string& shard = index.shards[entry.shard];
    const std::size_t first = held.first(entry.tensor);
    bool found = false;
    for (std::size_t i = first; i != TensorsByName::kNone; i = held.next(i)) {
      if (checkpoint.files[checkpoint.tensors[i].file].name != shard) continue;
      order.push_back(i);
      taken[i] = found = true;
    }
    if (!found) {
      const std::string elsewhere = first == TensorsByName::kNone ? "" : fmt::format("; it is in {}", checkpoint.files[checkpoint.tensors[first].file].name);
      faults.tensor_fault("missing_in_shard", shard, entry.tensor,
                          fmt::format("{}: no tensor \"{}\", which {} puts there{}", shard, entry.tensor, index.name, elsewhere),
                          "bigmodel verify lists every such fault");
    }
  }
  for (std::size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    if (taken[i]) continue;
    const CheckpointTensor& tensor = checkpoint.tensors[i];
    const std::string& shard = checkpoint.files[tensor.file].name;
    const bool twice = held.next(held.first(tensor.name)) != TensorsByName::kNone;
    faults.tensor_fault(twice ? "duplicate_tensor" : "not_in_index", shard, tensor.name,
                        fmt::format("{}: tensor \"{}\" {}", shard, tensor.name,
                                    twice ? "lies in another shard too" : fmt::format("is not in {}", index.name)),
                        "loaders read it all the same; bigmodel verify lists every such fault");
  }
  std::vector<CheckpointTensor> ordered;
  ordered.reserve(order.size());
  for (const std::size_t i : order) ordered.push_back(std::move(checkpoint.tensors[i]));
  checkpoint.tensors = std::move(ordered);
}

void open_files(Checkpoint& checkpoint, const ChosenFiles& chosen, const OpenOptions& options, const Disk& disk, Faults& faults) {
  for (const fs::path& path : chosen.files) {
    add_file(checkpoint, path, path.lexically_relative(checkpoint.folder).generic_string(), options, disk, faults);
  }
  if (chosen.files.size() < 2) return;
  std::unordered_set<std::string_view> names;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (names.insert(tensor.name).second) continue;
    const std::string& file = checkpoint.files[tensor.file].name;
    faults.tensor_fault("duplicate_tensor", file, tensor.name, fmt::format("{}: tensor \"{}\" lies in another file too", file, tensor.name));
  }
}

}  // namespace

std::string_view to_string(Container container) noexcept {
  switch (container) {
    case Container::safetensors: return "safetensors";
    case Container::pytorch_zip: return "pytorch zip";
    case Container::pytorch_legacy: return "pytorch legacy";
    case Container::raw: return "offload";
    case Container::made: return "made";
  }
  return "";
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto it = std::ranges::find(tensors, name, &CheckpointTensor::name);
  return it == tensors.end() ? nullptr : &*it;
}

std::uint64_t Checkpoint::tensor_bytes() const {
  std::uint64_t sum = 0;
  for (const CheckpointTensor& tensor : tensors) sum = checked_add(sum, tensor.size_bytes, path.string());
  return sum;
}

Checkpoint open_checkpoint(const fs::path& path, const OpenOptions& options) {
  const Disk real;
  const Disk& disk = options.disk != nullptr ? *options.disk : real;
  Faults faults(options.findings);
  Checkpoint checkpoint;
  checkpoint.path = path;
  const ChosenFiles chosen = choose_files(disk, path, options.variant);
  checkpoint.folder = chosen.folder;
  for (const std::string& note : chosen.notes) checkpoint.notes.push_back(note);
  if (!chosen.offload_index.empty()) {
    read_offload_folder(disk, chosen.offload_index, checkpoint);
  } else if (!chosen.index.empty()) {
    open_by_index(checkpoint, chosen, options, disk, faults);
  } else {
    open_files(checkpoint, chosen, options, disk, faults);
  }
  return checkpoint;
}

}  // namespace bigmodel
