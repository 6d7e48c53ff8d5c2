// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/byte_alphabet.h"
#include "bigmodel/tokenizer/json_fields.h"
#include "bigmodel/tokenizer/regex.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  if (from.empty()) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = utf8_length(text[at]);
      out += to;
      out.append(text, at, size);
      at += size;
    }
    out += to;
    return out;
  }
  std::size_t done = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text, done, at - done);
    out += to;
    done = at + from.size();
  }
  out.append(text, done);
  return out;
}

std::string clean_up_spaces(std::string text, bool shortens_do_not) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},           {" ,", ","},   {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : kRules) {
    if (from == " do not" && !shortens_do_not) continue;
    if (text.find(from) != std::string::npos) text = replace_all(text, from, to);
  }
  return text;
}

namespace {

using Json = nlohmann::ordered_json;

void fuse(std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& t : tokens) all += t;
  tokens.assign(1, std::move(all));
}

class Fuse final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override { fuse(tokens); }
  bool is_local(bool& fused) const override { return fused = true; }
};

class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

class ByteLevelDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) {
      const std::size_t before = bytes.size();
      for (std::size_t at = 0; at < token.size();) {
        const CodePoint p = code_point_at(token, at);
        at += p.size;
        const auto byte = byte_of_character(p.value);
        if (!byte) {
          // Not of the alphabet: the token stands for itself.
          bytes.resize(before);
          bytes += token;
          break;
        }
        bytes += static_cast<char>(*byte);
      }
    }
    tokens.assign(1, {});
    append_lossy(tokens[0], bytes);
  }
  bool is_local(bool& fused) const override { return !std::exchange(fused, true); }
};

class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_)) {
          token.erase(0, prefix_.size());
        } else {
          token.insert(0, " ");
        }
      }
      if (cleanup_) token = clean_up_spaces(std::move(token));
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(char32_t replacement, bool drops_first) : drops_first_(drops_first) { append_utf8(replacement_, replacement); }
  void decode(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(tokens[i], replacement_, i == 0 && drops_first_ ? "" : " ");
    }
  }

 private:
  std::string replacement_;
  bool drops_first_;
};

class CtcDecoder final : public Decoder {
 public:
  CtcDecoder(std::string pad, std::string delimiter, bool cleanup)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), cleanup_(cleanup) {}
  void decode(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      token = replace_all(token, pad_, "");
      if (cleanup_) token = replace_all(clean_up_spaces(std::move(token)), delimiter_, " ");
    }
    std::erase_if(tokens, [](const std::string& t) { return t.empty(); });
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

class StripDecoder final : public Decoder {
 public:
  StripDecoder(char32_t content, std::uint64_t start, std::uint64_t stop) : start_(start), stop_(stop) { append_utf8(content_, content); }
  void decode(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (std::uint64_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (std::uint64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }
  bool is_local(bool&) const override { return true; }

 private:
  std::string content_;
  std::uint64_t start_, stop_;
};

class ByteFallbackDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    out.reserve(tokens.size());
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (find_invalid_utf8(bytes) == std::string::npos) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }

 private:
  static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  }
  /// The value of "<0x..>", -1 for any other token. A plus sign may stand for the first digit, as in the reference.
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const int low = hex(token[4]);
    const int high = token[3] == '+' ? 0 : hex(token[3]);
    return low < 0 || high < 0 ? -1 : high * 16 + low;
  }
};

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void decode(std::vector<std::string>& tokens) const override {
    std::vector<Match> matches;
    for (std::string& token : tokens) {
      if (!pattern_.literal().empty()) {
        if (token.find(pattern_.literal()) != std::string::npos) token = replace_all(token, pattern_.literal(), content_);
        continue;
      }
      pattern_.split(token, matches);
      std::string made;
      for (const Match& m : matches) {
        if (m.is_match) {
          made += content_;
        } else {
          made.append(token, m.begin, m.end - m.begin);
        }
      }
      token = std::move(made);
    }
  }

 private:
  Regex pattern_;
  std::string content_;
};

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> parts) : parts_(std::move(parts)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (const auto& part : parts_) part->decode(tokens);
  }
  bool is_local(bool& fused) const override {
    return std::ranges::all_of(parts_, [&](const auto& part) { return part->is_local(fused); });
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

std::unique_ptr<Decoder> read_metaspace(const JsonFields& fields) {
  bool drops_first = true;
  if (fields.has("prepend_scheme")) {
    const std::string scheme = fields.text("prepend_scheme");
    if (scheme != "first" && scheme != "never" && scheme != "always") fields.fail("prepend_scheme", "first, never or always");
    drops_first = scheme != "never";
  }
  if (fields.has_value("add_prefix_space") && !fields.boolean("add_prefix_space") && drops_first) {
    fields.fail("add_prefix_space", "true, or prepend_scheme never");
  }
  return std::make_unique<MetaspaceDecoder>(fields.character("replacement"), drops_first);
}

}  // namespace

std::unique_ptr<Decoder> read_decoder(const Json& json, const std::string& object) {
  const JsonFields fields(json, object);
  const std::string type = fields.text("type");
  const JsonFields inner(json, fmt::format("{}, {}", object, type));
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Decoder>> parts;
    for (const Json& part : inner.array("decoders")) parts.push_back(read_decoder(part, object));
    return std::make_unique<DecoderSequence>(std::move(parts));
  }
  if (type == "ByteLevel") {
    inner.boolean("add_prefix_space");
    inner.boolean("trim_offsets");
    return std::make_unique<ByteLevelDecoder>();
  }
  if (type == "BPEDecoder") return std::make_unique<BpeDecoder>(inner.text("suffix"));
  if (type == "WordPiece") return std::make_unique<WordPieceDecoder>(inner.text("prefix"), inner.boolean("cleanup"));
  if (type == "Metaspace") return read_metaspace(inner);
  if (type == "CTC") return std::make_unique<CtcDecoder>(inner.text("pad_token"), inner.text("word_delimiter_token"), inner.boolean("cleanup"));
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") return std::make_unique<StripDecoder>(inner.character("content"), inner.count("start"), inner.count("stop"));
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Replace") return std::make_unique<ReplaceDecoder>(inner.pattern("pattern"), inner.text("content"));
  throw UnsupportedError(fmt::format("{}: unknown type '{}'", object, type.substr(0, 80)));
}

}  // namespace bigmodel::tokenizer
