// SPDX-License-Identifier: Apache-2.0
// Format: 8 bytes little-endian length N, N bytes of JSON, data. Checks in the order of the reference parser, so that the
// first fault named is the same.
#include "bigmodel/checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "bigmodel/checkpoint/file_kind.h"
#include "bigmodel/checkpoint/plain_json.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/repeated_name.h"

namespace bigmodel {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kShape = "{\"NAME\": {\"dtype\": ..., \"shape\": [...], \"data_offsets\": [begin, end]}}";

/// Fills a header from JSON events. Nesting is known (at most object > object > array), so state is a few flags.
class HeaderEvents {
 public:
  HeaderEvents(SafetensorsHeader& header, const std::string& object) : header_(header), object_(object) {}

  bool null() {
    if (depth_ == 1 && in_metadata_key_) {
      in_metadata_key_ = false;
      header_.notes.push_back("\"__metadata__\" is null");
      return true;
    }
    return odd("null");
  }
  bool boolean(bool) { return odd("a truth value"); }
  bool number_integer(Json::number_integer_t) { return odd("a negative number"); }
  bool number_unsigned(Json::number_unsigned_t value) {
    if (depth_ == 3 && !ignoring()) {
      if (field_ == Field::shape) {
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
          return refuse(fmt::format("{}: dimension {} of the shape is too large", tensor_words(), value));
        }
        current_.shape.push_back(static_cast<std::int64_t>(value));
        return true;
      }
      if (field_ == Field::offsets) {
        if (offsets_ == 2) return refuse(fmt::format("{}: data_offsets has more than two numbers", tensor_words()));
        (offsets_ == 0 ? current_.begin : current_.end) = value;
        ++offsets_;
        return true;
      }
    }
    return odd("a number");
  }
  bool number_float(Json::number_float_t, const std::string& text) { return odd(fmt::format("the number {}", text.substr(0, 40))); }
  bool string(std::string& value) {
    if (ignoring()) return true;
    if (depth_ == 2 && metadata_) {
      header_.metadata.emplace_back(std::move(metadata_key_), std::move(value));
      return true;
    }
    if (depth_ == 2 && field_ == Field::dtype) {
      const std::optional<DType> dtype = find_safetensors_dtype(value);
      if (!dtype) return refuse(fmt::format("{}: unknown dtype \"{}\"", tensor_words(), value.substr(0, 40)));
      current_.dtype = *dtype;
      return true;
    }
    return odd("a string");
  }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) {
    if (ignoring()) return ignore_deeper();
    if (depth_ == 0) {
      depth_ = 1;
      return true;
    }
    if (depth_ == 1) {
      depth_ = 2;
      metadata_ = in_metadata_key_;
      in_metadata_key_ = false;
      seen_dtype_ = seen_shape_ = seen_offsets_ = false;
      offsets_ = 0;
      metadata_keys_.clear();
      return true;
    }
    return odd("an object");
  }
  bool key(std::string& value) {
    if (ignoring()) return true;
    if (depth_ == 1) {
      in_metadata_key_ = value == "__metadata__";
      if (in_metadata_key_) {
        if (std::exchange(seen_metadata_, true)) return refuse("\"__metadata__\" appears twice");
      } else {
        current_ = {};
        current_.name = std::move(value);
      }
      return true;
    }
    if (metadata_) {
      if (!metadata_keys_.insert(value).second) return refuse(fmt::format("key \"{}\" appears twice in __metadata__", value.substr(0, 120)));
      metadata_key_ = std::move(value);
      return true;
    }
    if (value == "dtype") return once(seen_dtype_, Field::dtype);
    if (value == "shape") return once(seen_shape_, Field::shape);
    if (value == "data_offsets") return once(seen_offsets_, Field::offsets);
    if (unknown_fields_++ == 0) unknown_field_ = fmt::format("{}: unknown field \"{}\"", tensor_words(), value.substr(0, 60));
    field_ = Field::other;
    return true;
  }
  bool end_object() {
    if (ignored_depth_ > 0) return ignore_shallower();
    if (depth_ == 2 && !metadata_) {
      if (!seen_dtype_ || !seen_shape_ || !seen_offsets_) {
        return refuse(fmt::format("{}: no \"{}\"", tensor_words(), !seen_dtype_ ? "dtype" : !seen_shape_ ? "shape" : "data_offsets"));
      }
      if (offsets_ != 2) return refuse(fmt::format("{}: data_offsets has {} numbers, expected 2", tensor_words(), offsets_));
      header_.tensors.push_back(std::move(current_));
      current_ = {};
    }
    metadata_ = false;
    field_ = Field::none;
    --depth_;
    return true;
  }
  bool start_array(std::size_t) {
    if (ignoring()) return ignore_deeper();
    if (depth_ == 2 && !metadata_ && (field_ == Field::shape || field_ == Field::offsets)) {
      depth_ = 3;
      return true;
    }
    return odd("an array");
  }
  bool end_array() {
    if (ignored_depth_ > 0) return ignore_shallower();
    depth_ = 2;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return refuse(fmt::format("the header is not valid JSON near its byte {}", position == 0 ? 0 : position - 1));
  }

  const std::string& refusal() const { return refusal_; }
  /// One note, however many fields there are.
  void finish() {
    if (unknown_fields_ == 0) return;
    header_.notes.push_back(fmt::format("{}{} not carried over", unknown_field_, unknown_fields_ == 1 ? " is" : fmt::format(" and {} more are", unknown_fields_ - 1)));
  }

 private:
  enum class Field { none, dtype, shape, offsets, other };

  std::string tensor_words() const { return fmt::format("tensor \"{}\"", current_.name.substr(0, 120)); }
  bool refuse(std::string what) {
    if (refusal_.empty()) refusal_ = std::move(what);
    return false;
  }
  /// The value of an unknown field, and whatever lies below it.
  bool ignoring() const { return ignored_depth_ > 0 || (depth_ == 2 && !metadata_ && field_ == Field::other); }
  bool ignore_deeper() {
    // The reference nests to 128 at most.
    if (++ignored_depth_ > 125) return refuse("the header is nested deeper than 128 levels");
    return true;
  }
  bool ignore_shallower() {
    --ignored_depth_;
    return true;
  }
  bool once(bool& seen, Field field) {
    if (seen) return refuse(fmt::format("{}: a field appears twice", tensor_words()));
    seen = true;
    field_ = field;
    return true;
  }
  bool odd(std::string_view what) {
    if (ignoring()) return true;
    if (depth_ == 0) return refuse(fmt::format("the header is {}, expected {}", what, kShape));
    if (depth_ == 1) return refuse(fmt::format("entry \"{}\" is {}, expected {}", in_metadata_key_ ? "__metadata__" : current_.name.substr(0, 120), what, kShape));
    if (metadata_) return refuse(fmt::format("__metadata__ \"{}\" is {}, expected a string", metadata_key_.substr(0, 120), what));
    const std::string_view field = field_ == Field::dtype ? "dtype" : field_ == Field::shape ? "shape" : "data_offsets";
    return refuse(fmt::format("{}: {} holds {}", tensor_words(), field, what));
  }

  SafetensorsHeader& header_;
  const std::string& object_;
  std::string refusal_;
  std::unordered_set<std::string> metadata_keys_;
  SafetensorsEntry current_;
  std::string metadata_key_;
  std::string unknown_field_;
  std::uint64_t unknown_fields_ = 0;
  int depth_ = 0;
  int ignored_depth_ = 0;
  int offsets_ = 0;
  Field field_ = Field::none;
  bool in_metadata_key_ = false;
  bool seen_metadata_ = false;
  bool metadata_ = false;
  bool seen_dtype_ = false, seen_shape_ = false, seen_offsets_ = false;
};

