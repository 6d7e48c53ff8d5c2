// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/tokenizer_class.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/mapped_file.h"
#include "bigmodel/tokenizer/tokenizer_class_parts.h"

namespace bigmodel::tokenizer {
namespace {

/// The reference's own test, a search for the word.
bool names_byte_level(const std::filesystem::path& tokenizer_json) {
  if (!std::filesystem::exists(tokenizer_json)) return false;
  const MappedFile file(tokenizer_json);
  const auto bytes = file.bytes();
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).find("\"ByteLevel\"") != std::string_view::npos;
}

}  // namespace

std::string_view choose_tokenizer_class(const PretrainedSettings& settings, const std::filesystem::path& folder) {
  const auto known = [](std::string_view name) { return known_class(name) != nullptr ? name : std::string_view(); };
  const std::string_view of_type = class_of_type(settings.model_type);
  const std::string_view named = settings.class_name;
  const bool registered_wins = registered_class_wins(settings.model_type);
  if (named.empty()) return known(of_type);
  if (of_type == "TokenizersBackend") return {};
  if (named == "LlamaTokenizer" && !registered_wins && names_byte_level(folder / "tokenizer.json")) return {};
  return known(registered_wins ? of_type : named);
}

const ClassPipeline* class_pipeline(std::string_view name) {
  const KnownClass* known = known_class(name);
  return known == nullptr ? nullptr : &known->pipeline;
}

void set_class_tokens(std::string_view name, PretrainedSettings& settings) {
  const KnownClass* known = known_class(name);
  if (known == nullptr) return;
  const ClassPipeline& pipeline = known->pipeline;
  for (const auto& [token, content] : pipeline.tokens) settings.set_default(token, content);
  // Names of the class's own come in its order, wherever their texts are from; the seven common ones stay in front.
  const auto place = [&](const NamedToken& named) {
    const auto it = std::ranges::find(pipeline.tokens, std::string_view(named.name), &std::pair<std::string_view, std::string_view>::first);
    return it - pipeline.tokens.begin();
  };
  std::ranges::stable_sort(std::ranges::find_if_not(settings.named, is_common_name, &NamedToken::name), settings.named.end(), {}, place);
  for (NamedToken& named : settings.named) {
    if (!named.bare || !named.token) continue;
    if (named.name != "mask_token") continue;
    named.token->lstrip |= pipeline.lstrip_mask;
    named.token->normalized |= pipeline.normalized_mask;
  }
  if (known->extras != nullptr) known->extras(settings);
}

int extra_id_count(const PretrainedSettings& settings) {
  constexpr std::int64_t kMost = 100'000;
  const std::int64_t out = settings.number("extra_ids", 100);
  if (out > kMost) throw CapacityError(fmt::format("tokenizer_config.json, extra_ids: expected at most {}, got {}", kMost, out));
  return static_cast<int>(std::max<std::int64_t>(out, 0));
}

void build_class_sections(std::string_view name, const PretrainedSettings& settings, const std::string& charsmap, nlohmann::ordered_json& file) {
  if (const KnownClass* known = known_class(name); known != nullptr && known->build != nullptr) known->build(settings, charsmap, file);
}

}  // namespace bigmodel::tokenizer
