// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/generation/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

/// Keys of transformers that change the result and are not followed, with the value that asks for nothing.
constexpr std::array<std::pair<const char*, const char*>, 12> kNotFollowed = {{{"guidance_scale", "1.0"},
                                                                               {"watermarking_config", "null"},
                                                                               {"token_healing", "false"},
                                                                               {"num_beam_groups", "1"},
                                                                               {"diversity_penalty", "0.0"},
                                                                               {"penalty_alpha", "0.0"},
                                                                               {"dola_layers", "null"},
                                                                               {"force_words_ids", "null"},
                                                                               {"constraints", "null"},
                                                                               {"encoder_no_repeat_ngram_size", "0"},
                                                                               {"forced_decoder_ids", "null"},
                                                                               {"use_mtp", "false"}}};

/// All other keys of transformers' class, and those that its models add.
constexpr std::string_view kOtherKeys[] = {
    "do_sample", "renormalize_logits", "remove_invalid_values", "num_beams", "num_return_sequences", "length_penalty", "early_stopping", "max_new_tokens", "max_length",
    "max_time", "stop_strings", "temperature", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h", "repetition_penalty", "encoder_repetition_penalty",
    "top_k", "no_repeat_ngram_size", "min_length", "min_new_tokens", "forced_bos_token_id", "suppress_tokens", "begin_suppress_tokens", "forced_eos_token_id",
    "eos_token_id", "bad_words_ids", "sequence_bias", "exponential_decay_length_penalty", "use_cache", "cache_implementation", "cache_config", "prefill_chunk_size",
    "output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "pad_token_id", "bos_token_id", "decoder_start_token_id",
    "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "prompt_lookup_num_tokens", "max_matching_ngram_size",
    "assistant_early_exit", "assistant_lookbehind", "target_lookbehind", "compile_config", "disable_compile", "continuous_batching_config", "low_memory",
    "transformers_version", "generation_kwargs", "_from_model_config", "_commit_hash", "alignment_heads", "is_multilingual", "lang_to_id", "task_to_id", "language", "task",
    "no_timestamps_token_id", "prev_sot_token_id", "max_initial_timestamp_index", "return_timestamps", "condition_on_prev_tokens", "compression_ratio_threshold",
    "logprob_threshold", "no_speech_threshold", "chat_format", "max_window_size"};

class Reader {
 public:
  Reader(const Json& json, const std::string& where) : json_(json), where_(where) {}

  const Json* find(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  [[noreturn]] void refuse(const char* key, std::string_view expected) const {
    throw FormatError(fmt::format("{}: '{}' is {}, expected {}", where_, key, json_.at(key).dump().substr(0, 60), expected));
  }
  void number(const char* key, std::optional<double>& to, double least, double most) const {
    const Json* v = find(key);
    if (v == nullptr) return;
    if (!v->is_number() || !(v->get<double>() >= least && v->get<double>() <= most)) refuse(key, fmt::format("a number from {} to {}", least, most));
    to = v->get<double>();
  }
  std::int64_t whole(const char* key, const Json& v) const {
    if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX)) refuse(key, "whole numbers");
    return v.get<std::int64_t>();
  }
  void integer(const char* key, std::optional<std::int64_t>& to) const {
    if (const Json* v = find(key)) to = whole(key, *v);
  }
  bool boolean(const char* key) const {
    const Json* v = find(key);
    if (v != nullptr && !v->is_boolean()) refuse(key, "true or false");
    return v != nullptr && v->get<bool>();
  }
  std::int64_t count(const char* key) const {
    const Json* v = find(key);
    if (v != nullptr && whole(key, *v) < 1) refuse(key, "1 or more");
    return v == nullptr ? 1 : v->get<std::int64_t>();
  }
  std::vector<std::string> texts(const char* key) const {
    const Json* v = find(key);
    if (v == nullptr) return {};
    if (v->is_string()) return {v->get<std::string>()};
    if (!v->is_array() || !std::ranges::all_of(*v, [](const Json& t) { return t.is_string(); })) refuse(key, "a text or a list of texts");
    return v->get<std::vector<std::string>>();
  }
  std::vector<std::int64_t> list(const char* key, const Json& v) const {
    if (!v.is_array()) return {whole(key, v)};
    std::vector<std::int64_t> out;
    for (const Json& item : v) out.push_back(whole(key, item));
    return out;
  }
  std::vector<std::int64_t> list(const char* key) const {
    const Json* v = find(key);
    return v == nullptr ? std::vector<std::int64_t>{} : list(key, *v);
  }

 private:
  const Json& json_;
  const std::string& where_;
};

}  // namespace

