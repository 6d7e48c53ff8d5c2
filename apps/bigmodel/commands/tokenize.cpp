// SPDX-License-Identifier: Apache-2.0
#include "commands/tokenize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"
#include "bigmodel/io/read_file.h"
#include "bigmodel/tokenizer/tokenizer_folder.h"
#include "commands/chat_prompt.h"
#include "commands/hub_access.h"
#include "commands/tokenizer_argument.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kInputLimitBytes = std::uint64_t{1} << 30;

const CommandSpec& spec() {
  static const CommandSpec kSpec = [] {
    CommandSpec out{
        .name = "tokenize",
        .summary = "turn text into token ids and back",
        .description = {"Reads the model's tokenizer files, never its weights, and shows the tokens of each TEXT, or of each line of standard input. "
                        "Offsets count characters of the text.",
                        "With --jsonl every line of standard input is JSON: a text, {\"text\", \"pair\", \"add_special_tokens\"}, {\"ids\", "
                        "\"skip_special_tokens\"} or {\"messages\", \"tools\", \"add_generation_prompt\"}, and is answered by one line."},
        .positionals = {{.name = "MODEL",
                         .kind = ValueKind::model,
                         .value_name = "MODEL",
                         .help = "a tokenizer.json, a folder with tokenizer files, or a name of the Hub",
                         .required = true},
                        {.name = "TEXT", .kind = ValueKind::text, .value_name = "TEXT", .help = "texts; with --decode token ids such as 1,15,7", .repeated = true}},
        .options = {{.name = "ids", .help = "print token ids only, in the form that run --ids takes", .settable = false},
                    {.name = "decode", .help = "the other way round: token ids in, text out", .settable = false},
                    {.name = "chat",
                     .kind = ValueKind::path,
                     .value_name = "FILE",
                     .help = "print the prompt that the chat template makes of a JSON file: messages, or an object with them",
                     .settable = false},
                    {.name = "no-special-tokens", .help = "leave out what the tokenizer adds, such as <s>"},
                    {.name = "keep-special-tokens", .help = "show special tokens in decoded text"},
                    {.name = "jsonl", .help = "JSON in, JSON out, line by line", .settable = false}},
        .examples = {{"bigmodel tokenize ./model 'Hello, world!'", "one token a line"},
                     {"bigmodel tokenize ./model --ids < prompts.txt", "ids of every line"},
                     {"bigmodel tokenize ./model --decode 15043,29892", "the text of ids"},
                     {"bigmodel tokenize ./model --jsonl < requests.jsonl", "many calls in one process"}}};
    for (OptionSpec& row : hub_option_rows()) out.options.push_back(std::move(row));
    return out;
  }();
  return kSpec;
}

std::vector<std::uint32_t> parse_token_ids(std::string_view text) {
  std::vector<std::uint32_t> out;
  for (std::size_t at = 0; at < text.size();) {
    if (std::string_view(", \t\r[]").find(text[at]) != std::string_view::npos) {
      ++at;
      continue;
    }
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), id);
    if (error != std::errc()) throw UsageError(fmt::format("--decode: expected token ids such as 1,15,7, got '{}'", text.substr(at, 40)));
    out.push_back(id);
    at = static_cast<std::size_t>(end - text.data());
  }
  return out;
}

class Calls {
 public:
  Calls(std::filesystem::path path, const Options& options)
      : path_(std::move(path)), special_(!options.flag("no-special-tokens")), skip_(!options.flag("keep-special-tokens")) {}

  /// Read when it is first needed: a chat needs none.
  tokenizer::Encoder& encoder() {
    if (!encoder_) encoder_.emplace(tokenizer::read_tokenizer(path_));
    return *encoder_;
  }
  const tokenizer::Tokenizer& tokenizer() { return encoder().tokenizer(); }
  ChatPrompt& chat() {
    if (!chat_) chat_.emplace(path_);
    return *chat_;
  }

  tokenizer::Encoding encode(std::string_view text) { return encoder().encode({text, {}}, {.add_special_tokens = special_}); }
  std::string decode(std::span<const std::uint32_t> ids) { return tokenizer().decode(ids, skip_); }

  Json encoded(std::string_view text, std::optional<std::string_view> pair, bool special, bool skip) {
    const tokenizer::Encoding e = encoder().encode({text, pair}, {.add_special_tokens = special});
    Json out = {{"ids", e.ids}, {"tokens", e.tokens}, {"offsets", Json::array()}, {"special_tokens_mask", e.special_tokens_mask}};
    for (const auto& [begin, end] : e.offsets) out["offsets"].push_back({begin, end});
    if (pair) out["type_ids"] = e.type_ids;
    out["text"] = tokenizer().decode(e.ids, skip);
    return out;
  }
  Json encoded(std::string_view text) { return encoded(text, {}, special_, skip_); }

  Json decoded(const std::vector<std::uint32_t>& ids, bool skip) {
    Json out = {{"ids", ids}, {"tokens", Json::array()}, {"special_tokens_mask", Json::array()}};
    for (const std::uint32_t id : ids) {
      const auto token = tokenizer().token_of(id);
      out["tokens"].push_back(token ? Json(*token) : Json(nullptr));
      out["special_tokens_mask"].push_back(int{tokenizer().is_special(id)});
    }
    out["text"] = tokenizer().decode(ids, skip);
    return out;
  }
  Json decoded(const std::vector<std::uint32_t>& ids) { return decoded(ids, skip_); }

