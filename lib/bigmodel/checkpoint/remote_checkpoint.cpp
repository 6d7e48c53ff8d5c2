// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/remote_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/checkpoint/shard_plan.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kFirstBytes = 100'000;  // most headers are shorter
constexpr std::uint64_t kIndexLimitBytes = 250'000'000;
constexpr std::size_t kMostShards = 10'000;

std::string path_of(const RemoteFiles& files, const std::string& name) { return files.folder.empty() ? name : files.folder + "/" + name; }

std::optional<TensorList> read_file_header(const RemoteFiles& files, const std::string& name) {
  const std::string path = path_of(files, name);
  const std::string object = fmt::format("{}: {}", files.object, path);
  std::uint64_t file_bytes = 0;
  std::optional<std::string> text = files.read(path, 0, kFirstBytes, file_bytes);
  if (!text) return std::nullopt;
  if (text->size() < 8) throw FormatError(fmt::format("{}: {} bytes, too short for a safetensors header", object, text->size()));
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(static_cast<unsigned char>((*text)[i])) << (8 * i);
  if (length > kHubHeaderLimit || length > file_bytes - 8) {
    throw FormatError(fmt::format("{}: header length {}, expected at most {}", object, length, std::min(kHubHeaderLimit, file_bytes - 8)),
                      "is it a safetensors file?");
  }
  if (text->size() < 8 + length) {
    std::uint64_t size_again = 0;
    const std::uint64_t have = text->size();
    const std::optional<std::string> rest = files.read(path, have, 8 + length - have, size_again);
    if (!rest || rest->size() != 8 + length - have || size_again != file_bytes) {
      throw FormatError(fmt::format("{}: changed or ends while its header is read", object), "try again");
    }
    *text += *rest;
  }
  TensorList out;
  take_safetensors_header(parse_safetensors_header(std::string_view(*text).substr(8, static_cast<std::size_t>(length)), file_bytes - 8 - length, object), out);
  out.file.path = path;
  out.file.name = name;
  out.file.identity.size_bytes = file_bytes;
  return out;
}

std::vector<TensorList> read_shards(const RemoteFiles& files, const CheckpointIndex& index) {
  std::vector<TensorList> out(index.shards.size());
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < std::min<std::size_t>(std::max(files.connections, 1U), out.size()); ++t) {
      threads.emplace_back([&] {
        try {
          for (std::size_t i = next++; i < out.size(); i = next++) {
            {
              const std::scoped_lock lock(mutex);
              if (failure) return;
            }
            std::optional<TensorList> shard = read_file_header(files, index.shards[i]);
            if (!shard) throw NotFoundError(fmt::format("{}: {} names shard \"{}\", which is not there", files.object, index.name, index.shards[i]));
            out[i] = *std::move(shard);
          }
        } catch (...) {
          const std::scoped_lock lock(mutex);
          if (!failure) failure = std::current_exception();
        }
      });
    }
  }
  if (failure) std::rethrow_exception(failure);
  return out;
}

void add(Checkpoint& checkpoint, TensorList file) {
  for (const std::string& note : file.notes) checkpoint.notes.push_back(fmt::format("{}: {}", file.file.name, note));
  for (CheckpointTensor& tensor : file.tensors) {
    tensor.file = static_cast<std::uint32_t>(checkpoint.files.size());
    checkpoint.tensors.push_back(std::move(tensor));
  }
  checkpoint.files.push_back(std::move(file.file));
}

/// The index's order; what it names must be where it says.
void order_by_index(Checkpoint& checkpoint, const std::string& object) {
  const CheckpointIndex& index = *checkpoint.index;
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    if (!places.emplace(checkpoint.tensors[i].name, i).second) {
      throw FormatError(fmt::format("{}: tensor \"{}\" lies in two shards", object, checkpoint.tensors[i].name));
    }
  }
  std::vector<CheckpointTensor> ordered;
  ordered.reserve(index.weight_map.size());
  for (const IndexEntry& entry : index.weight_map) {
    const auto it = places.find(entry.tensor);
    if (it == places.end() || checkpoint.tensors[it->second].file != entry.shard) {
      throw FormatError(fmt::format("{}: {}: no tensor \"{}\", which {} puts there", object, index.shards[entry.shard], entry.tensor, index.name));
    }
    ordered.push_back(std::move(checkpoint.tensors[it->second]));
    places.erase(it);
  }
  if (!places.empty()) checkpoint.notes.push_back(fmt::format("{} tensors are in no entry of {}", places.size(), index.name));
  checkpoint.tensors = std::move(ordered);
}

}  // namespace

Checkpoint read_remote_checkpoint(const RemoteFiles& files) {
  const ShardNames own{.stem = files.names.stem, .variant = files.names.variant};
  const std::vector<WeightName> names = files.names.stem.empty() ? weight_names(files.names.variant) : std::vector<WeightName>{{own.one(), false}, {own.index(), true}};
  Checkpoint out;
  out.path = out.folder = files.folder;
  std::vector<std::string> tried;
  for (const auto& [name, is_index] : names) {
    if (name.find(".safetensors") == std::string::npos) continue;
    tried.push_back(name);
    if (!is_index) {
      if (std::optional<TensorList> whole = read_file_header(files, name)) {
        add(out, *std::move(whole));
        return out;
      }
      continue;
    }
    std::uint64_t index_bytes = 0;
    const std::optional<std::string> text = files.read(path_of(files, name), 0, kIndexLimitBytes, index_bytes);
    if (!text) continue;
    if (index_bytes > kIndexLimitBytes) throw UnsupportedError(fmt::format("{}: {} has {} bytes, at most {} are read", files.object, name, index_bytes, kIndexLimitBytes));
    out.index = parse_checkpoint_index(*text, fmt::format("{}: {}", files.object, name));
    out.index->name = name;
    if (out.index->shards.size() > kMostShards) throw UnsupportedError(fmt::format("{}: {} shards, at most {} are read", files.object, out.index->shards.size(), kMostShards));
    for (TensorList& shard : read_shards(files, *out.index)) add(out, std::move(shard));
    order_by_index(out, files.object);
    return out;
  }
  throw NotFoundError(fmt::format("{}: none of {}", files.object, fmt::join(tried, ", ")),
                      "only safetensors headers can be read without the weights; download the checkpoint");
}

}  // namespace bigmodel
