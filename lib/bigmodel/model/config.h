// SPDX-License-Identifier: Apache-2.0
// A model's config.json as values of the architecture language, with what decides which description to use.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/spec/value.h"

namespace bigmodel {

struct Config {
  std::string where = "config.json";      ///< names the file in messages
  std::string library = "transformers";   ///< "transformers" or "timm"
  std::string model_type;                 ///< the description's name; "timm/<architecture>" for timm
  std::vector<std::string> architectures; ///< class names that the checkpoint states
  spec::Map data;
  bool has_auto_map = false;              ///< remote code: Python of its own beside the config
  std::string quantization_method;        ///< of quantization_config; empty without
  std::string text;                       ///< the JSON that it was read from
};

/// Which library's rules a config follows.
enum class ConfigLibrary { automatic, transformers, timm };

/// Throws FormatError (not JSON, not an object, no model_type, wrong kinds). A timm config (`architecture`, `pretrained_cfg`) gets its
/// `model_args`, `num_classes`, `global_pool` and, where stated, `img_size` at top level, as timm passes them to the constructor.
Config parse_config(std::string_view json, std::string where, ConfigLibrary library = ConfigLibrary::automatic);

/// The same of a file. Throws NotFoundError and IoError too.
Config read_config(const std::filesystem::path& path, ConfigLibrary library = ConfigLibrary::automatic);

/// A timm architecture by its registered name, with timm's own defaults.
Config timm_config(std::string_view architecture);

}  // namespace bigmodel
