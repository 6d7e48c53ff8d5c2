// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/jinja_unicode.h"
#include "bigmodel/tokenizer/models/bpe.h"
#include "bigmodel/tokenizer/tokenizer_parts.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

constexpr std::size_t kLongestText = std::size_t{1} << 31;

/// Byte offsets of the original to code points; fast because tokens come in order.
class CharCounter {
 public:
  explicit CharCounter(std::string_view text) : text_(text), ascii_(is_ascii(text)) {}

  Encoding::Offsets convert(Span span) {
    if (ascii_) return {span.begin, span.end};
    const auto size = static_cast<std::uint32_t>(text_.size());
    // The reference leaves an offset at the very end as it is, in bytes.
    if (span.begin >= size) return {span.begin, span.end};
    const std::uint32_t begin = index_of(span.begin);
    if (span.end < size) return {begin, index_of(span.end)};
    return {begin, span.end == 0 ? begin + 1 : index_of(span.end - 1) + 1};
  }

 private:
  /// The number of the character that the byte is in.
  std::uint32_t index_of(std::uint32_t byte) {
    while (at_ < byte) index_ += !is_continuation(text_[++at_]);
    while (at_ > byte) index_ -= !is_continuation(text_[at_--]);
    return index_;
  }
  std::string_view text_;
  bool ascii_;
  std::uint32_t at_ = 0, index_ = 0;
};

}  // namespace

struct Encoder::Scratch {
  std::unique_ptr<Model::Scratch> model;
  std::vector<ModelToken> tokens;
};

Encoder::Encoder(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)), scratch_(std::make_unique<Scratch>()) {
  scratch_->model = tokenizer_.parts().model->make_scratch();
}
Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;

Encoding Encoder::encode_sequence(std::string_view text, std::uint32_t type_id, std::uint32_t word, const EncodeOptions& options) {
  if (text.size() >= kLongestText) throw CapacityError(fmt::format("text of {} bytes, expected less than {}", text.size(), kLongestText));
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    throw FormatError(fmt::format("text: byte {} is not UTF-8", bad), "convert the text to UTF-8");
  }
  const TokenizerParts& parts = tokenizer_.parts();
  PreTokenized pieces(text);
  parts.added_tokens.split(pieces, false);
  if (parts.normalizer) {
    bool unchanged = true;
    for (const Piece& p : pieces.pieces()) unchanged = unchanged && (p.is_token || parts.normalizer->surely_unchanged(pieces.text_of(p)));
    if (!unchanged) pieces.rewrite([&](AlignedText& t) { parts.normalizer->normalize(t); });
  }
  parts.added_tokens.split(pieces, true);
  const auto* bpe = parts.pre_tokenizer.byte_alphabet_last ? dynamic_cast<const Bpe*>(parts.model.get()) : nullptr;
  const bool raw = bpe != nullptr && bpe->takes_raw_bytes();
  pre_tokenize(parts.pre_tokenizer, pieces, raw);

  Encoding out;
  CharCounter counter(text);
  std::vector<ModelToken>& tokens = scratch_->tokens;
  std::uint32_t index = 0;
  for (const Piece& piece : pieces.pieces()) {
    const std::string_view content = pieces.text_of(piece);
    tokens.clear();
    if (piece.is_token) {
      tokens.push_back({piece.token, 0, static_cast<std::uint32_t>(content.size())});
    } else if (raw) {
      bpe->tokenize_raw(content, *scratch_->model, tokens);
    } else {
      parts.model->tokenize(content, *scratch_->model, tokens);
    }
    for (const ModelToken& t : tokens) {
      out.ids.push_back(t.id);
      if (options.ids_only) continue;
      if (piece.is_token || parts.model->shows_word(t.id)) {
        out.tokens.emplace_back(content.substr(t.begin, t.end - t.begin));
      } else {
        out.tokens.emplace_back(parts.model->text_of(t.id).value_or(""));
      }
      const Span span = t.begin < t.end ? pieces.span_of(piece.begin + t.begin, piece.begin + t.end)
                                        : Span{piece.original_begin + t.begin, piece.original_begin + t.end};
      out.offsets.push_back(counter.convert(span));
      out.words.push_back(word != kNoWord ? word : index);
    }
    ++index;
  }
  out.type_ids.assign(out.size(), type_id);
  out.special_tokens_mask.assign(out.size(), 0);
  out.attention_mask.assign(out.size(), 1);
  return out;
}