GenerationConfig parse_generation_config(std::string_view text, const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object", where, json.type_name()));
  const Reader r(json, where);
  constexpr double kHuge = 1e30;
  constexpr double kTiny = 1e-30;
  constexpr double kLargestPower = 100;
  GenerationConfig out;
  out.do_sample = r.boolean("do_sample");
  out.renormalize_logits = r.boolean("renormalize_logits");
  out.remove_invalid_values = r.boolean("remove_invalid_values");
  out.num_beams = r.count("num_beams");
  out.num_return_sequences = r.count("num_return_sequences");
  std::optional<double> length_penalty;
  r.number("length_penalty", length_penalty, -kLargestPower, kLargestPower);
  out.length_penalty = length_penalty.value_or(1);
  if (const Json* v = r.find("early_stopping")) {
    if (!v->is_boolean() && *v != "never") r.refuse("early_stopping", "true, false or \"never\"");
    out.early_stopping = !v->is_boolean() ? EarlyStopping::never : v->get<bool>() ? EarlyStopping::yes : EarlyStopping::no;
  }
  r.integer("max_new_tokens", out.max_new_tokens);
  r.integer("max_length", out.max_length);
  r.number("max_time", out.max_time, 0, kHuge);
  out.stop_strings = r.texts("stop_strings");
  r.number("temperature", out.temperature, out.do_sample ? kTiny : 0, kHuge);
  r.number("top_p", out.top_p, 0, 1);
  r.number("min_p", out.min_p, 0, 1);
  r.number("typical_p", out.typical_p, 0, 1);
  r.number("epsilon_cutoff", out.epsilon_cutoff, 0, 1);
  r.number("eta_cutoff", out.eta_cutoff, 0, 1);
  r.number("top_h", out.top_h, 0, 1);
  r.number("repetition_penalty", out.repetition_penalty, kTiny, kHuge);
  r.number("encoder_repetition_penalty", out.encoder_repetition_penalty, kTiny, kHuge);
  r.integer("top_k", out.top_k);
  r.integer("no_repeat_ngram_size", out.no_repeat_ngram_size);
  r.integer("min_length", out.min_length);
  r.integer("min_new_tokens", out.min_new_tokens);
  r.integer("forced_bos_token_id", out.forced_bos_token_id);
  out.suppress_tokens = r.list("suppress_tokens");
  out.begin_suppress_tokens = r.list("begin_suppress_tokens");
  out.forced_eos_token_id = r.list("forced_eos_token_id");
  out.eos_token_id = r.list("eos_token_id");
  if (const Json* v = r.find("bad_words_ids")) {
    if (!v->is_array()) r.refuse("bad_words_ids", "a list of lists");
    for (const Json& word : *v) out.bad_words_ids.push_back(r.list("bad_words_ids", word));
  }
  if (const Json* v = r.find("sequence_bias")) {
    if (!v->is_array()) r.refuse("sequence_bias", "a list of [ids, bias]");
    for (const Json& pair : *v) {
      if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number()) r.refuse("sequence_bias", "a list of [ids, bias]");
      std::vector<std::int64_t> sequence = r.list("sequence_bias", pair[0]);
      // The reference makes a dictionary of them: of equal sequences the last one counts.
      std::erase_if(out.sequence_bias, [&](const auto& known) { return known.first == sequence; });
      out.sequence_bias.emplace_back(std::move(sequence), pair[1].get<float>());
    }
  }
  if (const Json* v = r.find("exponential_decay_length_penalty")) {
    if (!v->is_array() || v->size() != 2 || !(*v)[1].is_number()) r.refuse("exponential_decay_length_penalty", "[start, factor]");
    out.exponential_decay_length_penalty.emplace(r.whole("exponential_decay_length_penalty", (*v)[0]), (*v)[1].get<double>());
  }
  for (const auto& [key, idle] : kNotFollowed) {
    if (const Json* v = r.find(key); v != nullptr && *v != Json::parse(idle)) out.not_followed.emplace_back(key);
  }
  for (const auto& [key, value] : json.items()) {
    const bool followed = std::ranges::find(kOtherKeys, key) != std::end(kOtherKeys);
    if (!followed && std::ranges::none_of(kNotFollowed, [&](const auto& known) { return known.first == key; })) out.not_known.push_back(key);
  }
  return out;
}

