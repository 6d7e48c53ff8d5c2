// SPDX-License-Identifier: Apache-2.0
#include "commands/run_generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "commands/demo_model.h"
#include "commands/in_call.h"
#include "commands/run_prompt.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostConfigBytes = std::uint64_t{16} << 20;

/// "1000000000" and "1e+30".
std::string number_text(double number) { return number == std::floor(number) && std::abs(number) < 1e15 ? fmt::format("{:.0f}", number) : fmt::format("{}", number); }

constexpr double kMostTokens = 1e9;
constexpr double kHuge = 1e30;

/// Options that are keys of generation_config.json: what they are called there, from where to where they make sense, and whether they only
/// mean something where tokens are drawn.
struct KeyOption {
  std::string_view option, key;
  double least, most;
  bool draws;
};
constexpr std::array<KeyOption, 13> kKeyOptions = {{{"temperature", "temperature", 0, kHuge, true},
                                                    {"top-k", "top_k", 0, kMostTokens, true},
                                                    {"top-p", "top_p", 0, 1, true},
                                                    {"min-p", "min_p", 0, 1, true},
                                                    {"typical-p", "typical_p", 0, 1, true},
                                                    {"repetition-penalty", "repetition_penalty", 1e-30, kHuge, false},
                                                    {"no-repeat-ngram-size", "no_repeat_ngram_size", 0, kMostTokens, false},
                                                    {"num-beams", "num_beams", 1, 1024, false},
                                                    {"num-return-sequences", "num_return_sequences", 1, 1e6, false},
                                                    {"length-penalty", "length_penalty", -100, 100, false},
                                                    {"min-new-tokens", "min_new_tokens", 0, kMostTokens, false},
                                                    {"max-new-tokens", "max_new_tokens", 0, kMostTokens, false},
                                                    {"max-time", "max_time", 0, kHuge, false}}};

/// The value as JSON. Throws UsageError out of the option's range.
Json value_of(const KeyOption& known, const Options& options) {
  const bool integer = find_option(options.command(), known.option)->kind == ValueKind::integer;
  const Json out = integer ? Json(*options.find_integer(known.option)) : Json(*options.find_number(known.option));
  const double value = out.get<double>();
  if (value >= known.least && value <= known.most) return out;
  throw UsageError(fmt::format("--{}: not a valid value, expected {} to {}, got {}", known.option, number_text(known.least), number_text(known.most), *options.find_text(known.option)));
}

Json own_config(const FoundModel& model, bool demo, std::string& where) {
  if (demo) {
    where = "generation_config.json of the demo model";
    return parse_json(demo_file("generation_config.json"), where);
  }
  for (const char* name : {"generation_config.json", "config.json"}) {
    const std::filesystem::path path = *model.folder / name;
    if (!std::filesystem::exists(path)) continue;
    where = path.string();
    return parse_json(read_file(path, kMostConfigBytes), where);
  }
  return Json::object();
}

/// --generation-config's keys: from the call, or the file that it names. Their values are looked at under its name.
Json given_config(const std::string& given, std::vector<std::string>& not_known) {
  const bool of_call = given.starts_with('{');
  const std::string where = of_call ? "--generation-config" : given;
  const auto read = [&] {
    Json out = parse_json(of_call ? given : read_file(given, kMostConfigBytes), where);
    if (!out.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object", where, out.type_name()));
    not_known = parse_generation_config(out.dump(), where).not_known;
    return out;
  };
  return of_call ? in_call(read) : read();
}

Json stops_of(const std::vector<std::string>& all) {
  Json out = Json::array();
  for (const std::string& given : all) {
    for (const Json& text : given.starts_with('[') ? in_call([&] { return parse_json(given, "--stop"); }) : Json::array({given})) {
      if (!text.is_string()) throw UsageError(fmt::format("--stop: not a valid value, expected a list of texts, got {}", given.substr(0, 60)));
      out.push_back(text);
    }
  }
  return out;
}

/// Of each text the tokens that it is at the beginning of a text and those that it is behind a blank, as the reference's documentation makes them.
/// Without a tokenizer the texts are token ids.
Json bad_words_of(const std::vector<std::string>& texts, const tokenizer::Tokenizer* tokenizer) {
  Json out = Json::array();
  for (const std::string& text : texts) {
    if (tokenizer == nullptr) {
      out.push_back(parse_ids(text, "--bad-words"));
      continue;
    }
    for (const std::string& form : {text, " " + text}) {
      const auto ids = tokenizer->encode({form, {}}, {.add_special_tokens = false, .ids_only = true}).ids;
      if (!ids.empty() && (out.empty() || out.back() != Json(ids))) out.push_back(ids);
    }
  }
  return out;
}

}  // namespace