/// One tensor's object in the plain spelling.
bool take_plain_tensor(PlainJson& json, SafetensorsEntry& entry) {
  bool dtype = false, shape = false, offsets = false;
  const auto dimension = [&] {
    std::uint64_t size = 0;
    if (!json.number(size)) return false;
    entry.shape.push_back(static_cast<std::int64_t>(size));
    return true;
  };
  const bool plain = json.object([&](std::string_view field) {
    if (field == "dtype" && !std::exchange(dtype, true)) {
      std::string_view code;
      if (!json.string(code)) return false;
      const std::optional<DType> known = find_safetensors_dtype(code);
      if (known) entry.dtype = *known;
      return known.has_value();
    }
    if (field == "shape" && !std::exchange(shape, true)) return json.list(dimension);
    return field == "data_offsets" && !std::exchange(offsets, true) && json.take('[') && json.number(entry.begin) && json.take(',') &&
           json.number(entry.end) && json.take(']');
  });
  return plain && dtype && shape && offsets;
}

bool take_plain_metadata(PlainJson& json, SafetensorsHeader& header) {
  const bool plain = json.object([&](std::string_view key) {
    std::string_view value;
    if (!json.string(value)) return false;
    header.metadata.emplace_back(key, value);
    return true;
  });
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : header.metadata) keys.push_back(key);
  return plain && !repeated_name(keys);
}

/// What writers write, without an event or a copy for each token: false, and an unfinished header, where the text is anything else.
bool read_plain_header(std::string_view text, SafetensorsHeader& header) {
  PlainJson json(text);
  bool has_metadata = false;
  return json.object([&](std::string_view key) {
    if (key == "__metadata__") return !std::exchange(has_metadata, true) && take_plain_metadata(json, header);
    SafetensorsEntry& entry = header.tensors.emplace_back();
    entry.name = key;
    return take_plain_tensor(json, entry);
  }) && json.at_end();
}

