// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/gguf_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "bigmodel/checkpoint/choose_files.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/mapped_file.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostTensors = 1'000'000;
constexpr std::uint32_t kMostDimensions = 8;
constexpr int kMostNesting = 4;
constexpr std::uint64_t kMostFacts = 4096;   // layers
constexpr std::uint64_t kDefaultAlignment = 32;

enum class ValueType : std::uint32_t { uint8, int8, uint16, int16, uint32, int32, float32, boolean, string, array, uint64, int64, float64 };

std::optional<std::uint64_t> width_of(ValueType type) {
  switch (type) {
    case ValueType::uint8:
    case ValueType::int8:
    case ValueType::boolean: return 1;
    case ValueType::uint16:
    case ValueType::int16: return 2;
    case ValueType::uint32:
    case ValueType::int32:
    case ValueType::float32: return 4;
    case ValueType::uint64:
    case ValueType::int64:
    case ValueType::float64: return 8;
    case ValueType::string:
    case ValueType::array: break;
  }
  return std::nullopt;
}

/// Thrown where a header goes on behind the bytes that are there.
struct MoreBytes {};

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, std::uint64_t file_bytes, std::string where)
      : bytes_(bytes), file_bytes_(file_bytes), where_(std::move(where)) {}

  GgufHeader read() {
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) throw FormatError(fmt::format("{}: not a GGUF file", where_));
    at_ = 4;
    GgufHeader out;
    out.file_bytes = file_bytes_;
    out.version = number<std::uint32_t>();
    if (out.version != 2 && out.version != 3) {
      const bool swapped = (out.version & 0xffff) == 0;
      throw UnsupportedError(fmt::format("{}: {}, expected version 2 or 3", where_, swapped ? "a big-endian file" : fmt::format("GGUF version {}", out.version)));
    }
    const auto tensors = number<std::uint64_t>(), pairs = number<std::uint64_t>();
    // Each takes more bytes than this; what claims more is cut off.
    if (tensors > kMostTensors || tensors > file_bytes_ / 24 || pairs > file_bytes_ / 12) cut_off();
    std::uint64_t alignment = kDefaultAlignment, tokens = 0;
    for (std::uint64_t i = 0; i < pairs; ++i) {
      const std::string key = text();
      const auto type = static_cast<ValueType>(number<std::uint32_t>());
      if (type == ValueType::string && (key == "general.architecture" || key == "general.name" || key == "general.type")) {
        (key == "general.architecture" ? out.architecture : key == "general.name" ? out.name : out.kind) = text();
      } else if (type == ValueType::uint32 && key == "general.alignment") {
        alignment = number<std::uint32_t>();
      } else if (type == ValueType::uint16 && key == "split.count") {
        out.split_count = number<std::uint16_t>();
      } else if (!out.architecture.empty() && key.starts_with(out.architecture + ".") && may_be_fact(type)) {
        if (std::vector<std::int64_t> values = fact(type); !values.empty()) out.facts[key.substr(out.architecture.size() + 1)] = std::move(values);
      } else {
        const std::uint64_t before = at_;
        skip(type, 0);
        if (key == "tokenizer.ggml.tokens" && type == ValueType::array) tokens = array_length(before);
      }
    }
    if (tokens > 0) out.facts.try_emplace("vocab_size", std::vector<std::int64_t>{static_cast<std::int64_t>(tokens)});
    if (alignment == 0 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0) {
      throw FormatError(fmt::format("{}: key 'general.alignment': expected a power of two, got {}", where_, alignment));
    }
    std::set<std::string> names;
    for (std::uint64_t i = 0; i < tensors; ++i) {
      out.tensors.push_back(tensor());
      if (!names.insert(out.tensors.back().name).second) throw FormatError(fmt::format("{}: tensor '{}' stands twice in the header", where_, out.tensors.back().name));
    }
    const std::uint64_t data = (at_ + alignment - 1) / alignment * alignment;
    for (GgufTensor& t : out.tensors) {
      t.offset = checked_add(t.offset, data, where_);
      if (checked_add(t.offset, t.size_bytes, where_) > file_bytes_) {
        throw FormatError(fmt::format("{}: tensor '{}' ends at byte {}, the file at {}", where_, t.name, t.offset + t.size_bytes, file_bytes_), "download it again");
      }
    }
    return out;
  }

 private:
  [[noreturn]] void cut_off() const { throw FormatError(fmt::format("{}: the header is cut off or broken at byte {}", where_, at_), "download it again"); }

  void need(std::uint64_t count) const {
    if (count > file_bytes_ - at_) cut_off();
    if (count > bytes_.size() - at_) throw MoreBytes{};
  }

  template <typename T>
  T number() {
    need(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  std::string text() {
    const auto length = number<std::uint64_t>();
    need(length);
    std::string out(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += length;
    return out;
  }

  static bool may_be_fact(ValueType type) { return is_whole(type) || type == ValueType::array; }
  static bool is_whole(ValueType type) {
    return width_of(type).has_value() && type != ValueType::float32 && type != ValueType::float64;
  }

  /// The number, or the list of numbers; empty for lists of other things, which are passed over.
  std::vector<std::int64_t> fact(ValueType type) {
    if (type != ValueType::array) return {whole(type)};
    const std::uint64_t begin = at_;
    const auto items = static_cast<ValueType>(number<std::uint32_t>());
    const auto count = number<std::uint64_t>();
    if (!is_whole(items) || count > kMostFacts) {
      at_ = begin;
      skip(type, 0);
      return {};
    }
    std::vector<std::int64_t> out;
    for (std::uint64_t i = 0; i < count; ++i) out.push_back(whole(items));
    return out;
  }

  std::int64_t whole(ValueType type) {
    switch (type) {
      case ValueType::uint8:
      case ValueType::boolean: return number<std::uint8_t>();
      case ValueType::int8: return number<std::int8_t>();
      case ValueType::uint16: return number<std::uint16_t>();
      case ValueType::int16: return number<std::int16_t>();
      case ValueType::uint32: return number<std::uint32_t>();
      case ValueType::int32: return number<std::int32_t>();
      case ValueType::uint64: return static_cast<std::int64_t>(std::min<std::uint64_t>(number<std::uint64_t>(), INT64_MAX));
      default: return number<std::int64_t>();
    }
  }

  /// Of an array that was passed over, from where it begins.
  std::uint64_t array_length(std::uint64_t begin) const {
    std::uint64_t out;
    std::memcpy(&out, bytes_.data() + begin + sizeof(std::uint32_t), sizeof(out));
    return out;
  }

  void skip(ValueType type, int depth) {
    if (const auto width = width_of(type)) {
      need(*width);
      at_ += *width;
    } else if (type == ValueType::string) {
      const auto length = number<std::uint64_t>();
      need(length);
      at_ += length;
    } else if (type == ValueType::array && depth < kMostNesting) {
      const auto items = static_cast<ValueType>(number<std::uint32_t>());
      const auto count = number<std::uint64_t>();
      if (const auto item_width = width_of(items)) {
        if (count > file_bytes_ / *item_width) cut_off();
        need(count * *item_width);
        at_ += count * *item_width;
      } else {
        for (std::uint64_t i = 0; i < count; ++i) skip(items, depth + 1);
      }
    } else {
      throw FormatError(fmt::format("{}: a metadata value has type {}, which is not known", where_, static_cast<std::uint32_t>(type)));
    }
  }

  GgufTensor tensor() {
    GgufTensor out;
    out.name = text();
    const auto dimensions = number<std::uint32_t>();
    if (dimensions > kMostDimensions) throw FormatError(fmt::format("{}: tensor '{}' has {} dimensions", where_, out.name, dimensions));
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      const auto size = number<std::uint64_t>();
      if (size > static_cast<std::uint64_t>(INT64_MAX)) throw FormatError(fmt::format("{}: tensor '{}': a dimension is too large", where_, out.name));
      out.shape.insert(out.shape.begin(), static_cast<std::int64_t>(size));
    }
    const auto id = number<std::uint32_t>();
    const std::optional<GgmlType> type = find_ggml_type(id);
    if (!type) throw FormatError(fmt::format("{}: tensor '{}' has type {}, which is not known", where_, out.name, id));
    out.type = *type;
    out.offset = number<std::uint64_t>();
    const std::int64_t elements = element_count(out.shape, out.name);
    const std::int64_t row = out.shape.empty() ? 1 : out.shape.back();
    if (row % type->block_elements != 0) {
      throw FormatError(fmt::format("{}: tensor '{}': rows of {} are no whole blocks of {} ({})", where_, out.name, row, type->block_elements, type->name));
    }
    out.size_bytes = static_cast<std::uint64_t>(checked_mul(elements / type->block_elements, type->block_bytes, where_));
    return out;
  }

  std::span<const std::byte> bytes_;
  std::uint64_t file_bytes_;  ///< at least as many
  std::string where_;
  std::uint64_t at_ = 0;
};

}  // namespace

GgufHeader read_gguf_header(const fs::path& path) {
  const MappedFile file(path);
  return HeaderReader(file.bytes(), file.bytes().size(), path.string()).read();
}

std::optional<GgufHeader> parse_gguf_header(std::span<const std::byte> first, std::uint64_t file_bytes, const std::string& where) {
  try {
    return HeaderReader(first, std::max<std::uint64_t>(file_bytes, first.size()), where).read();
  } catch (const MoreBytes&) {
    return std::nullopt;
  }
}

std::vector<std::string> gguf_set(const std::string& name) {
  NumberedShard shard;
  if (!parse_numbered_shard(name, shard) || shard.suffix != ".gguf" || shard.count < 1 || shard.count > 10'000) return {name};
  std::vector<std::string> out;
  for (unsigned long i = 1; i <= shard.count; ++i) out.push_back(fmt::format("{}-{:05}-of-{:05}{}", shard.stem, i, shard.count, shard.suffix));
  return out;
}

}  // namespace bigmodel
