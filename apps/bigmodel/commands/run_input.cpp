// SPDX-License-Identifier: Apache-2.0
#include "commands/run_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/inputs/image_processor.h"
#include "bigmodel/engine/inputs/sound_processor.h"
#include "bigmodel/engine/tensor_file.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/io/wav_file.h"
#include "commands/run_prompt.h"
#include "media/image_decoder.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostPromptBytes = std::uint64_t{64} << 20;

constexpr std::uint64_t kMostMediaBytes = std::uint64_t{1} << 30;

/// Fewer where the file has fewer; none where it cannot be read, which the one who reads it then says.
std::string first_bytes(const std::string& path, std::size_t count) {
  std::string out(count, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(out.data(), static_cast<std::streamsize>(count));
  out.resize(static_cast<std::size_t>(file.gcount()));
  return out;
}

/// --input: named tensors, or a picture or sound, prepared as the model's folder says.
std::map<std::string, Tensor> read_input_file(const std::string& path, const std::filesystem::path* folder, Notes& notes) {
  const std::string head = first_bytes(path, 12);
  const bool image = is_image(head);
  if (!image && !is_wav(head)) return read_tensor_file(path);
  if (folder == nullptr) throw UsageError(fmt::format("{}: the demo model reads text, expected a MODEL for pictures or sound", path));
  const std::filesystem::path config = *folder / "preprocessor_config.json";
  const std::string bytes = read_file(path, kMostMediaBytes);
  if (image) {
    const ImageProcessor processor = read_image_processor(config);
    return {{"pixel_values", pixel_values(decode_image(bytes, path), processor)}};
  }
  SoundInput sound = sound_input(parse_wav(bytes, path), read_sound_processor(config));
  if (sound.left_out_s > 0) notes.warning(fmt::format("{}: the last {:.1f} s are left out: the model hears one piece of fixed length", path, sound.left_out_s));
  return {{std::move(sound.name), std::move(sound.tensor)}};
}

/// "-": standard input to its end. Without the last line break, which editors and echo add.
std::string prompt_of_file(const std::string& path) {
  std::string out = path == "-" ? read_descriptor(0, "standard input", kMostPromptBytes) : read_file(path, kMostPromptBytes);
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

/// What was piped in, or comes from a file; nothing from terminals and other devices, where standard input is closed, and where it is empty.
std::optional<std::string> piped_prompt(Notes& notes) {
  struct stat status{};
  if (::fstat(STDIN_FILENO, &status) != 0 || !(S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode) || S_ISSOCK(status.st_mode))) return std::nullopt;
  if ((::fcntl(STDIN_FILENO, F_GETFL) & O_ACCMODE) == O_WRONLY) return std::nullopt;
  // Should nothing come, this says what is waited for.
  pollfd ready{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, 500) == 0) notes.note("no prompt: waiting for one on standard input");
  std::string out = prompt_of_file("-");
  if (out.empty()) return std::nullopt;
  return out;
}

Json user_messages(const Options& options, const std::string& text) {
  Json out = Json::array();
  if (options.given("system")) out.push_back({{"role", "system"}, {"content", options.text("system")}});
  Json content = text;
  if (options.given("image")) {
    content = Json::array();
    for (std::size_t i = 0; i < options.list("image").size(); ++i) content.push_back({{"type", "image"}});
    content.push_back({{"type", "text"}, {"text", text}});
  }
  out.push_back({{"role", "user"}, {"content", std::move(content)}});
  return out;
}

std::string rendered(ChatPrompt* chat, Json request, const std::string& object) {
  if (chat == nullptr) throw NotFoundError(fmt::format("{}: the model has no chat template", object));
  if (request.is_array()) request = {{"messages", std::move(request)}};
  if (!request.contains("add_generation_prompt") && !request.contains("continue_final_message")) request["add_generation_prompt"] = true;
  return chat->text(request, object);
}

/// A line of --batch: text as it is, or JSON: a text, {"prompt"}, {"messages"} or a list of messages.
void add_line(const std::string& line, const std::string& object, const Options& options, ChatPrompt* chat, RunInput& out) {
  const bool json = line.starts_with('{') || line.starts_with('"') || line.starts_with("[{");
  Json value = json ? parse_json(line, object) : Json(line);
  if (value.is_object() && value.contains("prompt")) value = Json(value["prompt"]);
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    out.texts.push_back(options.flag("chat") ? rendered(chat, user_messages(options, text), object) : text);
    if (out.texts.size() > 1 && out.chat != options.flag("chat")) throw UsageError(fmt::format("{}: a prompt among messages", object), "give --chat, or messages everywhere");
    out.chat = options.flag("chat");
    return;
  }
  if (!value.is_array() && !value.contains("messages")) throw FormatError(fmt::format("{}: expected a text, {{\"prompt\"}} or {{\"messages\"}}, got {}", object, line.substr(0, 60)));
  if (!out.texts.empty() && !out.chat) throw UsageError(fmt::format("{}: messages among prompts", object), "give --chat, or messages everywhere");
  out.texts.push_back(rendered(chat, std::move(value), object));
  out.chat = true;
}

RunInput read_batch(const Options& options, ChatPrompt* chat) {
  RunInput out;
  out.many = true;
  const std::string file = options.text("batch");
  const std::string text = file == "-" ? read_descriptor(0, "standard input", kMostPromptBytes) : read_file(file, kMostPromptBytes);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) add_line(line, fmt::format("{} line {}", file == "-" ? "standard input" : file, number), options, chat, out);
  }
  if (out.texts.empty()) throw UsageError(fmt::format("--batch: {} has no prompts", file));
  return out;
}

}  // namespace