std::vector<LogitsRule> logits_rules(const GenerationConfig& c, std::int64_t prompt_length, std::int64_t max_length, std::vector<std::int64_t> encoder_ids) {
  std::vector<LogitsRule> out;
  const auto add = [&](std::string_view name, std::function<void(TokenIds, Scores)> apply) { out.push_back({name, std::move(apply), false}); };
  const auto length = [](TokenIds ids) { return static_cast<std::int64_t>(ids.size()); };
  const std::vector<std::int64_t> ends = c.eos_token_id;
  if (!c.sequence_bias.empty()) add("SequenceBiasLogitsProcessor", [b = c.sequence_bias](TokenIds ids, Scores s) { sequence_bias_rule(s, ids, b); });
  if (c.encoder_repetition_penalty.value_or(1) != 1 && !encoder_ids.empty()) {
    add("EncoderRepetitionPenaltyLogitsProcessor",
        [p = static_cast<float>(*c.encoder_repetition_penalty), e = std::move(encoder_ids)](TokenIds, Scores s) { encoder_repetition_penalty_rule(s, e, p); });
  }
  if (c.repetition_penalty.value_or(1) != 1) {
    add("RepetitionPenaltyLogitsProcessor", [p = static_cast<float>(*c.repetition_penalty)](TokenIds ids, Scores s) { repetition_penalty_rule(s, ids, p); });
    out.back().without_padding = true;
  }
  if (c.no_repeat_ngram_size.value_or(0) > 0) add("NoRepeatNGramLogitsProcessor", [n = *c.no_repeat_ngram_size](TokenIds ids, Scores s) { no_repeat_ngram_rule(s, ids, n); });
  if (!c.bad_words_ids.empty()) {
    std::vector<std::pair<std::vector<std::int64_t>, float>> biases;
    for (const auto& word : c.bad_words_ids) {
      const bool is_end = word.size() == 1 && std::ranges::find(ends, word.front()) != ends.end();
      const bool known = std::ranges::any_of(biases, [&](const auto& b) { return b.first == word; });
      if (!is_end && !known) biases.emplace_back(word, -std::numeric_limits<float>::infinity());
    }
    add("NoBadWordsLogitsProcessor", [b = std::move(biases)](TokenIds ids, Scores s) { sequence_bias_rule(s, ids, b); });
  }
  if (c.min_length.value_or(0) > 0 && !ends.empty()) {
    add("MinLengthLogitsProcessor", [=, m = *c.min_length](TokenIds ids, Scores s) {
      if (length(ids) < m) suppress_rule(s, ends);
    });
  }
  if (c.min_new_tokens.value_or(0) > 0 && !ends.empty()) {
    add("MinNewTokensLengthLogitsProcessor", [=, m = *c.min_new_tokens](TokenIds ids, Scores s) {
      if (length(ids) - prompt_length < m) suppress_rule(s, ends);
    });
  }
  if (c.forced_bos_token_id) {
    add("ForcedBOSTokenLogitsProcessor", [=, b = *c.forced_bos_token_id](TokenIds ids, Scores s) {
      if (length(ids) == 1) force_rule(s, b);
    });
  }
  if (!c.forced_eos_token_id.empty()) {
    add("ForcedEOSTokenLogitsProcessor", [=, e = c.forced_eos_token_id](TokenIds ids, Scores s) {
      if (length(ids) != max_length - 1) return;
      force_rule(s, e.front());
      for (const std::int64_t id : e) {
        if (id >= 0 && id < static_cast<std::int64_t>(s.size())) s[static_cast<std::size_t>(id)] = 0;
      }
    });
  }
  if (c.remove_invalid_values) add("InfNanRemoveLogitsProcessor", [](TokenIds, Scores s) { finite_rule(s); });
  if (c.exponential_decay_length_penalty) {
    add("ExponentialDecayLengthPenalty", [=, p = *c.exponential_decay_length_penalty](TokenIds ids, Scores s) {
      exponential_decay_rule(s, length(ids), prompt_length + p.first, static_cast<float>(p.second), ends);
    });
  }
  if (!c.suppress_tokens.empty()) add("SuppressTokensLogitsProcessor", [t = c.suppress_tokens](TokenIds, Scores s) { suppress_rule(s, t); });
  if (!c.begin_suppress_tokens.empty()) {
    add("SuppressTokensAtBeginLogitsProcessor", [=, t = c.begin_suppress_tokens](TokenIds ids, Scores s) {
      if (length(ids) == prompt_length) suppress_rule(s, t);
    });
  }
  if (c.do_sample) {
    const std::int64_t keep = c.num_beams > 1 ? static_cast<std::int64_t>(std::max<std::size_t>(ends.size(), 1)) + 1 : 1;
    if (c.temperature.value_or(1) != 1) add("TemperatureLogitsWarper", [t = static_cast<float>(*c.temperature)](TokenIds, Scores s) { temperature_rule(s, t); });
    if (c.top_h) add("TopHLogitsWarper", [h = static_cast<float>(*c.top_h)](TokenIds, Scores s) { top_h_rule(s, h); });
    if (c.top_k.value_or(0) > 0) add("TopKLogitsWarper", [=, k = *c.top_k](TokenIds, Scores s) { top_k_rule(s, k, keep); });
    if (c.top_p.value_or(1) < 1) add("TopPLogitsWarper", [=, p = *c.top_p](TokenIds, Scores s) { top_p_rule(s, p, keep); });
    if (c.min_p) add("MinPLogitsWarper", [=, p = static_cast<float>(*c.min_p)](TokenIds, Scores s) { min_p_rule(s, p, keep); });
    if (c.typical_p.value_or(1) < 1) add("TypicalLogitsWarper", [=, p = static_cast<float>(*c.typical_p)](TokenIds, Scores s) { typical_rule(s, p, keep); });
    if (c.epsilon_cutoff.value_or(0) > 0) add("EpsilonLogitsWarper", [=, p = static_cast<float>(*c.epsilon_cutoff)](TokenIds, Scores s) { epsilon_rule(s, p, keep); });
    if (c.eta_cutoff.value_or(0) > 0) add("EtaLogitsWarper", [=, p = static_cast<float>(*c.eta_cutoff)](TokenIds, Scores s) { eta_rule(s, p, keep); });
  }
  if (c.renormalize_logits) add("LogitNormalization", [](TokenIds, Scores s) { normalize_rule(s); });
  return out;
}

}  // namespace bigmodel
