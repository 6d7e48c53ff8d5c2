// SPDX-License-Identifier: Apache-2.0
// The part of `estimate-memory` that prices what is made of several parts, each by the headers of its files: diffusers pipelines,
// sentence-transformers models, adapters, GGUF files.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/spec/spec_library.h"
#include "commands/command.h"
#include "commands/part_files.h"
#include "render/text_table.h"

namespace bigmodel::app {

struct Component {
  std::string name;        ///< "unet", "2_Dense", a file's name
  std::string class_name;  ///< as the pipeline states it; may be empty
  std::int64_t tensors = 0, parameters = 0;
  std::int64_t bytes = 0;
  std::vector<std::pair<std::string, std::int64_t>> dtypes;  ///< bytes by stored type, in order of appearance
};

struct ComponentsResult {
  std::string library;     ///< "diffusers", "sentence-transformers", "peft", "gguf"
  std::string class_name;  ///< of the whole
  std::string source;      ///< "folder", "file" or "hub"
  std::vector<Component> components;
  std::vector<std::string> assumptions, warnings;
  std::optional<GgufHeader> gguf;  ///< of the model, its tensors left out

  std::int64_t bytes() const;
  std::int64_t parameters() const;
  std::int64_t tensors() const;
};

/// Of a path that is a pipeline (model_index.json), an adapter (adapter_config.json) or GGUF, and no model with a config.json.
/// Throws what reading headers throws; UsageError where a folder holds several GGUF models.
std::optional<ComponentsResult> estimate_components(const std::string& argument, const spec::SpecLibrary& library, const Options& options, Session& session);

/// The same of a repository of the Hub, by byte ranges; empty under --offline and for what is no repository. Throws what asking throws.
std::optional<ComponentsResult> hub_components(const std::string& argument, const spec::SpecLibrary& library, const Options& options, Session& session);

/// The parts of a sentence-transformers model (modules.json); empty where it is none.
std::optional<ComponentsResult> sentence_components(PartFiles& files);

TextTable components_table(const ComponentsResult& result);
std::string components_line(const std::string& argument, const ComponentsResult& result);
nlohmann::ordered_json components_json(const ComponentsResult& result);

}  // namespace bigmodel::app
