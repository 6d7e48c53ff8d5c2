// SPDX-License-Identifier: Apache-2.0
#include "engine/run_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/infer.h"
#include "bigmodel/io/json.h"
#include "engine/expected.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

TokenBatch one_row(const std::vector<std::int64_t>& ids) { return pad_left({ids}, 0); }

/// The prompt's logits, and the hidden states on the way.
Tensor forward_prompt(LoadedModel& model, const TokenBatch& prompt, std::vector<Tensor>* hidden) {
  ForwardState state;
  state.batch = prompt.rows;
  state.length = prompt.length;
  state.valid = prompt.valid;
  state.hidden_states = hidden;
  place_tokens(state);
  return model.forward(Tensor::of_ids({prompt.rows, prompt.length}, prompt.ids), state);
}

class DecoderCheck {
 public:
  DecoderCheck(const fs::path& folder, CaseResult& result)
      : folder_(folder), expected_(folder), tolerance_(expected_.tolerance()), result_(result),
        prompt_(one_row(expected_.ids("input_ids"))) {}

  void run() {
    const std::unique_ptr<LoadedModel> model = load_case(folder_, DType::float32, "cpu");
    std::vector<Tensor> hidden;
    const Tensor logits = forward_prompt(*model, prompt_, &hidden);
    within("logits", largest_difference(floats_of(logits), expected_.floats("logits")), tolerance_);
    hidden_states(hidden);
    ids("greedy ids", generated(*model, prompt_, true, "greedy_ids"), expected_.ids("greedy_ids"));
    if (expected_.has("greedy_ids_nocache") && !dynamic_) {
      ids("greedy ids without cache", generated(*model, prompt_, false, "greedy_ids_nocache"), expected_.ids("greedy_ids_nocache"));
    }
    if (expected_.has("batch_input_ids")) batch(*model);
    const std::unique_ptr<LoadedModel> streamed = load_case(folder_, DType::float32, "disk");
    const Tensor again = forward_prompt(*streamed, prompt_, nullptr);
    if (std::memcmp(again.bytes(), logits.bytes(), static_cast<std::size_t>(logits.count()) * sizeof(float)) != 0) {
      result_.faults.emplace_back("logits with weights on disk differ in bits");
    }
    ids("greedy ids with weights on disk", generated(*streamed, prompt_, true, "greedy_ids"), expected_.ids("greedy_ids"));
    bfloat16();
  }

 private:
  void within(const std::string& what, double off, double allowed) {
    if (!(off <= allowed)) result_.faults.push_back(fmt::format("{} off by {:.2e}, allowed {:.0e}", what, off, allowed));
  }

  void ids(const std::string& what, const std::vector<std::int64_t>& have, const std::vector<std::int64_t>& want) {
    if (have != want) result_.faults.push_back(fmt::format("{} differ", what));
  }

  std::vector<std::int64_t> generated(LoadedModel& model, const TokenBatch& prompt, bool cache, const std::string& like) {
    GenerateOptions options;
    options.max_new_tokens = expected_.shape(like).back();
    options.use_cache = cache;
    std::vector<std::int64_t> out;
    for (const auto& row : generate(model, prompt, options).ids) out.insert(out.end(), row.begin(), row.end());
    return out;
  }

  void hidden_states(const std::vector<Tensor>& have) {
    if (!expected_.has("hidden_states")) return;
    const std::vector<float> want = expected_.floats("hidden_states");
    const auto layers = static_cast<std::size_t>(expected_.shape("hidden_states").front());
    if (layers != have.size()) return;   // some types list theirs in another way
    const std::size_t each = want.size() / layers;
    // Some types list the stream behind each layer, without the embeddings.
    std::size_t first = 0;
    if (largest_difference(floats_of(have[0]), std::span(want).first(each)) > largest_difference(floats_of(have[1]), std::span(want).first(each))) first = 1;
    for (std::size_t i = 0; i + 1 + first < layers; ++i) {
      if (floats_of(have[i]).size() != each) return;
      // Streams are larger than logits in some types: the tolerance is relative to their size there.
      float size = 1;
      for (std::size_t k = 0; k < each; ++k) size = std::max(size, std::abs(want[i * each + k]));
      within(fmt::format("hidden state {}", i), largest_difference(floats_of(have[i + first]), std::span(want).subspan(i * each, each)), tolerance_ * size);
    }
  }

  void batch(LoadedModel& model) {
    TokenBatch batch;
    const Shape shape = expected_.shape("batch_input_ids");
    batch.rows = shape[0];
    batch.length = shape[1];
    batch.ids = expected_.ids("batch_input_ids");
    for (const std::int64_t m : expected_.ids("batch_attention_mask")) batch.valid.push_back(m != 0 ? 1 : 0);
    const Tensor logits = forward_prompt(model, batch, nullptr);
    const std::vector<float> want = expected_.floats("batch_logits");
    const auto width = static_cast<std::size_t>(logits.width());
    double off = 0;
    for (std::size_t i = 0; i < batch.valid.size(); ++i) {
      if (batch.valid[i] != 0) off = std::max(off, largest_difference(floats_of(logits).subspan(i * width, width), std::span(want).subspan(i * width, width)));
    }
    if (dynamic_) return;
    within("logits of the padded batch", off, tolerance_);
    // With a batch and a cache the reference's rwkv adds the state of every row to every other (a missing dimension): not followed.
    if (expected_.json.at("model_type") == "rwkv") return;
    ids("greedy ids of the padded batch", generated(model, batch, true, "batch_greedy_ids"), expected_.ids("batch_greedy_ids"));
  }

