// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, utils/offload.py.
#include "bigmodel/engine/offload.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <span>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/checkpoint/offload_folder.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/atomic_file.h"
#include "bigmodel/io/json.h"

namespace bigmodel {

namespace fs = std::filesystem;

void offload_weight(const StoredTensor& weight, const std::string& name, const fs::path& folder, OffloadIndex& index, const Disk& disk) {
  const std::string file_name = name + ".dat";
  if (const std::string fault = shard_name_fault(file_name); !fault.empty() || name.find('/') != std::string::npos) {
    throw UsageError(fmt::format("tensor '{}': cannot be offloaded to {}, its name is no file name", name.substr(0, 120), folder.string()));
  }
  if (weight.is_meta()) throw UsageError(fmt::format("tensor '{}': is on meta, there is nothing to offload", name), "load a checkpoint first");
  // What is in RAM is written from where it lies.
  const bool is_here = weight.device == &cpu_device();
  const std::vector<std::byte> copied = is_here ? std::vector<std::byte>() : bytes_of(weight);
  std::span<const std::byte> bytes = is_here ? std::span<const std::byte>(weight.view.data, static_cast<std::size_t>(weight.size_bytes())) : copied;
  // numpy maps no empty file, so that the reference leaves one byte.
  constexpr std::byte kNothing{};
  if (bytes.empty()) bytes = {&kNothing, 1};
  const fs::path path = folder / file_name;
  {
    const UniqueFd fd = open_on(disk, path, O_WRONLY | O_CREAT | O_TRUNC);
    try {
      write_exactly(disk, fd.get(), bytes, 0, path);
    } catch (...) {
      disk.unlink(path);
      throw;
    }
  }
  index.push_back({name, weight.view.dtype, weight.view.shape});
}

void save_offload_index(const OffloadIndex& index, const fs::path& folder) {
  if (index.empty()) return;
  const fs::path path = folder / "index.json";
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  if (fs::is_regular_file(path)) all = read_json_file(path, JsonLimits{.depth = 8});
  if (!all.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object", path.string(), all.type_name()), "choose another offload folder");
  for (const TensorInfo& t : index) all[t.name] = {{"dtype", name(t.dtype)}, {"shape", t.shape}};
  AtomicFile file(path);
  file.write(std::string_view(all.dump(2, ' ', true)));
  file.commit();
}

void offload_state_dict(const fs::path& folder, const StateDict& tensors, const Disk& disk) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw_errno(folder.string(), "create the offload folder", error.value());
  OffloadIndex index;
  for (const auto& [name, tensor] : tensors) offload_weight(tensor, name, folder, index, disk);
  save_offload_index(index, folder);
}

StoredTensor load_offloaded_weight(const fs::path& file, const TensorInfo& info, const Disk& disk) {
  StoredTensor shape = meta_tensor(info.dtype, info.shape);
  std::vector<std::byte> bytes(static_cast<std::size_t>(shape.size_bytes()));
  const UniqueFd fd = open_on(disk, file, O_RDONLY);
  read_exactly(disk, fd.get(), bytes, 0, file);
  return stored_tensor(info.dtype, info.shape, bytes);
}

struct CheckpointWeights::Reader {
  Reader(const Checkpoint& checkpoint, const Disk& disk) : reader(checkpoint, disk) {}
  std::mutex mutex;
  TensorReader reader;
};

CheckpointWeights::CheckpointWeights(Checkpoint checkpoint, const Disk& disk)
    : checkpoint_(std::move(checkpoint)), reader_(std::make_unique<Reader>(checkpoint_, disk)) {
  for (std::size_t i = 0; i < checkpoint_.tensors.size(); ++i) by_name_.emplace(checkpoint_.tensors[i].name, i);
}

CheckpointWeights::~CheckpointWeights() = default;

const CheckpointTensor* CheckpointWeights::info(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &checkpoint_.tensors[it->second];
}

std::optional<StoredTensor> CheckpointWeights::find(const std::string& name) const {
  const CheckpointTensor* tensor = info(name);
  if (tensor == nullptr) return std::nullopt;
  StoredTensor out = meta_tensor(tensor->dtype, tensor->shape);
  const std::shared_ptr<std::byte[]> memory = cpu_device().allocate(out.size_bytes());
  {
    const std::lock_guard lock(reader_->mutex);
    reader_->reader.read(*tensor, 0, {memory.get(), static_cast<std::size_t>(out.size_bytes())});
  }
  out.view.data = memory.get();
  out.device = &cpu_device();
  out.memory = memory;
  return out;
}

std::shared_ptr<const CheckpointWeights> open_offload_folder(const fs::path& folder, const Disk& disk) {
  Checkpoint checkpoint;
  checkpoint.path = folder;
  checkpoint.folder = folder;
  read_offload_folder(disk, folder / "index.json", checkpoint);
  return std::make_shared<CheckpointWeights>(std::move(checkpoint), disk);
}

std::optional<StoredTensor> OffloadedWeightsLoader::find(const std::string& name) const {
  std::optional<StoredTensor> found = memory_.find(name);
  return found || stored_ == nullptr ? found : stored_->find(name);
}

}  // namespace bigmodel
