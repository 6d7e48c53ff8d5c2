// SPDX-License-Identifier: Apache-2.0
// Scores after every processor and chain of the generation goldens, and greedy runs and stopping under their configs.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/generation/generation_config.h"
#include "bigmodel/io/json.h"
#include "engine/expected.h"
#include "support/golden_folders.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

using Json = nlohmann::ordered_json;

/// The record beside a .json.
struct Record {
  explicit Record(const std::filesystem::path& json_path) : json(read_json_file(json_path)), file(open_checkpoint(std::filesystem::path(json_path).replace_extension(".safetensors"))) {}

  std::vector<float> floats(const std::string& name) const {
    const std::vector<std::byte> raw = bytes(name);
    std::vector<float> out(raw.size() / 4);
    std::memcpy(out.data(), raw.data(), raw.size());
    return out;
  }
  std::vector<std::int64_t> ids(const std::string& name) const {
    const std::vector<std::byte> raw = bytes(name);
    std::vector<std::int64_t> out(raw.size() / 8);
    std::memcpy(out.data(), raw.data(), raw.size());
    return out;
  }
  std::vector<std::byte> bytes(const std::string& name) const {
    const Disk disk;
    REQUIRE(file.find(name) != nullptr);
    return TensorReader(file, disk).read_all(*file.find(name));
  }

  Json json;
  Checkpoint file;
};

void apply(const std::string& name, const Json& a, TokenIds ids, Scores s) {
  const std::int64_t keep = a.value("min_tokens_to_keep", std::int64_t{1});
  const auto list = [&](const char* key) {
    const Json& v = a.at(key);
    if (v.is_null()) return std::vector<std::int64_t>{};
    return v.is_array() ? v.get<std::vector<std::int64_t>>() : std::vector<std::int64_t>{v.get<std::int64_t>()};
  };
  GenerationConfig c;
  std::int64_t prompt = 0, most = 1 << 20;
  if (name == "TemperatureLogitsWarper") return temperature_rule(s, a.at("temperature").get<float>());
  if (name == "TopKLogitsWarper") return top_k_rule(s, a.at("top_k").get<std::int64_t>(), keep);
  if (name == "TopPLogitsWarper") return top_p_rule(s, a.at("top_p").get<double>(), keep);
  if (name == "MinPLogitsWarper") return min_p_rule(s, a.at("min_p").get<float>(), keep);
  if (name == "TypicalLogitsWarper") return typical_rule(s, a.at("mass").get<float>(), keep);
  if (name == "EpsilonLogitsWarper") return epsilon_rule(s, a.at("epsilon").get<float>(), keep);
  if (name == "EtaLogitsWarper") return eta_rule(s, a.at("epsilon").get<float>(), keep);
  if (name == "TopHLogitsWarper") return top_h_rule(s, a.at("top_h").get<float>());
  if (name == "LogitNormalization") return normalize_rule(s);
  if (name == "EncoderRepetitionPenaltyLogitsProcessor") {
    return encoder_repetition_penalty_rule(s, a.at("encoder_input_ids").at(0).get<std::vector<std::int64_t>>(), a.at("penalty").get<float>());
  }
  if (name == "RepetitionPenaltyLogitsProcessor") c.repetition_penalty = a.at("penalty").get<double>();
  if (name == "NoRepeatNGramLogitsProcessor") c.no_repeat_ngram_size = a.at("ngram_size").get<std::int64_t>();
  if (name == "SuppressTokensLogitsProcessor") c.suppress_tokens = list("suppress_tokens");
  if (name == "ForcedBOSTokenLogitsProcessor") c.forced_bos_token_id = a.at("bos_token_id").get<std::int64_t>();
  if (name == "NoBadWordsLogitsProcessor") {
    c.bad_words_ids = a.at("bad_words_ids").get<std::vector<std::vector<std::int64_t>>>();
    c.eos_token_id = list("eos_token_id");
  }
  if (name == "SequenceBiasLogitsProcessor") {
    for (const Json& pair : a.at("sequence_bias")) c.sequence_bias.emplace_back(pair.at(0).get<std::vector<std::int64_t>>(), pair.at(1).get<float>());
  }
  if (name == "MinLengthLogitsProcessor") {
    c.min_length = a.at("min_length").get<std::int64_t>();
    c.eos_token_id = list("eos_token_id");
  }
  if (name == "MinNewTokensLengthLogitsProcessor") {
    c.min_new_tokens = a.at("min_new_tokens").get<std::int64_t>();
    c.eos_token_id = list("eos_token_id");
    prompt = a.at("prompt_length_to_skip").get<std::int64_t>();
  }
  if (name == "SuppressTokensAtBeginLogitsProcessor") {
    c.begin_suppress_tokens = list("begin_suppress_tokens");
    prompt = a.at("begin_index").get<std::int64_t>();
  }
  if (name == "ForcedEOSTokenLogitsProcessor") {
    c.forced_eos_token_id = list("eos_token_id");
    most = a.at("max_length").get<std::int64_t>();
  }
  if (name == "ExponentialDecayLengthPenalty") {
    c.exponential_decay_length_penalty.emplace(a.at("exponential_decay_length_penalty").at(0).get<std::int64_t>(), a.at("exponential_decay_length_penalty").at(1).get<double>());
    c.eos_token_id = list("eos_token_id");
    prompt = a.at("input_ids_seq_length").get<std::int64_t>();
  }
  const std::vector<LogitsRule> rules = logits_rules(c, prompt, most);
  REQUIRE(rules.size() == 1);
  CHECK(rules.front().name == name);
  rules.front().apply(ids, s);
}