  void bfloat16() {
    if (!expected_.has("bf16_logits") || !expected_.json.contains("tolerance_bf16_max_abs")) return;
    const std::unique_ptr<LoadedModel> model = load_case(folder_, DType::bfloat16, "cpu");
    const double off = largest_difference(floats_of(forward_prompt(*model, prompt_, nullptr)), expected_.floats("logits"));
    within("bfloat16 logits", off, expected_.json.at("tolerance_bf16_max_abs").get<double>());
  }

  fs::path folder_;
  Expected expected_;
  /// The reference's dynamic rope remembers the longest sequence that the object ever ran; its later records depend on the earlier ones.
  bool dynamic_ = read_json_file(folder_ / "config.json").dump().find("\"dynamic\"") != std::string::npos;
  double tolerance_;
  CaseResult& result_;
  TokenBatch prompt_;
};

}  // namespace

namespace {

/// The largest difference where it counts: rows of padded tokens do not.
double difference(const Tensor& have, const std::vector<float>& want, const Tensor& mask) {
  const std::span<const float> all = floats_of(have);
  const bool by_token = !mask.empty() && have.shape().size() >= 2 && have.shape()[0] == mask.shape()[0] && have.shape()[1] == mask.shape()[1];
  if (!by_token || all.size() != want.size()) return largest_difference(all, want);
  const std::size_t each = want.size() / static_cast<std::size_t>(mask.count());
  double off = 0;
  for (std::int64_t r = 0; r < mask.count(); ++r) {
    const std::size_t at = static_cast<std::size_t>(r) * each;
    if (mask.i64()[r] != 0) off = std::max(off, largest_difference(all.subspan(at, each), std::span(want).subspan(at, each)));
  }
  return off;
}

}  // namespace

CaseResult check_inputs(const fs::path& folder) {
  CaseResult out;
  try {
    const Expected expected(folder);
    std::map<std::string, Tensor> inputs;
    std::size_t outputs = 0;
    for (const CheckpointTensor& t : expected.file.tensors) {
      outputs += t.name.starts_with("out.") ? 1 : 0;
      if (t.name.starts_with("in.")) inputs.emplace(t.name.substr(3), input_of(expected, t.name));
    }
    const Tensor mask = inputs.contains("attention_mask") ? inputs.at("attention_mask") : Tensor();
    for (const auto& [device, dtype] : {std::pair("cpu", DType::float32), std::pair("disk", DType::float32), std::pair("cpu", DType::bfloat16)}) {
      const bool narrow = dtype == DType::bfloat16;
      if (narrow && !expected.json.contains("tolerance_bf16_max_abs")) continue;
      const double tolerance = narrow ? expected.json.at("tolerance_bf16_max_abs").get<double>() : expected.tolerance();
      const std::unique_ptr<LoadedModel> model = load_case(folder, dtype, device);
      std::size_t compared = 0;
      for (const auto& [name, tensor] : infer(*model, inputs)) {
        if (!expected.has("out." + name)) {
          // Two towers give more than the record holds.
          if (expected.has("out.logits") || !expected.has("out.logits_per_text")) out.faults.push_back(fmt::format("gives '{}', which the reference does not", name));
          continue;
        }
        ++compared;
        // The record holds the tolerance of its first output in bfloat16.
        if (narrow && !expected.has("bf16_out." + name)) continue;
        if (tensor.shape() != expected.shape("out." + name)) out.faults.push_back(fmt::format("{} has shape {}", name, to_string(tensor.shape())));
        const double off = difference(tensor, expected.floats("out." + name), mask);
        if (!(off <= tolerance)) out.faults.push_back(fmt::format("{} in {}: {} off by {:.2e}, allowed {:.0e}", device, bigmodel::name(dtype), name, off, tolerance));
      }
      if (compared != outputs) out.faults.push_back(fmt::format("gives {} of the reference's {} outputs", compared, outputs));
    }
  } catch (const UnsupportedError& e) {
    out.refused = e.message();
  } catch (const std::exception& e) {
    out.faults.emplace_back(e.what());
  }
  return out;
}

CaseResult check_decoder(const fs::path& folder) {
  CaseResult out;
  try {
    DecoderCheck(folder, out).run();
  } catch (const UnsupportedError& e) {
    out.refused = e.message();
  } catch (const std::exception& e) {
    out.faults.emplace_back(e.what());
  }
  return out;
}

std::vector<fs::path> cases_of_kind(const fs::path& set, const std::string& kind) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(set)) {
    if (!fs::exists(entry.path() / "expected.json")) continue;
    if (read_json_file(entry.path() / "expected.json").at("kind") == kind) out.push_back(entry.path());
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace bigmodel::test
