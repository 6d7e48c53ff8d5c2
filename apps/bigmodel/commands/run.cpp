// SPDX-License-Identifier: Apache-2.0
#include "commands/run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/tensor_file.h"
#include "commands/run_chat.h"
#include "commands/run_checks.h"
#include "commands/run_encoder.h"
#include "commands/run_events.h"
#include "commands/run_generator.h"
#include "commands/run_input.h"
#include "commands/run_pictures.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

constexpr std::string_view kDemoPrompt = "One morning, Ben went to";
constexpr std::int64_t kPadId = 0;   ///< of columns that the mask takes out

std::vector<OptionSpec> option_rows() {
  std::vector<OptionSpec> rows = input_option_rows();
  for (OptionSpec& row : generation_option_rows()) rows.push_back(std::move(row));
  rows.push_back({.name = "logprobs", .help = "give the log probability of every new token, under the model's own softmax (JSON)", .settable = false});
  rows.push_back({.name = "logits",
                  .kind = ValueKind::path,
                  .value_name = "FILE",
                  .help = "write the prompt's logits [batch, length, vocabulary] in float32 to a safetensors file",
                  .more = "Models that do not generate write every output under the reference's names.",
                  .settable = false});
  rows.push_back({.name = "format",
                  .kind = ValueKind::choice,
                  .value_name = "FORMAT",
                  .help = "how the result is printed: jsonl gives a line for the start, for each token at once, and for the end",
                  .default_text = "text",
                  .choices = {"text", "json", "jsonl"},
                  .settable = false});
  for (OptionSpec& row : plan_option_rows()) rows.push_back(std::move(row));
  for (OptionSpec& row : placement_option_rows()) rows.push_back(std::move(row));
  return rows;
}

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "run",
      .summary = "run a model from its own files, on GPUs, in RAM or streamed from disk",
      .description = {"Builds the model from its config.json and the roles of its description, reads the weights from its checkpoint files and "
                      "continues the prompt. Weights on \"disk\" are streamed from those files in every pass, of embeddings and experts only what "
                      "the tokens ask for; the result does not depend on where they lie, on one kind of device that computes. Types whose description does not say all that is needed are refused by name.",
                      "Models that do not generate answer in words: what fits a mask, classes, spans; plain encoders a summary of their outputs.",
                      "Without MODEL a small model inside the program runs."},
      .positionals = {[] {
        OptionSpec model = model_positional(false);
        model.required = false;
        return model;
      }()},
      .options = option_rows(),
      .examples = {{"bigmodel run -p \"One morning, Ben went to\"", "the built-in model tells a story"},
                   {"bigmodel run ./model < prompt.txt", "a prompt from a file"},
                   {"bigmodel run ./model --chat", "a conversation"},
                   {"bigmodel run ./model --batch prompts.txt --format jsonl", "many prompts, every token as it comes"},
                   {"bigmodel run --ids 1,49,80,265 --max-new-tokens 8 --json", "the built-in model, from token ids"},
                   {"bigmodel run ./model --ids-file prompts.json --greedy --logits out.safetensors", "scores of every token of the prompts"},
                   {"bigmodel run ./llava -p \"What is in the picture?\" --image cat.png --chat", "a question about a picture"},
                   {"bigmodel run ./bert -p \"Paris is the [MASK] of France.\"", "what fits the mask"},
                   {"bigmodel run ./model -p hello --plan --max-memory cpu=8GiB", "what would lie where, and how fast it should be"},
                   {"bigmodel run ./model --ids 1,2,3 --device-map disk", "with no weights kept in memory"}},
      .stoppable = true};
  return kSpec;
}

std::string format_of(const Options& options) { return options.flag("json") ? "json" : options.text("format"); }