Encoding Encoder::finish(Encoding encoding, Encoding* pair, const EncodeOptions& options) const {
  const TokenizerParts& parts = tokenizer_.parts();
  if (const auto& truncation = tokenizer_.truncation()) {
    TruncationParams params = *truncation;
    const std::size_t added = parts.post_processor ? parts.post_processor->added_tokens(pair != nullptr) : 0;
    if (options.add_special_tokens && added > 0) {
      if (params.max_length < added) {
        throw UsageError(fmt::format("truncation: max_length {}, expected at least the {} special tokens", params.max_length, added));
      }
      params.max_length -= added;
    }
    truncate_encodings(encoding, pair, params);
  }
  Encoding out = post_process(parts.post_processor.get(), std::move(encoding), pair, options.add_special_tokens);
  if (const auto& padding = tokenizer_.padding()) pad_encodings({&out, 1}, *padding);
  if (options.ids_only) {
    out.tokens.clear();
    out.offsets.clear();
    out.words.clear();
  }
  return out;
}

Encoding Encoder::encode(const TextInput& input, const EncodeOptions& options) {
  Encoding first = encode_sequence(input.text, 0, kNoWord, options);
  if (!input.pair) return finish(std::move(first), nullptr, options);
  Encoding second = encode_sequence(*input.pair, 1, kNoWord, options);
  return finish(std::move(first), &second, options);
}

Encoding Encoder::encode_words(std::span<const std::string> words, const EncodeOptions& options) {
  Encoding all;
  for (std::uint32_t i = 0; i < words.size(); ++i) all.merge(encode_sequence(words[i], 0, i, options));
  return finish(std::move(all), nullptr, options);
}

Encoding Tokenizer::encode(const TextInput& input, const EncodeOptions& options) const { return Encoder(*this).encode(input, options); }

std::vector<Encoding> Tokenizer::encode_batch(std::span<const TextInput> inputs, const EncodeOptions& options) const {
  Encoder encoder(*this);
  std::vector<Encoding> out;
  out.reserve(inputs.size());
  for (const TextInput& input : inputs) out.push_back(encoder.encode(input, options));
  if (padding()) pad_encodings(out, *padding());
  return out;
}

Encoding Tokenizer::encode_words(std::span<const std::string> words, const EncodeOptions& options) const {
  return Encoder(*this).encode_words(words, options);
}

std::optional<std::string_view> Tokenizer::shown_token(std::uint32_t id, bool skip_special_tokens) const {
  // A token that is looked for in the normalized text is also shown so, and then is special only if that text is.
  const AddedToken* added = parts_->added_tokens.by_id(id);
  std::optional<std::string_view> token;
  if (added == nullptr) {
    token = parts_->model->text_of(id);
  } else {
    token = added->normalized ? parts_->added_tokens.normalized_of(id) : added->content;
  }
  if (token && skip_special_tokens && parts_->added_tokens.is_special(*token)) return std::nullopt;
  return token;
}

namespace {

/// Past "<|12.34|>" at `at`, else `at`.
std::size_t after_timestamp(std::string_view text, std::size_t at) {
  if (!text.substr(at).starts_with("<|")) return at;
  const auto digits = [&](std::size_t from) {
    while (from < text.size() && text[from] >= '0' && text[from] <= '9') ++from;
    return from;
  };
  const std::size_t point = digits(at + 2);
  if (point == at + 2 || point >= text.size() || text[point] != '.') return at;
  const std::size_t end = digits(point + 1);
  return end > point + 1 && text.substr(end).starts_with("|>") ? end + 2 : at;
}

/// As Python's strip() does it.
std::string strip_white_space(std::string_view text) {
  while (!text.empty()) {
    const CodePoint first = code_point_at(text, 0);
    if (!jinja::is_space(first.value)) break;
    text.remove_prefix(first.size);
  }
  while (!text.empty()) {
    const CodePoint last = code_point_before(text, text.size());
    if (!jinja::is_space(last.value)) break;
    text.remove_suffix(last.size);
  }
  return std::string(text);
}

std::string decoded_text(std::string text, const DecodingExtras& extras) {
  if (!extras.word_end.empty()) {
    text = strip_white_space(replace_all(text, extras.word_end, " "));
  }
  if (extras.clean_up_spaces) text = clean_up_spaces(std::move(text), false);
  if (!extras.drops_timestamps) return text;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = after_timestamp(text, at);
    if (end == at) out += text[end];
    at = std::max(end, at + 1);
  }
  return out;
}

}  // namespace

