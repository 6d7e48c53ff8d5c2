// SPDX-License-Identifier: Apache-2.0
// What a safetensors file can lie about: its length, its JSON, names, dtypes, shapes and ranges.
#include <fmt/format.h>

#include "attacks/attack.h"
#include "checkpoint/safetensors_file.h"

namespace bigmodel::test {
namespace {

using namespace std::string_literals;

/// A tensor's entry with its three values as JSON.
std::string entry(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"("{}":{{"dtype":{},"shape":{},"data_offsets":{}}})", name, dtype, shape, offsets);
}

/// The length as given, whatever follows.
std::string with_length(std::uint64_t length, std::string_view rest) {
  std::string out = safetensors_file("", rest);
  for (int i = 0; i < 8; ++i) out[static_cast<std::size_t>(i)] = static_cast<char>(length >> (8 * i) & 0xff);
  return out;
}

/// A long header of `count` entries that `one` makes.
template <class One>
std::string many(int count, std::size_t data_bytes, One one) {
  std::string header = "{";
  for (int i = 0; i < count; ++i) header += (i == 0 ? "" : ",") + one(i);
  return safetensors_file(header + "}", std::string(data_bytes, 'x'));
}

void add_lengths(std::vector<Attack>& out) {
  const auto refuse = [&](const char* name, std::string bytes, const char* what, const char* words) {
    out.push_back(refused("safetensors/"s + name + ".safetensors", std::move(bytes), what, words));
  };
  refuse("empty", "", "no bytes", "is empty");
  refuse("seven_bytes", "\2\0\0\0\0\0\0"s, "shorter than its length field", "too short");
  refuse("length_zero", with_length(0, ""), "a header of no bytes", "not valid JSON");
  refuse("length_over_limit", with_length(100'000'001, "{}"), "a header above the reference's limit", "expected at most 100000000");
  refuse("length_past_end", with_length(50, "{}"), "a header longer than the file", "expected at most the 2 bytes that follow");
  refuse("length_2_64", with_length(~std::uint64_t{0}, "{}"), "a length of 2^64 - 1", "header length 18446744073709551615");
  refuse("length_wraps", with_length(~std::uint64_t{0} - 7, "{}"), "a length that wraps to 0 when 8 is added", "header length 18446744073709551608");
  refuse("git_lfs_pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "a pointer instead of the file", "Git LFS pointer");
  refuse("web_page", "<!DOCTYPE html><html>sign in</html>", "a page instead of the file", "web page");
  refuse("seven_zip", "7z\xbc\xaf\x27\x1c\0\4 and more bytes"s, "a container that scanners do not open", "7-Zip");
  const std::string good = "{" + entry("a", R"("U8")", "[1]", "[0,1]") + "}";
  out.push_back(accepted("safetensors/length_is_pickle.safetensors", safetensors_file(good + std::string(0x0280 - good.size(), ' '), "a"),
                         "its first bytes are a pickle's protocol mark", "the kind is told by the whole of the header"));
}

void add_json(std::vector<Attack>& out) {
  const auto refuse = [&](const char* name, const std::string& header, const char* what, const char* words, const char* data = "") {
    out.push_back(refused("safetensors/"s + name + ".safetensors", safetensors_file(header, data), what, words));
  };
  const auto accept = [&](const char* name, const std::string& header, const char* data, const char* what, const char* why) {
    out.push_back(accepted("safetensors/"s + name + ".safetensors", safetensors_file(header, data), what, why));
  };
  const std::string a = entry("a", R"("U8")", "[1]", "[0,1]");
  refuse("byte_order_mark", "\xef\xbb\xbf{}", "a byte-order mark", "byte-order mark");
  refuse("comment", "{/* x */}", "a comment", "not valid JSON");
  refuse("trailing_comma", "{" + a + ",}", "a trailing comma", "not valid JSON", "a");
  refuse("trailing_nul", "{" + a + "}\0"s, "a NUL behind the object, where some parsers stop", "a NUL", "a");
  refuse("trailing_junk", "{" + a + "} x", "text behind the object", "not valid JSON", "a");
  refuse("second_document", "{" + a + "}{}", "a second document", "not valid JSON", "a");
  refuse("top_array", "[{" + a + "}]", "an array for the object", "", "a");
  refuse("top_null", "null", "null for the object", "");
  refuse("not_utf8", "{\"a\xff\":{}}", "a name that is no UTF-8", "not valid JSON");
  refuse("lone_surrogate", R"({"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "half a surrogate pair", "not valid JSON", "a");
  refuse("control_character", "{\"a\nb\":{}}", "a raw line end in a name", "not valid JSON");
  refuse("deep_unknown_field", "{\"a\":{\"x\":" + std::string(200, '[') + std::string(200, ']') + "}}", "200 levels in a field that nobody reads", "nested deeper");
  refuse("deep_arrays", "{\"a\":" + std::string(100'000, '[') + "}", "a depth bomb", "an array");
  refuse("deep_objects", [] {
    std::string header;
    for (int i = 0; i < 20'000; ++i) header += "{\"a\":";
    return header;
  }(), "a depth bomb of objects", "nested deeper");
  refuse("name_twice", "{" + a + "," + a + "}", "one name twice, of which parsers take the first or the last", "appears twice", "a");
  refuse("name_twice_escaped", "{" + a + "," + entry("\\u0061", R"("U8")", "[1]", "[0,1]") + "}", "one name twice, once spelled by its number", "appears twice", "a");
  refuse("name_twice_elsewhere", "{" + a + "," + entry("a", R"("U8")", "[1]", "[1,2]") + "}", "one name twice with two ranges", "appears twice", "ab");
  refuse("field_twice", R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "two dtypes", "appears twice", "a");
  refuse("metadata_twice", R"({"__metadata__":{},"__metadata__":{"a":"b"}})", "two __metadata__", "appears twice");
  refuse("metadata_key_twice", R"({"__metadata__":{"k":"1","k":"2"}})", "one metadata key twice", "appears twice");
  refuse("metadata_number", R"({"__metadata__":{"k":1}})", "metadata that is no string", "expected a string");
  refuse("metadata_null_value", R"({"__metadata__":{"k":null}})", "metadata that is null", "expected a string");
  refuse("metadata_object", R"({"__metadata__":{"k":{}}})", "metadata that is an object", "expected a string");
  refuse("top_string", R"({"a":"x"})", "a tensor that is a string", "a string");
  refuse("tensor_as_array", R"({"a":["U8",[1],[0,1]]})", "a tensor as an array, which the reference's library takes", "an array", "a");
  refuse("dtype_as_object", R"({"a":{"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]}})", "a dtype as an object, which the reference's library takes", "an object", "a");
  accept("metadata_null", R"({"__metadata__":null})", "", "null for __metadata__", "it counts as absent");
  accept("white_space_first", " \t\r\n{" + a + "}", "a", "white space before the object", "the reference takes it on purpose");
  accept("unknown_field", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":[1]}})", "a", "a field of no meaning", "it is dropped, and a note says so");
  accept("odd_names", "{" + entry("", R"("U8")", "[1]", "[0,1]") + "," + entry("../../etc/passwd", R"("U8")", "[1]", "[1,2]") + "," + entry("a\\u0000b", R"("U8")", "[1]", "[2,3]") + "," +
                          entry("\\u001b[2J", R"("U8")", "[1]", "[3,4]") + "}",
         "abcd", "names that are empty, climb, hold a NUL or clear a terminal", "a name is never used as a path, and is escaped where it is printed");
}

void add_tensors(std::vector<Attack>& out) {
  const auto refuse = [&](const char* name, const char* dtype, const char* shape, const char* offsets, std::size_t data, const char* what, const char* words) {
    out.push_back(refused("safetensors/"s + name + ".safetensors", safetensors_file("{" + entry("a", dtype, shape, offsets) + "}", std::string(data, 'x')), what, words));
  };
  refuse("dtype_lower_case", R"("f32")", "[1]", "[0,4]", 4, "a dtype in lower case", "unknown dtype");
  refuse("dtype_unknown", R"("F8_E4M3FN")", "[1]", "[0,1]", 1, "a dtype by torch's name", "unknown dtype");
  refuse("dtype_number", "7", "[1]", "[0,1]", 1, "a dtype by number", "holds a number");
  refuse("offsets_one", R"("U8")", "[1]", "[0]", 1, "one offset", "expected 2");
  refuse("offsets_three", R"("U8")", "[1]", "[0,1,2]", 1, "three offsets", "more than two");
  refuse("offsets_negative", R"("U8")", "[1]", "[-1,0]", 1, "a negative offset", "negative");
  refuse("offsets_fraction", R"("U8")", "[1]", "[0,1.0]", 1, "an offset with a point", "the number 1.0");
  refuse("offsets_exponent", R"("U8")", "[1]", "[0,1e0]", 1, "an offset with an exponent", "the number 1e0");
  refuse("offsets_text", R"("U8")", "[1]", R"([0,"1"])", 1, "an offset as text", "a string");
  refuse("offsets_minus_zero", R"("U8")", "[1]", "[-0,1]", 1, "minus zero", "");
  refuse("offsets_leading_zero", R"("U8")", "[1]", "[00,1]", 1, "a leading zero", "not valid JSON");
  refuse("offsets_2_64", R"("U8")", "[1]", "[0,18446744073709551616]", 1, "an offset of 2^64", "the number 18446744073709551616");
  refuse("offsets_huge", R"("U8")", "[0]", "[0,18446744073709551615]", 0, "an end of 2^64 - 1", "span");
  refuse("offsets_reversed", R"("U8")", "[2]", "[2,0]", 2, "an end before the beginning", "");
  refuse("hole_first", R"("U8")", "[1]", "[1,2]", 2, "bytes before the first tensor, where another format fits", "leave a gap");
  refuse("trailing_bytes", R"("U8")", "[1]", "[0,1]", 5, "bytes after the last tensor, where another format fits", "bytes after the last tensor");
  refuse("truncated", R"("U8")", "[4]", "[0,4]", 3, "fewer bytes than the header says", "cut short");
  refuse("shape_too_large", R"("U8")", "[1000]", "[0,1]", 1, "a shape larger than its range", "expected 1000");
  refuse("shape_too_small", R"("F32")", "[1]", "[0,8]", 8, "a shape smaller than its range", "expected 4");
  refuse("shape_overflows", R"("U8")", "[4611686018427387904,4,0]", "[0,0]", 0, "a product that overflows before the zero", "overflows");
  refuse("bytes_overflow", R"("F64")", "[1152921504606846976]", "[0,0]", 0, "a product whose bytes overflow", "overflows");
  refuse("shape_2_64", R"("U8")", "[18446744073709551615,2,0]", "[0,0]", 0, "a dimension of 2^64 - 1", "too large");
  refuse("sub_byte", R"("F4")", "[3]", "[0,2]", 2, "an element that ends inside a byte", "inside a byte");
  const auto two = [&](const char* name, const std::string& a, const std::string& b, std::size_t data, const char* what, const char* words) {
    out.push_back(refused("safetensors/"s + name + ".safetensors", safetensors_file("{" + a + "," + b + "}", std::string(data, 'x')), what, words));
  };
  const std::string a = entry("a", R"("U8")", "[2]", "[0,2]");
  two("overlap", a, entry("b", R"("U8")", "[2]", "[1,3]"), 3, "two tensors that overlap", "overlap");
  two("same_range", a, entry("b", R"("U8")", "[2]", "[0,2]"), 2, "two tensors in one range", "overlap");
  two("hole_between", a, entry("b", R"("U8")", "[1]", "[3,4]"), 4, "a gap between tensors", "leave a gap");
  two("empty_inside", a, entry("b", R"("U8")", "[0]", "[1,1]"), 2, "an empty tensor inside another", "overlap");
  const auto accept = [&](const char* name, const std::string& entries, std::size_t data, const char* what, const char* why) {
    out.push_back(accepted("safetensors/"s + name + ".safetensors", safetensors_file("{" + entries + "}", std::string(data, 'x')), what, why));
  };
  accept("empty_tensors", entry("a", R"("F32")", "[0,7]", "[0,0]") + "," + entry("b", R"("U8")", "[0]", "[0,0]"), 0, "tensors without elements", "they take no bytes");
  accept("empty_and_huge", entry("a", R"("U8")", "[0,9223372036854775807]", "[0,0]"), 0, "no elements, for all the size of a dimension", "the zero is reached first, as in the reference");
  accept("misaligned", entry("a", R"("U8")", "[1]", "[0,1]") + "," + entry("b", R"("F64")", "[1]", "[1,9]"), 9, "a float64 at an odd place", "nothing is read through a pointer of its type");
  out.push_back(refused("safetensors/many_aliases.safetensors", many(100'000, 4, [](int i) { return entry(fmt::format("t{}", i), R"("U8")", "[4]", "[0,4]"); }),
                        "100,000 tensors in one range, a memory bomb for who copies", "overlap"));
  out.push_back(accepted("safetensors/many_unknown_fields.safetensors", many(200'000, 0, [](int i) { return fmt::format(R"("{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":0}})", i); }),
                         "200,000 fields of no meaning, a note each for who notes them", "one note counts them"));
}

}  // namespace

std::vector<Attack> safetensors_attacks() {
  std::vector<Attack> out;
  add_lengths(out);
  add_json(out);
  add_tensors(out);
  return out;
}

}  // namespace bigmodel::test