/// Prompts in batches that are run at once.
std::vector<TokenBatch> batches_of(const RunInput& input, const std::optional<tokenizer::Tokenizer>& tokenizer, const Options& options) {
  if (input.ids) return {*input.ids};
  const std::int64_t at_once = options.find_integer("batch-size").value_or(1);
  if (at_once < 1) throw UsageError("--batch-size: 0, expected 1 or more");
  std::vector<TokenBatch> out;
  std::vector<std::vector<std::int64_t>> rows;
  for (std::size_t i = 0; i < input.texts.size(); ++i) {
    rows.push_back(prompt_ids(*tokenizer, input.texts[i], input.chat));
    if (static_cast<std::int64_t>(rows.size()) < at_once && i + 1 < input.texts.size()) continue;
    out.push_back(pad_left(rows, kPadId));
    rows.clear();
  }
  return out;
}

/// The prompt among the pictures of --image, which stand in no batch.
TokenBatch batch_with_pictures(const RunInput& input, const std::optional<tokenizer::Tokenizer>& tokenizer, const PromptPictures& pictures, Session& session) {
  if (input.texts.size() != 1 || input.many) throw UsageError("--image: belongs to one prompt of text", "give --prompt or --prompt-file");
  TokenBatch out = pad_left({ids_with_pictures(*tokenizer, input.texts.front(), input.chat, pictures, session.notes)}, kPadId);
  out.pixels = pictures.pixels;
  return out;
}

ExitStatus run_generator(RunModel& model, const RunInput& input, const std::optional<tokenizer::Tokenizer>& tokenizer, const GenerationConfig& config, const Options& options, Session& session) {
  std::vector<TokenBatch> batches;
  if (const std::optional<PromptPictures> pictures = read_pictures(options, model)) {
    batches.push_back(batch_with_pictures(input, tokenizer, *pictures, session));
  } else if (is_encoder_decoder(model.graph)) {
    if (!input.tensors.empty()) {
      batches.push_back(decoder_start(input.tensors, model.found));
    } else {
      for (const TokenBatch& batch : batches_of(input, tokenizer, options)) batches.push_back(decoder_start(encoder_inputs(batch), model.found));
    }
  } else {
    batches = batches_of(input, tokenizer, options);
  }
  for (const TokenBatch& batch : batches) {
    const Tensor& source = batch.encoder_input;
    if (source.empty()) check_ids(model.graph, batch.ids);
    else if (source.dtype() == DType::int64) check_ids(model.graph, {source.i64(), static_cast<std::size_t>(source.count())});
  }
  if (options.given("logits") && batches.size() > 1) throw UsageError(fmt::format("--logits: {} batches are run, expected one", batches.size()), "raise --batch-size");
  RunResult result;
  Generator generator(config, tokenizer, options, session, result);
  RunSize size;
  for (const TokenBatch& batch : batches) {
    const RunSize own = generator.size(batch);
    size = {std::max(size.prompt_tokens, own.prompt_tokens), std::max(size.tokens, own.tokens), std::max(size.sequences, own.sequences)};
  }
  RunPlan plan = plan_run(model, options, size, session);
  if (options.flag("plan")) return show_plan(model, std::move(plan), options, session.out);
  check_memory(plan, options, session.notes);
  session.notes.note(plan_line(plan));
  load_run_model(model, plan.map, session);
  result.describe(model, std::move(plan));
  const MetaGraph& graph = model.loaded->graph();
  const std::string format = format_of(options);
  if (format == "jsonl") print_start_event(result, graph, session.out);
  const bool one = batches.size() == 1 && batches.front().rows * config.num_return_sequences == 1 && !input.many;
  const bool pieces = format == "text" && one;
  for (const TokenBatch& batch : batches) {
    generator.run(model, batch, pieces ? Generator::Shown::pieces : format == "jsonl" ? Generator::Shown::events : Generator::Shown::nothing);
  }
  if (options.given("logits")) write_tensor_file(options.text("logits"), {{"logits", result.generated.logits}});
  if (format == "jsonl") {
    print_done_event(result, graph, session.out);
  } else if (format == "json") {
    session.out.line(json_text(run_json(result, graph), session.out.terminal().is_tty));
  } else {
    if (tokenizer && !one) {
      for (const std::string& text : result.texts) session.out.line(json_text(text, false));
    }
    if (!tokenizer && !one) {
      for (const auto& ids : result.generated.ids) session.out.line(fmt::format("{}", fmt::join(ids, ",")));
    }
    session.out.flush();   // the note comes last
    session.notes.note(run_summary(result));
  }
  return ExitStatus::done;
}

