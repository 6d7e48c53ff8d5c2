// SPDX-License-Identifier: Apache-2.0
// One encoder-decoder of the run goldens.
#include <fmt/format.h>

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/io/json.h"
#include "engine/expected.h"
#include "engine/run_case.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

class Seq2SeqCheck {
 public:
  Seq2SeqCheck(const fs::path& folder, CaseResult& result)
      : folder_(folder), expected_(folder), result_(result), start_(read_json_file(folder / "config.json").at("decoder_start_token_id").get<std::int64_t>()) {}

  void run() {
    const std::unique_ptr<LoadedModel> model = load_case(folder_, DType::float32, "cpu");
    const TokenBatch prompt = teacher_forced("");
    Tensor memory;
    const Tensor logits = forward(*model, prompt, &memory);
    within("encoder_last_hidden_state", largest_difference(floats_of(memory), expected_.floats("encoder_last_hidden_state")));
    within("logits", largest_difference(floats_of(logits), expected_.floats("logits")));
    ids("greedy ids", generated(*model, "", true, "greedy_ids"), expected_.ids("greedy_ids"));
    ids("greedy ids without cache", generated(*model, "", false, "greedy_ids_nocache"), expected_.ids("greedy_ids_nocache"));
    if (expected_.has("batch_input_ids")) batch(*model);
    const std::unique_ptr<LoadedModel> streamed = load_case(folder_, DType::float32, "disk");
    const Tensor again = forward(*streamed, prompt, nullptr);
    if (std::memcmp(again.bytes(), logits.bytes(), static_cast<std::size_t>(logits.count()) * sizeof(float)) != 0) {
      result_.faults.emplace_back("logits with weights on disk differ in bits");
    }
    ids("greedy ids with weights on disk", generated(*streamed, "", true, "greedy_ids"), expected_.ids("greedy_ids"));
    if (expected_.has("bf16_logits")) {
      const std::unique_ptr<LoadedModel> narrow = load_case(folder_, DType::bfloat16, "cpu");
      const double off = largest_difference(floats_of(forward(*narrow, prompt, nullptr)), expected_.floats("logits"));
      if (!(off <= expected_.json.at("tolerance_bf16_max_abs").get<double>())) result_.faults.push_back(fmt::format("bfloat16 logits off by {:.2e}", off));
    }
  }

 private:
  /// The encoder's input of the record and its decoder's ids.
  TokenBatch teacher_forced(const std::string& prefix) const {
    TokenBatch out = start_only(prefix);
    const Shape shape = expected_.shape(prefix + "decoder_input_ids");
    out.length = shape[1];
    out.ids = expected_.ids(prefix + "decoder_input_ids");
    return out;
  }

  TokenBatch start_only(const std::string& prefix) const {
    TokenBatch out;
    if (expected_.has(prefix + "input_features")) {
      const std::vector<float> values = expected_.floats(prefix + "input_features");
      out.encoder_input = Tensor(expected_.shape(prefix + "input_features"));
      std::memcpy(out.encoder_input.bytes(), values.data(), values.size() * sizeof(float));
    } else {
      out.encoder_input = Tensor::of_ids(expected_.shape(prefix + "input_ids"), expected_.ids(prefix + "input_ids"));
    }
    if (expected_.has(prefix + "attention_mask")) {
      for (const std::int64_t m : expected_.ids(prefix + "attention_mask")) out.encoder_valid.push_back(m != 0 ? 1 : 0);
    }
    out.rows = out.encoder_input.shape().front();
    out.length = 1;
    out.ids.assign(static_cast<std::size_t>(out.rows), start_);
    return out;
  }

  static Tensor forward(LoadedModel& model, const TokenBatch& prompt, Tensor* memory) {
    ForwardState state;
    state.batch = prompt.rows;
    state.length = prompt.length;
    state.memory_valid = prompt.encoder_valid;
    place_tokens(state);
    Tensor out = model.forward({Tensor::of_ids({prompt.rows, prompt.length}, prompt.ids), prompt.encoder_input}, state);
    if (memory != nullptr) *memory = state.memory.to(cpu_device());
    return out;
  }

  void within(const std::string& what, double off) {
    if (!(off <= expected_.tolerance())) result_.faults.push_back(fmt::format("{} off by {:.2e}, allowed {:.0e}", what, off, expected_.tolerance()));
  }

  void ids(const std::string& what, const std::vector<std::int64_t>& have, const std::vector<std::int64_t>& want) {
    if (have != want) result_.faults.push_back(fmt::format("{} differ", what));
  }

  std::vector<std::int64_t> generated(LoadedModel& model, const std::string& prefix, bool cache, const std::string& like) const {
    GenerateOptions options;
    options.max_new_tokens = expected_.shape(like).back();
    options.use_cache = cache;
    std::vector<std::int64_t> out;
    for (const auto& row : generate(model, start_only(prefix), options).ids) out.insert(out.end(), row.begin(), row.end());
    return out;
  }

  void batch(LoadedModel& model) {
    within("logits of the padded batch", largest_difference(floats_of(forward(model, teacher_forced("batch_"), nullptr)), expected_.floats("batch_logits")));
    ids("greedy ids of the padded batch", generated(model, "batch_", true, "batch_greedy_ids"), expected_.ids("batch_greedy_ids"));
  }

  fs::path folder_;
  Expected expected_;
  CaseResult& result_;
  std::int64_t start_;
};

}  // namespace

CaseResult check_seq2seq(const fs::path& folder) {
  CaseResult out;
  try {
    Seq2SeqCheck(folder, out).run();
  } catch (const UnsupportedError& e) {
    out.refused = e.message();
  } catch (const std::exception& e) {
    out.faults.emplace_back(e.what());
  }
  return out;
}

}  // namespace bigmodel::test