void compare(std::span<const float> have, std::span<const float> want) {
  REQUIRE(have.size() == want.size());
  for (std::size_t i = 0; i < have.size(); ++i) {
    CAPTURE(i);
    if (std::isinf(want[i])) {
      CHECK(have[i] == want[i]);
    } else {
      CHECK(std::abs(have[i] - want[i]) <= 1e-5F * std::max(1.0F, std::abs(want[i])));
    }
  }
}

}  // namespace

TEST_SUITE("engine/logits_rules") {
  TEST_CASE("every processor and chain gives the reference's scores") {
    const auto set = test::shared_path("goldens/run/generation");
    if (!set) return;
    int compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(*set)) {
      if (entry.path().extension() != ".json") continue;
      CAPTURE(entry.path().filename().string());
      const Record record(entry.path());
      const std::vector<float> scores = record.floats("scores");
      const std::vector<std::int64_t> ids = record.ids("input_ids");
      const std::size_t vocabulary = scores.size() / 2;
      const std::size_t length = ids.size() / 2;
      for (const char* kind : {"processor", "chain"}) {
        for (const Json& item : record.json.at(fmt::format("{}s", kind))) {
          CAPTURE(item.dump());
          const std::vector<float> want = record.floats(fmt::format("{}.{}", kind, item.at("id").get<int>()));
          std::vector<float> have = scores;
          for (std::size_t row = 0; row < 2; ++row) {
            const Scores s = std::span(have).subspan(row * vocabulary, vocabulary);
            const TokenIds row_ids = std::span(ids).subspan(row * length, length);
            if (kind == std::string_view("processor")) {
              apply(item.at("class").get<std::string>(), item.at("arguments"), row_ids, s);
            } else {
              const std::vector<LogitsRule> rules = logits_rules(parse_generation_config(item.at("config").dump(), "the record"), static_cast<std::int64_t>(length), 1 << 20);
              const auto order = item.at("order").get<std::vector<std::string>>();
              REQUIRE(rules.size() == order.size());
              for (std::size_t i = 0; i < rules.size(); ++i) {
                CHECK(rules[i].name == order[i]);
                rules[i].apply(row_ids, s);
              }
            }
          }
          compare(have, want);
          ++compared;
        }
      }
    }
    CHECK(compared == 6 * (37 + 8));
  }

  TEST_CASE("greedy search, beams and stopping under configs give the reference's sequences") {
    const auto set = test::shared_path("goldens/run");
    if (!set) return;
    const test::TempFolder folder;
    for (const char* part : {"decoders-1-gpt", "decoders-2-llama"}) {
      test::unpack_archive((*set / part).string() + ".tar.xz", folder.path());
    }
    int compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(*set / "generation")) {
      if (entry.path().extension() != ".json") continue;
      const Record record(entry.path());
      CAPTURE(entry.path().filename().string());
      const std::vector<std::int64_t> ids = record.ids("input_ids");
      const auto length = static_cast<std::int64_t>(ids.size() / 2);
      const auto model = test::load_case(folder.path() / entry.path().stem(), DType::float32, "cpu");
      for (const char* kind : {"greedy", "beam", "stopping"}) {
        for (const Json& item : record.json.at(kind)) {
          CAPTURE(item.dump());
          TokenBatch prompt;
          prompt.rows = item.at("batch").get<bool>() ? 2 : 1;
          prompt.length = length;
          prompt.ids.assign(ids.begin(), ids.begin() + prompt.rows * length);
          if (prompt.rows == 2) {
            std::fill_n(prompt.ids.begin() + length, 4, 0);
            prompt.valid.assign(prompt.ids.size(), 1);
            std::fill_n(prompt.valid.begin() + length, 4, std::uint8_t{0});
          }
          const GenerationConfig config = parse_generation_config(item.at("config").dump(), "the record");
          GenerateOptions options;
          options.max_new_tokens = config.max_new_tokens.value_or(config.max_length.value_or(0) - length);
          options.eos_ids = config.eos_token_id;
          options.rules = logits_rules(config, length, length + options.max_new_tokens);
          options.beams = config.num_beams;
          options.length_penalty = config.length_penalty;
          options.early_stopping = config.early_stopping;
          options.return_sequences = config.num_return_sequences;
          for (const bool cache : {true, false}) {
            CAPTURE(cache);
            options.use_cache = cache;
            const GenerateResult result = generate(*model, prompt, options);
            std::vector<std::vector<std::int64_t>> have;
            std::size_t longest = 0;
            for (std::size_t r = 0; r < result.ids.size(); ++r) {
              const auto first = prompt.ids.begin() + static_cast<std::ptrdiff_t>(r) / options.return_sequences * length;
              have.emplace_back(first, first + length);
              have.back().insert(have.back().end(), result.ids[r].begin(), result.ids[r].end());
              longest = std::max(longest, have.back().size());
            }
            // The reference's beam search fills up with the end's id where the padding's is 0.
            const std::int64_t fill = options.beams > 1 && !options.eos_ids.empty() ? options.eos_ids.front() : 0;
            for (auto& row : have) row.resize(longest, fill);
            CAPTURE(Json(have).dump());
            CHECK(have == item.at("sequences").get<std::vector<std::vector<std::int64_t>>>());
            if (options.beams > 1) {
              const auto scores = item.at("sequences_scores").get<std::vector<double>>();
              REQUIRE(result.scores.size() == scores.size());
              for (std::size_t r = 0; r < scores.size(); ++r) CHECK(result.scores[r] == doctest::Approx(scores[r]).epsilon(1e-4));
            }
          }
          ++compared;
        }
      }
    }
    CHECK(compared == 6 * 27);
  }
}
