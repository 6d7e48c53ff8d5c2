// SPDX-License-Identifier: Apache-2.0
#include "commands/run_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/tensor_file.h"
#include "commands/run_checks.h"
#include "commands/run_events.h"
#include "commands/run_generator.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

/// Texts as the rows of an encoder's batch, padding behind the tokens.
std::map<std::string, Tensor> text_inputs(const std::vector<tokenizer::Encoding>& encodings) {
  std::size_t length = 0;
  bool types = false;
  for (const tokenizer::Encoding& e : encodings) {
    length = std::max(length, e.size());
    types = types || std::ranges::any_of(e.type_ids, [](std::uint32_t t) { return t != 0; });
  }
  const Shape shape{static_cast<std::int64_t>(encodings.size()), static_cast<std::int64_t>(length)};
  std::vector<std::int64_t> ids, mask, type_ids;
  for (const tokenizer::Encoding& e : encodings) {
    for (std::size_t i = 0; i < length; ++i) {
      ids.push_back(i < e.size() ? e.ids[i] : 0);
      mask.push_back(i < e.size() ? 1 : 0);
      type_ids.push_back(i < e.size() ? e.type_ids[i] : 0);
    }
  }
  std::map<std::string, Tensor> out{{"input_ids", Tensor::of_ids(shape, ids)}, {"attention_mask", Tensor::of_ids(shape, mask)}};
  if (types) out.emplace("token_type_ids", Tensor::of_ids(shape, type_ids));
  return out;
}

}  // namespace

ExitStatus run_encoder(RunModel& model, const RunInput& input, const std::optional<tokenizer::Tokenizer>& tokenizer, const Options& options, Session& session) {
  RunResult result;
  AnswerSource source;
  std::map<std::string, Tensor> inputs = input.tensors;
  if (!input.texts.empty()) {
    for (const std::string& text : input.texts) {
      source.encodings.push_back(tokenizer->encode({text, input.pair ? std::optional<std::string_view>(*input.pair) : std::nullopt}, {}));
      if (source.encodings.back().size() == 0) throw UsageError("the prompt: there is no text");
      result.prompt_ids.emplace_back(source.encodings.back().ids.begin(), source.encodings.back().ids.end());
    }
    source.texts = input.texts;
    source.pair = input.pair;
    inputs = text_inputs(source.encodings);
  } else if (input.ids) {
    inputs = encoder_inputs(*input.ids);
    for (std::int64_t r = 0; r < input.ids->rows; ++r) {
      auto& row = result.prompt_ids.emplace_back();
      for (std::int64_t i = r * input.ids->length; i < (r + 1) * input.ids->length; ++i) {
        if (input.ids->valid.empty() || input.ids->valid[static_cast<std::size_t>(i)] != 0) row.push_back(input.ids->ids[static_cast<std::size_t>(i)]);
      }
    }
  }
  if (const auto ids = inputs.find("input_ids"); ids != inputs.end() && ids->second.dtype() == DType::int64) {
    check_ids(model.graph, {ids->second.i64(), static_cast<std::size_t>(ids->second.count())});
  }
  std::int64_t tokens = 1, rows = 1;
  if (const auto ids = inputs.find("input_ids"); ids != inputs.end() && ids->second.shape().size() == 2) {
    rows = std::max<std::int64_t>(ids->second.shape()[0], 1);
    tokens = std::max<std::int64_t>(ids->second.shape()[1], 1);
  }
  RunPlan plan = plan_run(model, options, {tokens, tokens, rows}, session);
  if (options.flag("plan")) return show_plan(model, std::move(plan), options, session.out);
  check_memory(plan, options, session.notes);
  session.notes.note(plan_line(plan));
  load_run_model(model, plan.map, session);
  result.describe(model, std::move(plan));
  const bool events = !options.flag("json") && options.text("format") == "jsonl";
  if (events) print_start_event(result, model.loaded->graph(), session.out);
  const auto start = std::chrono::steady_clock::now();
  result.outputs = infer(*model.loaded, inputs, session.work);
  result.generated.prefill_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (model.loaded->placement().disk_bytes > 0) model.files.check();
  if (options.given("logits")) write_tensor_file(options.text("logits"), result.outputs);
  source.tokenizer = tokenizer ? &*tokenizer : nullptr;
  source.input_ids = inputs.contains("input_ids") ? inputs.at("input_ids") : Tensor();
  result.answers = answers_of(result.outputs, model.loaded->graph().class_name, model.found, source);
  const MetaGraph& graph = model.loaded->graph();
  if (events) {
    print_done_event(result, graph, session.out);
    return ExitStatus::done;
  }
  if (options.flag("json") || options.text("format") != "text") {
    session.out.line(json_text(run_json(result, graph), session.out.terminal().is_tty));
    return ExitStatus::done;
  }
  if (result.answers.empty()) {
    for (const auto& [name, tensor] : result.outputs) session.out.line(summary_line(name, tensor));
  }
  for (const std::string& line : answer_lines(result.answers)) session.out.line(line);
  session.out.flush();   // the note comes last
  session.notes.note(run_summary(result));
  return ExitStatus::done;
}

}  // namespace bigmodel::app
