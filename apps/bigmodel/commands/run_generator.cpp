// SPDX-License-Identifier: Apache-2.0
#include "commands/run_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "commands/continuation.h"
#include "commands/run_events.h"

namespace bigmodel::app {
namespace {

/// The tokens of each row, without padding; of encoder-decoders those of the encoder.
std::vector<std::vector<std::int64_t>> tokens_of(const TokenBatch& prompt) {
  std::vector<std::vector<std::int64_t>> out(static_cast<std::size_t>(prompt.rows));
  const bool source = !prompt.encoder_input.empty();
  if (source && prompt.encoder_input.dtype() != DType::int64) return out;
  const std::int64_t length = source ? prompt.encoder_input.width() : prompt.length;
  const std::int64_t* ids = source ? prompt.encoder_input.i64() : prompt.ids.data();
  const std::vector<std::uint8_t>& valid = source ? prompt.encoder_valid : prompt.valid;
  for (std::int64_t i = 0; i < prompt.rows * length; ++i) {
    if (valid.empty() || valid[static_cast<std::size_t>(i)] != 0) out[static_cast<std::size_t>(i / length)].push_back(ids[i]);
  }
  return out;
}

}  // namespace

Generator::Generator(const GenerationConfig& config, const std::optional<tokenizer::Tokenizer>& tokenizer, const Options& options, Session& session, RunResult& result)
    : config_(config), tokenizer_(tokenizer), options_(options), session_(session), result_(result) {}

RunSize Generator::size(const TokenBatch& prompt) const {
  RunSize out;
  out.prompt_tokens = std::max(prompt.length, prompt.encoder_input.empty() ? 0 : prompt.encoder_input.count() / std::max<std::int64_t>(prompt.rows, 1));
  if (!prompt.encoder_input.empty() && prompt.encoder_input.dtype() != DType::int64) out.prompt_tokens = prompt.encoder_input.width();
  out.tokens = std::max(options_.find_integer("context").value_or(0), std::max(out.prompt_tokens, prompt.length + new_token_limit(config_, options_, prompt.length)));
  out.sequences = prompt.rows * std::max(config_.num_beams, config_.num_return_sequences);
  return out;
}

void Generator::run(RunModel& model, const TokenBatch& prompt, Shown shown) {
  const auto first = static_cast<std::int64_t>(result_.generated.ids.size());
  std::vector<std::vector<std::int64_t>> tokens = tokens_of(prompt);
  GenerateOptions generation = generate_options(config_, options_, prompt, new_token_limit(config_, options_, prompt.length));
  generation.work = session_.work;
  if (!config_.stop_strings.empty()) generation.stops = StopStrings(*tokenizer_, config_.stop_strings);
  std::vector<Continuation> texts;
  const std::int64_t rows = prompt.rows * generation.return_sequences;
  if (tokenizer_) {
    for (std::int64_t r = 0; r < rows; ++r) {
      texts.emplace_back(*tokenizer_, prompt.encoder_input.empty() ? tokens[static_cast<std::size_t>(r / generation.return_sequences)] : std::vector<std::int64_t>{});
    }
  }
  const bool streams = model.loaded->placement().disk_bytes > 0;
  std::int64_t written = 0;
  generation.on_token = [&](std::int64_t row, std::int64_t id, float logprob) {
    if (streams) model.files.check();
    const std::string piece = tokenizer_ ? texts[static_cast<std::size_t>(row)].step(id) : std::string();
    if (shown == Shown::events) {
      print_token_event({first + row, id, tokenizer_ ? std::optional(piece) : std::nullopt, generation.logprobs ? std::optional(logprob) : std::nullopt}, session_.out);
    } else if (shown == Shown::pieces && (!tokenizer_ || !piece.empty())) {
      session_.out.write(tokenizer_ ? piece : fmt::format("{}{}", written++ > 0 ? "," : "", id));
      session_.out.flush();
    }
  };
  GenerateResult part = generate(*model.loaded, prompt, generation);
  GenerateResult& all = result_.generated;
  for (Continuation& text : texts) {
    const std::string rest = text.finish();
    if (shown == Shown::pieces) session_.out.line(rest);
    result_.texts.push_back(text.text());
  }
  if (shown == Shown::pieces) {
    if (!tokenizer_) session_.out.line("");
    session_.out.flush();   // notes that follow are not to stand on the same line
  }
  result_.prompt_ids.insert(result_.prompt_ids.end(), tokens.begin(), tokens.end());
  const auto append = [](auto& to, auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(all.ids, part.ids);
  append(all.finish, part.finish);
  append(all.logprobs, part.logprobs);
  append(all.scores, part.scores);
  all.logits = part.logits;
  all.prefill_s += part.prefill_s;
  all.decode_s += part.decode_s;
  all.decode_steps += part.decode_steps;
  all.cache_bytes = std::max(all.cache_bytes, part.cache_bytes);
}

std::map<std::string, Tensor> encoder_inputs(const TokenBatch& prompt) {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> mask;
  for (std::int64_t r = 0; r < prompt.rows; ++r) {
    const auto first = static_cast<std::size_t>(r * prompt.length);
    std::size_t padding = 0;
    while (!prompt.valid.empty() && padding < static_cast<std::size_t>(prompt.length) && prompt.valid[first + padding] == 0) ++padding;
    for (std::size_t c = 0; c < static_cast<std::size_t>(prompt.length); ++c) {
      const bool token = c + padding < static_cast<std::size_t>(prompt.length);
      ids.push_back(prompt.ids[first + (token ? c + padding : c + padding - static_cast<std::size_t>(prompt.length))]);
      mask.push_back(token ? 1 : 0);
    }
  }
  return {{"input_ids", Tensor::of_ids({prompt.rows, prompt.length}, ids)}, {"attention_mask", Tensor::of_ids({prompt.rows, prompt.length}, mask)}};
}

TokenBatch decoder_start(std::map<std::string, Tensor> inputs, const FoundModel& model) {
  TokenBatch out;
  for (const auto& [name, tensor] : inputs) {
    if (name == "input_ids" || name == "input_features") {
      out.encoder_input = tensor;
    } else if (name == "attention_mask" && tensor.dtype() == DType::int64) {
      for (std::int64_t i = 0; i < tensor.count(); ++i) out.encoder_valid.push_back(tensor.i64()[i] != 0 ? 1 : 0);
    } else {
      throw UsageError(fmt::format("input '{}': the model takes none of that name", name));
    }
  }
  const Tensor& in = out.encoder_input;
  const bool ids = !in.empty() && in.dtype() == DType::int64;
  if (in.empty() || in.count() == 0 || (ids && in.shape().size() != 2)) throw UsageError("inputs: expected input_ids [batch, length] or input_features for the encoder");
  if (!out.encoder_valid.empty() && (!ids || static_cast<std::int64_t>(out.encoder_valid.size()) != in.count())) {
    throw UsageError("input 'attention_mask': another shape than input_ids");
  }
  out.rows = in.shape().front();
  out.length = 1;
  std::vector<nlohmann::ordered_json> files;
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (model.folder && std::filesystem::exists(*model.folder / name)) files.push_back(read_json_file(*model.folder / name));
  }
  for (const char* key : {"decoder_start_token_id", "bos_token_id"}) {
    for (const nlohmann::ordered_json& json : files) {
      if (!json.is_object() || !json.contains(key) || !json[key].is_number_integer()) continue;
      out.ids.assign(static_cast<std::size_t>(out.rows), json[key].get<std::int64_t>());
      return out;
    }
  }
  throw FormatError(fmt::format("{}: neither its config nor its generation_config says which token starts the decoder (decoder_start_token_id)", model.config.where));
}

}  // namespace bigmodel::app