std::vector<OptionSpec> input_option_rows() {
  return {{.name = "prompt",
           .letter = 'p',
           .kind = ValueKind::text,
           .value_name = "TEXT",
           .help = "the prompt; - reads standard input",
           .more = "Tokens are chosen as generation_config.json says, and the text is printed as it comes. Without a prompt, what is piped in is one; without "
                   "MODEL and with nothing piped in, the demo model continues one of its own.",
           .settable = false},
          {.name = "prompt-file", .letter = 'f', .kind = ValueKind::path, .value_name = "FILE", .help = "the prompt from a text file", .settable = false},
          {.name = "batch",
           .kind = ValueKind::path,
           .value_name = "FILE",
           .help = "prompts, one a line, run side by side; each answer is a line of JSON text",
           .more = "Lines that begin with { or \" are JSON: a text, {\"prompt\"} or {\"messages\"}. - reads standard input.",
           .settable = false},
          {.name = "batch-size", .kind = ValueKind::integer, .value_name = "N", .help = "prompts of --batch that are run at once", .default_text = "8"},
          {.name = "image",
           .kind = ValueKind::path,
           .value_name = "FILE",
           .help = "a picture (PNG, JPEG) that a text prompt is about, for models of text and images; for several by repetition",
           .more = "The prompt says where each stands, by the token that the config names for it; the template of --chat does so by itself, and before a prompt without "
                   "one it stands in front. Pictures of one size, prepared as LLaVA's are; types that cut them into patches otherwise are refused.",
           .settable = false,
           .repeated = true},
          {.name = "chat",
           .help = "talk to the model through its chat template",
           .more = "With --prompt it answers that one message; without, a conversation of what is typed, or of the lines of standard input."},
          {.name = "system", .kind = ValueKind::text, .value_name = "TEXT", .help = "with --chat: the system message before the conversation", .settable = false},
          {.name = "pair",
           .kind = ValueKind::text,
           .value_name = "TEXT",
           .help = "of encoders: the second text, such as the one that a question is about",
           .settable = false},
          {.name = "ids", .kind = ValueKind::text, .value_name = "IDS", .help = "the prompt as token ids, such as 1,15,7", .settable = false},
          {.name = "ids-file",
           .kind = ValueKind::path,
           .value_name = "FILE",
           .help = "prompts as token ids from a JSON file",
           .more = "A list of lists, or {\"input_ids\", \"attention_mask\"}. With token ids in, generation_config.json is left aside, and no "
                   "end-of-sequence token ends the output: exactly --max-new-tokens come out.",
           .settable = false},
          {.name = "input",
           .kind = ValueKind::path,
           .value_name = "FILE",
           .help = "named input tensors from a safetensors file, a picture (PNG, JPEG) or sound (WAV)",
           .more = "Pictures and sound are prepared as the model's preprocessor_config.json says. Tensors: input_ids, attention_mask and token_type_ids of text encoders; pixel_values of vision models; input_ids or input_features of encoder-decoders, whose decoder "
                   "then continues from its start token unless decoder_input_ids are given too.",
           .settable = false}};
}

std::optional<RunInput> read_run_input(const Options& options, ChatPrompt* chat, std::int64_t pad_id, const std::filesystem::path* folder, Notes& notes) {
  int sources = 0;
  for (const char* name : {"prompt", "prompt-file", "batch", "ids", "ids-file", "input"}) sources += int{options.given(name)};
  if (sources > 1) throw UsageError("run: expected one prompt, got several", "give one of --prompt, --prompt-file, --batch, --ids, --ids-file and --input");
  RunInput out;
  if (sources == 0) {
    if (options.flag("chat")) return std::nullopt;
    std::optional<std::string> text = piped_prompt(notes);
    if (!text) return std::nullopt;
    out.texts.push_back(std::move(*text));
    if (options.given("pair")) out.pair = options.text("pair");
    return out;
  }
  if (options.given("batch")) {
    out = read_batch(options, chat);
  } else if (options.given("input")) {
    out.tensors = read_input_file(options.text("input"), folder, notes);
  } else if (options.given("ids")) {
    out.ids = pad_left({parse_ids(options.text("ids"), "--ids")}, pad_id);
  } else if (options.given("ids-file")) {
    const std::string file = options.text("ids-file");
    out.ids = parse_ids_json(read_file(file, kMostPromptBytes), file, pad_id);
  } else {
    std::string text = options.given("prompt") ? options.text("prompt") : prompt_of_file(options.text("prompt-file"));
    if (options.given("prompt") && text == "-") text = prompt_of_file(text);
    out.chat = options.flag("chat");
    out.texts = {out.chat ? rendered(chat, user_messages(options, text), "--prompt") : std::move(text)};
  }
  if (out.texts.empty() && options.flag("chat")) throw UsageError("--chat: messages are text, expected --prompt, --prompt-file or --batch");
  if (options.given("pair")) out.pair = options.text("pair");
  return out;
}

std::vector<std::int64_t> prompt_ids(const tokenizer::Tokenizer& tokenizer, const std::string& text, bool chat) {
  std::vector<std::int64_t> out;
  for (const std::uint32_t id : tokenizer.encode({text, {}}, {.add_special_tokens = !chat, .ids_only = true}).ids) out.push_back(id);
  if (out.empty()) throw UsageError("the prompt: there is no text");
  return out;
}

}  // namespace bigmodel::app