std::string Tokenizer::decode(std::span<const std::uint32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (parts_->decoding.joins_repeats && i > 0 && ids[i] == ids[i - 1]) continue;
    if (parts_->decoding.blank == ids[i]) continue;
    if (const auto token = shown_token(ids[i], skip_special_tokens)) tokens.emplace_back(*token);
  }
  std::string out;
  if (!parts_->decoder) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) out += ' ';
      out += tokens[i];
    }
  } else {
    parts_->decoder->decode(tokens);
    for (const std::string& token : tokens) out += token;
  }
  return decoded_text(std::move(out), parts_->decoding);
}

std::optional<std::uint32_t> Tokenizer::id_of(std::string_view token) const { return parts_->added_tokens.find(*parts_->model, token); }

std::optional<std::string> Tokenizer::token_of(std::uint32_t id) const {
  if (const AddedToken* added = parts_->added_tokens.by_id(id)) return added->content;
  if (const auto text = parts_->model->text_of(id)) return std::string(*text);
  return std::nullopt;
}

bool Tokenizer::is_special(std::uint32_t id) const {
  const auto token = token_of(id);
  return token && parts_->added_tokens.is_special(*token);
}

std::size_t Tokenizer::vocabulary_size(bool with_added_tokens) const {
  return parts_->model->vocabulary_size() + (with_added_tokens ? parts_->added_tokens.count_beyond(*parts_->model) : 0);
}

const std::optional<TruncationParams>& Tokenizer::truncation() const noexcept { return truncation_ ? *truncation_ : parts_->truncation; }
const std::optional<PaddingParams>& Tokenizer::padding() const noexcept { return padding_ ? *padding_ : parts_->padding; }

Tokenizer Tokenizer::with(std::optional<TruncationParams> truncation, std::optional<PaddingParams> padding) const {
  Tokenizer out = *this;
  out.truncation_ = std::make_shared<const std::optional<TruncationParams>>(truncation);
  out.padding_ = std::make_shared<const std::optional<PaddingParams>>(std::move(padding));
  return out;
}

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_byte_token(std::string_view token) { return token.size() == 6 && token.starts_with("<0x") && token.ends_with('>'); }

}  // namespace

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens) : tokenizer_(std::move(tokenizer)), skip_(skip_special_tokens) {
  const TokenizerParts& parts = tokenizer_.parts();
  bool fused = false;
  const DecodingExtras& extras = parts.decoding;
  const bool extra = extras.clean_up_spaces || !extras.word_end.empty() || extras.joins_repeats || extras.blank || extras.drops_timestamps;
  forgets_ = !extra && (!parts.decoder || parts.decoder->is_local(fused));
}

// A tail of U+FFFD may yet become a character, and byte tokens in a row are a text only if all of them together are, which the
// first other token decides. Up to there the text is final, and the tokens before it are forgotten but for the last piece's:
// how the first token of a text is treated must not fall on one that is yet to be shown.
std::string StreamDecoder::step(std::uint32_t id) {
  const auto token = tokenizer_.shown_token(id, skip_);
  if (!token) return {};
  ids_.push_back(id);
  if (is_byte_token(*token)) return {};
  std::string text = tokenizer_.decode(ids_, skip_);
  if (text.size() <= shown_.size() || text.ends_with(kReplacement) || !text.starts_with(shown_)) return {};
  std::string piece = text.substr(shown_.size());
  shown_ = std::move(text);
  if (!forgets_) return piece;
  std::string last = tokenizer_.decode(std::span(ids_).subspan(final_), skip_);
  if (last.empty() || last.ends_with(kReplacement)) return piece;
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(final_));
  final_ = ids_.size();
  shown_ = std::move(last);
  return piece;
}

std::string StreamDecoder::finish() {
  const std::string text = tokenizer_.decode(ids_, skip_);
  std::string piece = text.size() > shown_.size() ? text.substr(shown_.size()) : std::string();
  shown_ = text;
  return piece;
}

}  // namespace bigmodel::tokenizer