std::vector<OptionSpec> generation_option_rows() {
  return {{.name = "greedy", .help = "take the likeliest token in each step, whatever generation_config.json says"},
          {.name = "temperature", .kind = ValueKind::number, .value_name = "T", .help = "draw tokens, with scores divided by T; 0 draws none"},
          {.name = "top-k", .kind = ValueKind::integer, .value_name = "N", .help = "draw from the N likeliest tokens", .more = "50 where tokens are drawn and nothing says; 0 is all."},
          {.name = "top-p", .kind = ValueKind::number, .value_name = "P", .help = "draw from the likeliest tokens that add up to P"},
          {.name = "min-p", .kind = ValueKind::number, .value_name = "P", .help = "draw from tokens at least P times as likely as the likeliest"},
          {.name = "typical-p", .kind = ValueKind::number, .value_name = "P", .help = "draw from the most typical tokens (nearest to the expected surprise) that add up to P"},
          {.name = "no-repeat-ngram-size", .kind = ValueKind::integer, .value_name = "N", .help = "let no N tokens in a row come a second time; 0 lets all"},
          {.name = "repetition-penalty", .kind = ValueKind::number, .value_name = "R", .help = "make tokens that were there less likely (R > 1)"},
          {.name = "num-beams", .kind = ValueKind::integer, .value_name = "N", .help = "follow the N likeliest continuations side by side (beam search)"},
          {.name = "num-return-sequences", .kind = ValueKind::integer, .value_name = "N", .help = "continuations of each prompt, drawn or of beams", .default_text = "1"},
          {.name = "length-penalty", .kind = ValueKind::number, .value_name = "X", .help = "of beams: above 0 prefers long, below 0 short continuations"},
          {.name = "seed", .kind = ValueKind::integer, .value_name = "N", .help = "of the draws, where tokens are drawn", .default_text = "0"},
          {.name = "max-new-tokens",
           .kind = ValueKind::integer,
           .value_name = "N",
           .help = "stop after N new tokens; 0 runs the prompt only",
           .more = "Without it as generation_config.json says (max_new_tokens, max_length), else 128."},
          {.name = "min-new-tokens", .kind = ValueKind::integer, .value_name = "N", .help = "do not end before N new tokens"},
          {.name = "max-time", .kind = ValueKind::number, .value_name = "SECONDS", .help = "stop after the token in work at that time"},
          {.name = "stop",
           .kind = ValueKind::text,
           .value_name = "TEXT",
           .help = "end where TEXT has come out; for several by repetition, or a JSON list such as [\"\\n\\n\", \"User:\"]",
           .more = "The text stays in the output, as in transformers.",
           .repeated = true},
          {.name = "bad-words",
           .kind = ValueKind::text,
           .value_name = "TEXT",
           .help = "never let TEXT come out, at the beginning of a text or behind a blank; for several by repetition",
           .more = "Its tokens are kept from following each other: other spellings, and TEXT inside a longer word, are other tokens. With token ids as prompt, TEXT is "
                   "token ids, such as 15,7. Goes before bad_words_ids of generation_config.json.",
           .repeated = true},
          {.name = "generation-config",
           .kind = ValueKind::text,
           .value_name = "FILE",
           .help = "keys that go before generation_config.json's: a file, or JSON such as {\"no_repeat_ngram_size\": 2}"}};
}

