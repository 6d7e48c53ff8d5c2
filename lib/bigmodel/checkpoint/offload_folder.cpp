// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/offload_folder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint_index.h"
#include "bigmodel/checkpoint/read_tensor_list.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

TensorInfo read_info(const std::string& name, const Json& entry, const std::string& object) {
  const auto fail = [&](const std::string& what) -> FormatError { return FormatError(fmt::format("{}: tensor \"{}\": {}", object, name.substr(0, 120), what)); };
  if (!entry.is_object()) throw fail("is no object, expected dtype and shape");
  const auto dtype = entry.find("dtype");
  const auto shape = entry.find("shape");
  if (dtype == entry.end() || !dtype->is_string()) throw fail("no dtype");
  if (shape == entry.end() || !shape->is_array()) throw fail("no shape");
  TensorInfo info{.name = name};
  const std::optional<DType> found = find_dtype(dtype->get_ref<const std::string&>());
  if (!found) throw fail(fmt::format("unknown dtype \"{}\"", dtype->get_ref<const std::string&>().substr(0, 40)));
  info.dtype = *found;
  for (const Json& dim : *shape) {
    if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > (std::uint64_t{1} << 62)) throw fail("shape holds what is no size");
    info.shape.push_back(dim.get<std::int64_t>());
  }
  return info;
}

/// Tensors that the index leaves in a safetensors file ({"safetensors_file", "weight_name"}): opened once per file.
class SafetensorsFiles {
 public:
  SafetensorsFiles(const Disk& disk, Checkpoint& checkpoint) : disk_(disk), checkpoint_(checkpoint) {}

  void take(const std::string& name, const Json& entry, const std::string& object) {
    const auto file = entry.find("safetensors_file");
    const auto weight = entry.find("weight_name");
    if (!file->is_string()) throw FormatError(fmt::format("{}: tensor \"{}\": safetensors_file is no path", object, name));
    const auto& path = file->get_ref<const std::string&>();
    auto it = files_.find(path);
    if (it == files_.end()) {
      TensorList list = read_tensor_list(disk_, path, {});
      if (list.file.container != Container::safetensors) throw FormatError(path + ": is no safetensors file");
      list.file.name = path;
      checkpoint_.files.push_back(list.file);
      it = files_.emplace(path, std::pair(static_cast<std::uint32_t>(checkpoint_.files.size() - 1), std::move(list))).first;
    }
    const std::string wanted = weight != entry.end() && weight->is_string() ? weight->get<std::string>() : name;
    for (const CheckpointTensor& tensor : it->second.second.tensors) {
      if (tensor.name != wanted) continue;
      CheckpointTensor copy = tensor;
      copy.name = name;
      copy.file = it->second.first;
      checkpoint_.tensors.push_back(std::move(copy));
      return;
    }
    throw FormatError(fmt::format("{}: no tensor \"{}\", which {} puts there", path, wanted, object));
  }

 private:
  const Disk& disk_;
  Checkpoint& checkpoint_;
  std::map<std::string, std::pair<std::uint32_t, TensorList>> files_;
};

}  // namespace

bool is_offload_index(const fs::path& index) {
  try {
    const Json json = read_json_file(index, JsonLimits{.depth = 8});
    if (!json.is_object() || json.empty()) return false;
    for (const Json& entry : json) {
      if (!entry.is_object()) return false;
      if (!entry.contains("shape") && !entry.contains("safetensors_file")) return false;
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

void read_offload_folder(const Disk& disk, const fs::path& index, Checkpoint& checkpoint) {
  const std::string object = index.string();
  const Json json = read_json_file(index, JsonLimits{.depth = 8});
  if (!json.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object", object, json.type_name()));
  SafetensorsFiles others(disk, checkpoint);
  for (const auto& [name, entry] : json.items()) {
    if (entry.is_object() && entry.contains("safetensors_file")) {
      others.take(name, entry, object);
      continue;
    }
    CheckpointTensor tensor;
    static_cast<TensorInfo&>(tensor) = read_info(name, entry, object);
    const std::string file_name = name + ".dat";
    if (const std::string fault = shard_name_fault(file_name); !fault.empty()) {
      throw FormatError(fmt::format("{}: tensor name \"{}\" {} when used as a file name", object, name.substr(0, 120), fault));
    }
    CheckpointFile file{.path = index.parent_path() / file_name, .name = file_name, .container = Container::raw};
    const UniqueFd fd = open_on(disk, file.path, O_RDONLY | O_NONBLOCK);
    file.identity = file_identity(fd.get(), file.path);
    tensor.size_bytes = tensor.storage_bytes =
        static_cast<std::uint64_t>(byte_count(tensor.dtype, element_count(tensor.shape, object)));
    // A map of no bytes cannot be: numpy leaves a file of one byte for an empty tensor.
    const bool empty = tensor.size_bytes == 0 && file.identity.size_bytes <= 1;
    if (file.identity.size_bytes != tensor.size_bytes && !empty) {
      throw FormatError(fmt::format("{}: {} bytes, expected {} from shape {} {}", file.path.string(), file.identity.size_bytes,
                                    tensor.size_bytes, to_string(tensor.shape), bigmodel::name(tensor.dtype)));
    }
    tensor.file = static_cast<std::uint32_t>(checkpoint.files.size());
    checkpoint.files.push_back(std::move(file));
    checkpoint.tensors.push_back(std::move(tensor));
  }
}

}  // namespace bigmodel