ExitStatus run(const Options& options, Session& session) {
  RunModel model = find_run_model(options, session);
  std::optional<ChatPrompt> chat;
  if (!model.is_demo()) chat.emplace(*model.found.folder);
  std::optional<RunInput> input = read_run_input(options, chat ? &*chat : nullptr, kPadId, model.is_demo() ? nullptr : &*model.found.folder, session.notes);
  const bool talks = !input && options.flag("chat");
  if (options.given("image") && !generates(model.graph)) throw UsageError(fmt::format("--image: {} does not generate text", model.graph.class_name), "--input gives a picture to models of pictures alone");
  if (options.given("image") && talks) throw UsageError("--image: belongs to one prompt, expected one", "give --prompt");
  if (talks && options.flag("plan")) throw UsageError("--plan: a conversation has no size, expected a prompt", "give --prompt, and --context for its length");
  if (!input && !talks && options.flag("plan") && !model.is_demo()) {
    session.notes.note("no prompt: the plan is for one of a single token");
    input.emplace().ids = pad_left({{kPadId}}, kPadId);
  }
  if (!input && !talks) {
    if (!model.is_demo()) throw UsageError("run: expected a prompt", "give one of --prompt, --prompt-file, --batch, --ids, --ids-file, --input and --chat, or pipe one in");
    session.notes.note(fmt::format("no prompt: \"{}\"", kDemoPrompt));
    input.emplace().texts = {std::string(kDemoPrompt)};
  }
  std::optional<tokenizer::Tokenizer> tokenizer;
  if (talks || !input->texts.empty()) tokenizer = run_tokenizer(model);
  check_idle_options(options, generates(model.graph), session.notes);
  if (options.given("logits")) check_output_file(options.text("logits"));
  const bool pair = is_encoder_decoder(model.graph);
  const bool tensors = input && !input->tensors.empty();
  if (!generates(model.graph) || (tensors && (!pair || input->tensors.contains("decoder_input_ids")))) {
    if (talks || input->chat) throw UsageError(fmt::format("--chat: {} does not generate text", model.graph.class_name));
    return run_encoder(model, *input, tokenizer, options, session);
  }
  const GenerationConfig config = run_generation_config(options, model.found, model.is_demo(), tokenizer ? &*tokenizer : nullptr);
  if (!config.not_followed.empty()) {
    model.warnings.push_back(fmt::format("generation_config.json asks for {}, which is not followed", fmt::join(config.not_followed, ", ")));
    session.notes.warning(model.warnings.back());
  }
  if (!config.not_known.empty()) {
    model.warnings.push_back(fmt::format("--generation-config: there are no keys {}", fmt::join(config.not_known, ", ")));
    session.notes.warning(model.warnings.back());
  }
  if (!config.stop_strings.empty() && !tokenizer) throw UsageError("--stop: token ids in and out have no text, expected a text prompt");
  if (config.do_sample) model.drawn_seed = options.find_integer("seed").value_or(0);
  if (!talks) return run_generator(model, *input, tokenizer, config, options, session);
  if (!chat) throw NotFoundError("--chat: the demo model has no chat template", "name a MODEL that has one");
  if (format_of(options) == "json") throw UsageError("--json: a conversation is no single object", "give --prompt, or --format jsonl");
  return converse(model, config, tokenizer, *chat, options, session);
}

}  // namespace

Command run_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