GenerationConfig run_generation_config(const Options& options, const FoundModel& model, bool demo, const tokenizer::Tokenizer* tokenizer) {
  std::string where = "the call";
  Json json = tokenizer != nullptr ? own_config(model, demo, where) : Json::object();
  if (!json.is_object()) throw FormatError(fmt::format("{}: is {}, expected an object", where, json.type_name()));
  std::vector<std::string> not_known;
  if (options.given("generation-config")) json.update(given_config(options.text("generation-config"), not_known));
  bool draws = false;
  for (const KeyOption& known : kKeyOptions) {
    if (!options.given(known.option)) continue;
    draws = draws || known.draws;
    json[known.key] = value_of(known, options);
  }
  if (draws) json["do_sample"] = options.find_number("temperature").value_or(1) != 0;
  if (options.flag("greedy")) {
    json["do_sample"] = false;
    if (!options.given("num-beams")) json["num_beams"] = 1;
    if (!options.given("num-return-sequences")) json["num_return_sequences"] = 1;
  }
  if (options.given("stop")) json["stop_strings"] = stops_of(options.list("stop"));
  if (options.given("bad-words")) json["bad_words_ids"] = bad_words_of(options.list("bad-words"), tokenizer);
  GenerationConfig out = parse_generation_config(json.dump(), where);
  out.not_known = std::move(not_known);
  if (out.do_sample && !out.top_k) out.top_k = kReferenceTopK;
  return out;
}

std::int64_t new_token_limit(const GenerationConfig& config, const Options& options, std::int64_t prompt_length) {
  std::int64_t out = kDefaultNewTokens;
  if (config.max_new_tokens) {
    out = *config.max_new_tokens;
  } else if (config.max_length && *config.max_length > prompt_length) {
    out = *config.max_length - prompt_length;
  }
  if (const auto context = options.find_integer("context")) {
    if (prompt_length > *context) {
      throw CapacityError(fmt::format("the prompt: is longer than the context, expected at most {} tokens, got {}", *context, prompt_length),
                          fmt::format("--context {} holds it", prompt_length));
    }
    out = std::min(out, *context - prompt_length);
  }
  return std::max<std::int64_t>(out, 0);
}

GenerateOptions generate_options(const GenerationConfig& config, const Options& options, const TokenBatch& prompt, std::int64_t new_tokens) {
  std::vector<std::int64_t> source;   // the reference's encoder rules look at the prompt of a decoder
  if (prompt.rows == 1 && prompt.encoder_input.empty()) source = prompt.ids;
  if (prompt.rows == 1 && !prompt.encoder_input.empty() && prompt.encoder_input.dtype() == DType::int64) {
    source.assign(prompt.encoder_input.i64(), prompt.encoder_input.i64() + prompt.encoder_input.count());
  }
  GenerateOptions out;
  out.max_new_tokens = new_tokens;
  out.max_time_s = config.max_time;
  out.eos_ids = config.eos_token_id;
  out.rules = logits_rules(config, prompt.length, prompt.length + new_tokens, std::move(source));
  out.sample = config.do_sample;
  out.seed = static_cast<std::uint64_t>(options.find_integer("seed").value_or(0));
  out.beams = config.num_beams;
  out.length_penalty = config.length_penalty;
  out.early_stopping = config.early_stopping;
  out.return_sequences = config.num_return_sequences;
  out.all_logits = options.given("logits");
  out.cache_dtype = *options.find_dtype_value("kv-dtype");
  out.logprobs = options.flag("logprobs");
  return out;
}

StopStrings::StopStrings(tokenizer::Tokenizer tokenizer, std::vector<std::string> strings) : tokenizer_(std::move(tokenizer)), strings_(std::move(strings)) {
  std::erase(strings_, std::string());
  for (const std::string& s : strings_) reach_ = std::max(reach_, s.size());
}

bool StopStrings::operator()(TokenIds ids) const {
  const TokenIds tail = ids.last(std::min(ids.size(), reach_ + 1));
  std::vector<std::uint32_t> tokens(tail.begin(), tail.end());
  const std::string with = tokenizer_.decode(tokens, false);
  tokens.pop_back();
  const std::string without = tokenizer_.decode(tokens, false);
  const std::size_t known = static_cast<std::size_t>(std::ranges::mismatch(with, without).in1 - with.begin());
  return std::ranges::any_of(strings_, [&](const std::string& s) {
    const std::size_t at = with.rfind(s);
    return at != std::string::npos && at + s.size() > known;
  });
}

}  // namespace bigmodel::app
