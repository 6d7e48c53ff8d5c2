// SPDX-License-Identifier: Apache-2.0
#include "commands/run_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/inputs/image_processor.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/model/block_facts.h"
#include "commands/run_input.h"
#include "media/image_decoder.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostPictureBytes = std::uint64_t{1} << 30;

/// The block that puts pictures among words; null where there is none.
const Block* picture_block(const MetaGraph& graph) {
  if (!graph.root->block) return nullptr;
  const ModuleTemplate* body = member_module(*graph.root, "body");
  return body != nullptr && body->block && body->block->kind == "vision_language" ? &*body->block : nullptr;
}

std::optional<std::int64_t> integer_of(const Json& json, const char* key, const std::string& where) {
  if (!json.is_object() || !json.contains(key) || json[key].is_null()) return std::nullopt;
  if (!json[key].is_number_integer()) throw FormatError(fmt::format("{}: '{}' is {}, expected a whole number", where, key, json[key].dump().substr(0, 40)));
  return json[key].get<std::int64_t>();
}

/// One row for each patch, and the class token where the tower has one and the model takes it. processor_config.json says so, or the config.
std::int64_t places_of(const RunModel& model, const Block& block, std::int64_t height, std::int64_t width) {
  const std::filesystem::path file = *model.found.folder / "processor_config.json";
  const Json processor = std::filesystem::exists(file) ? read_json_file(file) : Json::object();
  const Json config = parse_json(model.found.config.text, model.found.config.where);
  const Json tower = config.contains("vision_config") ? Json(config["vision_config"]) : Json::object();
  std::optional<std::int64_t> patch = integer_of(processor, "patch_size", file.string());
  if (!patch) patch = integer_of(tower, "patch_size", model.found.config.where);
  if (!patch || *patch < 1 || *patch > std::min(height, width)) throw UnsupportedError(fmt::format("--image: neither processor_config.json nor the config of {} states the size of a patch", model.graph.class_name));
  // Files of older processors, which counted a class token always, do not state it.
  const bool clip = !tower.is_object() || !tower.contains("model_type") || (tower["model_type"].is_string() && tower["model_type"].get<std::string>().starts_with("clip"));
  const std::int64_t more = integer_of(processor, "num_additional_image_tokens", file.string()).value_or(clip ? 1 : 0);
  const bool skips = text_property(block, "select").value_or("full") == "default";
  return (height / *patch) * (width / *patch) + more - (skips ? 1 : 0);
}

}  // namespace

std::optional<PromptPictures> read_pictures(const Options& options, const RunModel& model) {
  if (!options.given("image")) return std::nullopt;
  const Block* block = picture_block(model.graph);
  if (block == nullptr) throw UsageError(fmt::format("--image: {} does not continue text with pictures in it", model.graph.class_name), "--input gives a picture to models of pictures alone");
  if (integer_property(*block, "merge").value_or(0) > 0) {
    throw UnsupportedError(fmt::format("--image: how pictures are cut into patches for {} is not known here", model.graph.class_name), "--input takes input_ids, pixel_values and image_grid_thw, for scores");
  }
  PromptPictures out;
  out.token = integer_property(*block, "image_token").value_or(-1);
  const ImageProcessor processor = read_image_processor(*model.found.folder / "preprocessor_config.json");
  std::vector<Tensor> pictures;
  for (const std::string& file : options.list("image")) {
    pictures.push_back(pixel_values(decode_image(read_file(file, kMostPictureBytes), file), processor));
    if (pictures.back().shape() != pictures.front().shape()) {
      throw UsageError(fmt::format("{}: becomes {}, expected {} as the first picture does", file, to_string(pictures.back().shape()), to_string(pictures.front().shape())));
    }
  }
  Shape shape = pictures.front().shape();
  shape[0] = static_cast<std::int64_t>(pictures.size());
  out.pixels = Tensor(shape);
  float* to = out.pixels.f32();
  for (const Tensor& picture : pictures) to = std::copy_n(picture.f32(), picture.count(), to);
  out.places = places_of(model, *block, shape[2], shape[3]);
  return out;
}

std::vector<std::int64_t> ids_with_pictures(const tokenizer::Tokenizer& tokenizer, std::string text, bool chat, const PromptPictures& pictures, Notes& notes) {
  std::vector<std::int64_t> ids = prompt_ids(tokenizer, text, chat);
  const std::int64_t wanted = pictures.pixels.shape().front();
  if (!chat && std::ranges::count(ids, pictures.token) == 0) {
    const std::optional<std::string> mark = pictures.token < 0 ? std::nullopt : tokenizer.token_of(static_cast<std::uint32_t>(pictures.token));
    if (!mark) throw FormatError(fmt::format("--image: the tokenizer has no token {}, which marks a picture", pictures.token));
    std::string marks;
    for (std::int64_t i = 0; i < wanted; ++i) marks += *mark;
    notes.note(fmt::format("the prompt has no {}: the picture stands before it", *mark));
    text.insert(0, marks + "\n");
    ids = prompt_ids(tokenizer, text, chat);
  }
  if (const auto marked = std::ranges::count(ids, pictures.token); marked != wanted) {
    throw UsageError(fmt::format("--image: the prompt has places for {} pictures, got {}", marked, wanted), fmt::format("token {} marks a place", pictures.token));
  }
  std::vector<std::int64_t> out;
  for (const std::int64_t id : ids) out.insert(out.end(), id == pictures.token ? static_cast<std::size_t>(pictures.places) : 1, id);
  return out;
}

}  // namespace bigmodel::app
