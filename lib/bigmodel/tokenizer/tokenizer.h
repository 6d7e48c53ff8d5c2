// SPDX-License-Identifier: Apache-2.0
// A tokenizer: text to ids and back, as the reference tokenizers library does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/encoding.h"

namespace bigmodel::tokenizer {

struct TokenizerParts;

struct EncodeOptions {
  bool add_special_tokens = true;
  bool ids_only = false;  ///< leaves tokens, offsets and words empty, which is faster
};

/// A text, or one with its pair; either may be given as words instead (then all words count from 0 to their number - 1).
struct TextInput {
  std::string_view text;
  std::optional<std::string_view> pair;
};

/// Immutable and cheap to copy; any number of threads may use one.
class Tokenizer {
 public:
  explicit Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}

  /// Throws FormatError (not UTF-8), UsageError (truncation that cannot be followed), UnsupportedError (a word that the model
  /// has no token for, a regular expression that gives up), CapacityError (2 GiB of text and more).
  Encoding encode(const TextInput& input, const EncodeOptions& options = {}) const;
  /// Pads to one length where the file says so.
  std::vector<Encoding> encode_batch(std::span<const TextInput> inputs, const EncodeOptions& options = {}) const;
  /// A text that comes as words.
  Encoding encode_words(std::span<const std::string> words, const EncodeOptions& options = {}) const;
  /// Ids outside the vocabulary vanish.
  std::string decode(std::span<const std::uint32_t> ids, bool skip_special_tokens) const;

  std::optional<std::uint32_t> id_of(std::string_view token) const;
  std::optional<std::string> token_of(std::uint32_t id) const;
  bool is_special(std::uint32_t id) const;
  std::size_t vocabulary_size(bool with_added_tokens) const;

  const std::optional<TruncationParams>& truncation() const noexcept;
  const std::optional<PaddingParams>& padding() const noexcept;
  /// The same tokenizer with other settings.
  Tokenizer with(std::optional<TruncationParams> truncation, std::optional<PaddingParams> padding) const;

  const TokenizerParts& parts() const noexcept { return *parts_; }

 private:
  friend class Encoder;
  friend class StreamDecoder;
  /// What decode() makes its text of; nothing where the id vanishes.
  std::optional<std::string_view> shown_token(std::uint32_t id, bool skip_special_tokens) const;
  std::shared_ptr<const TokenizerParts> parts_;
  std::shared_ptr<const std::optional<TruncationParams>> truncation_;  ///< null: as the parts say
  std::shared_ptr<const std::optional<PaddingParams>> padding_;
};

/// Encodes many texts with one memory of the words seen. One thread.
class Encoder {
 public:
  explicit Encoder(Tokenizer tokenizer);
  ~Encoder();
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;

  Encoding encode(const TextInput& input, const EncodeOptions& options = {});
  Encoding encode_words(std::span<const std::string> words, const EncodeOptions& options = {});
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }

 private:
  struct Scratch;
  Encoding encode_sequence(std::string_view text, std::uint32_t type_id, std::uint32_t word, const EncodeOptions& options);
  Encoding finish(Encoding encoding, Encoding* pair, const EncodeOptions& options) const;
  Tokenizer tokenizer_;
  std::unique_ptr<Scratch> scratch_;
};

/// Hands out decoded text token by token: whole characters only, and all pieces joined are what decode() makes of all ids. A step
/// takes time in proportion to what is not yet shown, but for decoders that look at the whole text.
class StreamDecoder {
 public:
  StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens);
  /// What can be shown after one more token: empty while a character is incomplete.
  std::string step(std::uint32_t id);
  /// What is left at the end.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_, forgets_ = false;
  std::vector<std::uint32_t> ids_;  ///< of the last piece shown, and of what is not shown yet
  std::size_t final_ = 0;           ///< how many of them are shown for good
  std::string shown_;               ///< the text of these
};

}  // namespace bigmodel::tokenizer