void check_names(const SafetensorsHeader& header, const std::string& object) {
  std::vector<std::string_view> names;
  names.reserve(header.tensors.size());
  for (const SafetensorsEntry& entry : header.tensors) names.push_back(entry.name);
  if (const auto twice = repeated_name(names)) throw FormatError(fmt::format("{}: tensor \"{}\" appears twice", object, twice->substr(0, 120)));
}

/// Left to right like the reference: [2^62, 4, 0] overflows, [0, 2^62, 4] does not. In bits, to serve sub-byte dtypes.
std::optional<std::uint64_t> bits_of(const SafetensorsEntry& entry) {
  std::uint64_t count = 1;
  for (const std::int64_t dim : entry.shape) {
    const auto product = try_mul(count, static_cast<std::uint64_t>(dim));
    if (!product) return std::nullopt;
    count = *product;
  }
  return try_mul(count, static_cast<std::uint64_t>(bit_size(entry.dtype)));
}

/// Ranges must tile the data exactly: no gap, no overlap, nothing after the last.
void check_ranges(const SafetensorsHeader& header, std::uint64_t data_bytes, const std::string& object) {
  std::vector<std::uint32_t> order(header.tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    const SafetensorsEntry& x = header.tensors[a];
    const SafetensorsEntry& y = header.tensors[b];
    return std::tie(x.begin, x.end) < std::tie(y.begin, y.end);
  });
  std::uint64_t previous = 0;
  for (const std::uint32_t at : order) {
    const SafetensorsEntry& t = header.tensors[at];
    const auto fail = [&](const std::string& what) { throw FormatError(fmt::format("{}: tensor \"{}\": {}", object, t.name, what)); };
    if (t.begin != previous || t.end < t.begin) {
      fail(fmt::format("data_offsets [{}, {}] {}, expected to begin at {}", t.begin, t.end,
                       t.end < t.begin        ? "end before they begin"
                       : t.begin < previous   ? "overlap the tensor before it"
                                              : "leave a gap",
                       previous));
    }
    const std::optional<std::uint64_t> bits = bits_of(t);
    if (!bits) fail(fmt::format("shape {} overflows", to_string(t.shape)));
    if (*bits % 8 != 0) fail(fmt::format("shape {} of {} ends inside a byte", to_string(t.shape), safetensors_code(t.dtype)));
    if (t.end - t.begin != *bits / 8) {
      fail(fmt::format("data_offsets span {} bytes, expected {} from shape {} {}", t.end - t.begin, *bits / 8,
                       to_string(t.shape), safetensors_code(t.dtype)));
    }
    previous = t.end;
  }
  if (previous != data_bytes) {
    throw FormatError(fmt::format("{}: {} bytes of data follow the header, expected {}{}", object, data_bytes, previous,
                                  data_bytes < previous ? " (the file is cut short)" : " (bytes after the last tensor)"),
                      data_bytes < previous ? "download the file again" : "");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes, const std::string& object) {
  SafetensorsHeader header;
  if (!read_plain_header(json, header)) {
    header = {};
    HeaderEvents events(header, object);
    // The JSON parser takes a NUL for the end of its input and skips a byte-order mark; neither is legal here.
    if (json.starts_with("\xef\xbb\xbf") || json.find('\0') != std::string_view::npos) {
      throw FormatError(fmt::format("{}: the header is not valid JSON: it holds a byte-order mark or a NUL", object));
    }
    if (!Json::sax_parse(json, &events)) throw FormatError(fmt::format("{}: {}", object, events.refusal()));
    events.finish();
  }
  header.header_bytes = 8 + json.size();
  check_names(header, object);
  check_ranges(header, data_bytes, object);
  return header;
}

SafetensorsHeader read_safetensors_header(const Disk& disk, int fd, std::uint64_t file_bytes, const std::filesystem::path& path) {
  const std::string object = path.string();
  if (file_bytes < 8) throw FormatError(fmt::format("{}: {} bytes, too short for a safetensors header", object, file_bytes));
  std::array<std::byte, 8> prefix{};
  read_exactly(disk, fd, prefix, 0, path);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(prefix[i]) << (8 * i);
  if (length > kSafetensorsHeaderLimit || length > file_bytes - 8) {
    if (const std::string kind = describe_foreign_file(disk, fd, file_bytes, path); !kind.empty()) {
      throw FormatError(fmt::format("{}: is {}, expected a safetensors file", object, kind), foreign_file_hint(kind));
    }
    if (length > kSafetensorsHeaderLimit) {
      throw FormatError(fmt::format("{}: header length {}, expected at most {}", object, length, kSafetensorsHeaderLimit));
    }
    throw FormatError(fmt::format("{}: header length {}, expected at most the {} bytes that follow", object, length, file_bytes - 8),
                      "download the file again");
  }
  std::string json(static_cast<std::size_t>(length), '\0');
  read_exactly(disk, fd, std::as_writable_bytes(std::span(json)), 8, path);
  return parse_safetensors_header(json, file_bytes - 8 - length, object);
}

}  // namespace bigmodel
