// SPDX-License-Identifier: Apache-2.0
// Walks through JSON text without building values: vocabularies have hundreds of thousands of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bigmodel::tokenizer {

/// Reads values in order; every call throws FormatError (`<object>: line 3, column 7: <what>`) where the text is not what
/// was asked for. The text must be valid UTF-8 and outlive the cursor.
class JsonCursor {
 public:
  JsonCursor(std::string_view text, std::string object) : text_(text), object_(std::move(object)) {}

  enum class Kind { object, array, string, number, boolean, null };
  /// The kind of the next value.
  Kind peek();

  void begin_object() { expect('{', "an object"); }
  /// Before each member: false at the end of the object, else its key.
  bool next_key(std::string& key, bool& first);
  /// The same, as view() does it.
  bool next_key_view(std::string_view& key, std::string& buffer, bool& first);
  void begin_array() { expect('[', "a list"); }
  /// Before each element: false at the end of the list.
  bool next_element(bool& first);
  /// Decodes a string into `out`.
  void string(std::string& out);
  /// The same, as a view of the text where nothing in it needs decoding, else of `buffer`.
  std::string_view view(std::string& buffer);
  /// The number as it stands in the text.
  std::string_view number();
  std::uint32_t id();
  double real();
  /// Checks the next value and returns its text.
  std::string_view skip();
  struct Extent {
    std::size_t count = 0;       ///< of members or elements
    std::size_t text_bytes = 0;  ///< of the strings right in it: keys of an object
  };
  /// Goes over an object or a list by its brackets alone, many times faster, and says what it seems to hold. Whoever skips so
  /// checks the value by reading it from a copy of the cursor.
  Extent skip_unchecked();
  void expect_end();
  bool is_null();  ///< consumes a null

  [[noreturn]] void fail(std::string_view what) const;
  std::size_t position() const noexcept { return at_; }

 private:
  void space() noexcept {
    if (at_ < text_.size() && static_cast<unsigned char>(text_[at_]) <= ' ') skip_space();
  }
  void skip_space() noexcept;
  void string_rest(std::string& out);
  void expect(char c, std::string_view what);
  void escape(std::string& out);
  std::size_t plain_end() const noexcept;
  std::uint32_t hex4();
  void skip_value(int depth);
  void skip_word(std::string_view word);

  std::string_view text_;
  std::string object_;
  std::size_t at_ = 0;
};

}  // namespace bigmodel::tokenizer