  /// A line of --jsonl.
  Json answer(const Json& request, const std::string& object) {
    if (request.is_string()) return encoded(request.get_ref<const std::string&>());
    if (!request.is_object()) throw FormatError(fmt::format("{}: expected a text or an object, got {}", object, request.type_name()));
    if (request.contains("messages")) return {{"text", chat().text(request, object)}};
    const auto flag = [&](const char* key, bool missing) {
      if (!request.contains(key)) return missing;
      if (!request[key].is_boolean()) throw FormatError(fmt::format("{}, {}: expected true or false, got {}", object, key, request[key].dump().substr(0, 40)));
      return request[key].get<bool>();
    };
    const bool skip = flag("skip_special_tokens", skip_);
    if (request.contains("ids")) {
      std::vector<std::uint32_t> ids;
      if (!request["ids"].is_array()) throw FormatError(fmt::format("{}, ids: expected a list", object));
      for (const Json& id : request["ids"]) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 0xFFFFFFFFULL) throw FormatError(fmt::format("{}, ids: expected ids, got {}", object, id.dump().substr(0, 40)));
        ids.push_back(id.get<std::uint32_t>());
      }
      return decoded(ids, skip);
    }
    const auto text = [&](const char* key) -> const std::string& {
      const Json& value = field(request, key, object);
      if (!value.is_string()) throw FormatError(fmt::format("{}, {}: expected a text, got {}", object, key, value.type_name()));
      return value.get_ref<const std::string&>();
    };
    std::optional<std::string_view> pair;
    if (request.contains("pair") && !request["pair"].is_null()) pair = text("pair");
    return encoded(text("text"), pair, flag("add_special_tokens", special_), skip);
  }

 private:
  static const Json& field(const Json& request, const char* key, const std::string& object) {
    if (!request.is_object() || !request.contains(key)) throw FormatError(fmt::format("{}: has no '{}'", object, key));
    return request[key];
  }

  std::filesystem::path path_;
  bool special_, skip_;
  std::optional<tokenizer::Encoder> encoder_;
  std::optional<ChatPrompt> chat_;
};

Json answer_line(Calls& calls, std::string_view line, const std::string& object) {
  try {
    return calls.answer(parse_json(line, object), object);
  } catch (const Error& e) {
    Json error = {{"code", static_cast<int>(exit_status(e.kind()))}, {"kind", to_string(e.kind())}, {"message", e.message()}};
    if (!e.hint().empty()) error["hint"] = e.hint();
    return {{"error", std::move(error)}};
  }
}

void for_each_line(std::string_view text, const std::function<void(std::string_view, std::size_t)>& use) {
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    use(text.substr(begin, end - begin), ++number);
    begin = end + 1;
  }
}

void print_tokens(const tokenizer::Encoding& e, const tokenizer::Tokenizer& tokenizer, Output& out) {
  // A template may give its special tokens more ids than texts: the vocabulary's are shown then.
  const bool parallel = e.tokens.size() == e.size();
  for (std::size_t i = 0; i < e.size(); ++i) {
    const std::string token = parallel ? e.tokens[i] : tokenizer.token_of(e.ids[i]).value_or("");
    out.print("{:>7}  {}  {}-{}\n", e.ids[i], Json(token).dump(-1, ' ', false, Json::error_handler_t::replace), e.offsets[i].first, e.offsets[i].second);
  }
}

ExitStatus run(const Options& options, Session& session) {
  const bool ids = options.flag("ids"), decode = options.flag("decode"), json = options.flag("json");
  if (int{ids} + int{decode} + int{options.given("chat")} + int{options.flag("jsonl")} > 1) {
    throw UsageError("tokenize: --ids, --decode, --chat and --jsonl exclude each other", "give one");
  }
  Calls calls(find_tokenizer(options.text("MODEL"), options, session), options);
  const auto print = [&](Json object) {
    Json out = {{"schema", "bigmodel.tokenize/1"}};
    out.update(object);
    session.out.line(json_text(out, session.out.terminal().is_tty));
  };
  if (options.given("chat")) {
    const std::string file = options.text("chat");
    const std::string text = calls.chat().text(file == "-" ? parse_json(read_descriptor(0, "standard input", kInputLimitBytes), "standard input") : read_json_file(file), file);
    if (json) print({{"text", text}});
    else session.out.line(text);
    return ExitStatus::done;
  }
  if (options.flag("jsonl")) {
    if (options.given("TEXT")) throw UsageError("tokenize: --jsonl reads standard input, and there are TEXT arguments", "leave one out");
    for_each_line(read_descriptor(0, "standard input", kInputLimitBytes), [&](std::string_view line, std::size_t number) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
      session.out.line(json_text(answer_line(calls, line, fmt::format("standard input line {}", number)), false));
    });
    return ExitStatus::done;
  }
  const auto use = [&](std::string_view text) {
    if (decode) {
      const std::vector<std::uint32_t> list = parse_token_ids(text);
      if (json) print(calls.decoded(list));
      else session.out.line(calls.decode(list));
    } else if (json) {
      print(calls.encoded(text));
    } else if (ids) {
      session.out.line(fmt::format("{}", fmt::join(calls.encode(text).ids, ",")));
    } else {
      print_tokens(calls.encode(text), calls.tokenizer(), session.out);
    }
  };
  if (options.given("TEXT")) {
    for (const std::string& text : options.list("TEXT")) use(text);
  } else {
    for_each_line(read_descriptor(0, "standard input", kInputLimitBytes), [&](std::string_view line, std::size_t) { use(line); });
  }
  return ExitStatus::done;
}

}  // namespace

Command tokenize_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
