// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, utils/modeling.py, load_checkpoint_in_model and load_state_dict.
#include "bigmodel/engine/checkpoint_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// tensor -> file, in the index's order.
std::vector<std::pair<std::string, std::string>> read_weight_map(const fs::path& index) {
  const nlohmann::ordered_json json = read_json_file(index, JsonLimits{.depth = 8, .refuse_duplicate_keys = false});
  const auto found = json.is_object() ? json.find("weight_map") : json.end();
  const nlohmann::ordered_json& map = found == json.end() ? json : *found;
  if (!map.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object of tensors and files", index.string(), map.type_name()));
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) throw FormatError(fmt::format("{}: the file of tensor '{}' is {}, expected a name", index.string(), tensor.substr(0, 120), file.type_name()));
    out.emplace_back(tensor, file.get<std::string>());
  }
  return out;
}

std::vector<fs::path> files_of_index(const fs::path& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : read_weight_map(index)) {
    if (const std::string fault = shard_name_fault(file); !fault.empty()) {
      throw FormatError(fmt::format("{}: shard name '{}' {}", index.string(), file.substr(0, 120), fault));
    }
    names.insert(file);
  }
  std::vector<fs::path> out;
  for (const std::string& name : names) out.push_back(index.parent_path() / name);
  return out;
}

std::vector<fs::path> choose_weight_files(const fs::path& path) {
  if (fs::is_regular_file(path)) return path.extension() == ".json" ? files_of_index(path) : std::vector{path};
  if (!fs::is_directory(path)) {
    throw UsageError(fmt::format("`checkpoint` should be the path to a file containing a whole state dict, or the index of a sharded checkpoint, or a folder "
                                 "containing a sharded checkpoint or the whole state dict, but got {}",
                                 path.string()));
  }
  for (const char* name : {"pytorch_model.bin", "model.safetensors"}) {
    if (fs::is_regular_file(path / name)) return {path / name};
  }
  std::vector<fs::path> indexes;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().filename().string().ends_with(".index.json")) indexes.push_back(entry.path());
  }
  if (indexes.empty()) {
    throw UsageError(fmt::format("{} is not a folder containing a `.index.json` file or a pytorch_model.bin or a model.safetensors file", path.string()));
  }
  if (indexes.size() > 1) throw UsageError(fmt::format("{} containing more than one `.index.json` file, delete the irrelevant ones", path.string()));
  return files_of_index(indexes.front());
}

void check_format(const CheckpointFile& file, std::vector<DeviceMapMessage>& messages) {
  if (file.container != Container::safetensors) return;
  if (file.metadata.empty()) {
    messages.push_back({DeviceMapMessage::Level::log_warning,
                        fmt::format("The safetensors archive passed at {} does not contain metadata. Make sure to save your model with the `save_pretrained` method. "
                                    "Defaulting to 'pt' metadata.",
                                    file.path.string())});
    return;
  }
  const auto format = std::ranges::find(file.metadata, "format", [](const auto& m) -> std::string_view { return m.first; });
  const std::string value = format == file.metadata.end() ? std::string{} : format->second;
  if (value == "tf" || value == "flax") throw FormatError(fmt::format("The checkpoint passed was saved with {}, we need a the pt format", value), file.path.string());
  if (value != "pt") {
    throw FormatError(fmt::format("The safetensors archive passed at {} does not contain the valid metadata. Make sure you save your model with the "
                                  "`save_pretrained` method",
                                  file.path.string()));
  }
}

}  // namespace

Checkpoint open_weight_files(const fs::path& path, const Disk& disk, std::vector<DeviceMapMessage>& messages) {
  Checkpoint out;
  out.path = path;
  for (const fs::path& file : choose_weight_files(path)) {
    TensorList list = read_tensor_list(disk, file, {});
    list.file.name = file.filename().string();
    check_format(list.file, messages);
    for (CheckpointTensor& t : list.tensors) {
      t.file = static_cast<std::uint32_t>(out.files.size());
      out.tensors.push_back(std::move(t));
    }
    out.files.push_back(std::move(list.file));
    out.folder = file.parent_path();
  }
  return out;
}

std::vector<std::string> index_keys(const fs::path& index) {
  std::vector<std::string> out;
  for (auto& [tensor, file] : read_weight_map(index)) out.push_back(std::move(tensor));
  return out;
}

}  // namespace bigmodel
