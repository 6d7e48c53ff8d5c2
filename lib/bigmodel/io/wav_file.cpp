// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/wav_file.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::uint16_t kPcm = 1, kFloat = 3, kExtensible = 0xFFFE;

std::uint64_t little_endian(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < count; ++i) out |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return out;
}

struct Layout {
  std::uint16_t kind = 0, channels = 0, bits = 0;
  std::uint32_t rate = 0;
};

float sample(std::string_view data, std::size_t at, const Layout& layout) {
  const std::uint64_t raw = little_endian(data, at, layout.bits / 8);
  if (layout.kind == kFloat) return layout.bits == 32 ? std::bit_cast<float>(static_cast<std::uint32_t>(raw)) : static_cast<float>(std::bit_cast<double>(raw));
  if (layout.bits == 8) return (static_cast<float>(raw) - 128.0F) / 128.0F;   // the only unsigned one
  const int unused = 64 - layout.bits;
  const auto value = static_cast<std::int64_t>(raw << unused) >> unused;
  return static_cast<float>(static_cast<double>(value) / static_cast<double>(std::int64_t{1} << (layout.bits - 1)));
}

}  // namespace

bool is_wav(std::string_view bytes) noexcept { return bytes.size() >= 12 && bytes.starts_with("RIFF") && bytes.substr(8, 4) == "WAVE"; }

Sound parse_wav(std::string_view bytes, std::string_view object) {
  if (!is_wav(bytes)) throw FormatError(fmt::format("{}: no WAV file", object));
  Layout layout;
  std::string_view data;
  bool has_data = false;
  for (std::size_t at = 12; at + 8 <= bytes.size() && !has_data;) {
    const std::string_view name = bytes.substr(at, 4);
    const std::uint64_t size = little_endian(bytes, at + 4, 4);
    at += 8;
    const std::uint64_t left = bytes.size() - at;
    if (name == "fmt ") {
      if (size < 16 || left < size) throw FormatError(fmt::format("{}: the 'fmt ' part is cut short", object));
      layout.kind = static_cast<std::uint16_t>(little_endian(bytes, at, 2));
      layout.channels = static_cast<std::uint16_t>(little_endian(bytes, at + 2, 2));
      layout.rate = static_cast<std::uint32_t>(little_endian(bytes, at + 4, 4));
      layout.bits = static_cast<std::uint16_t>(little_endian(bytes, at + 14, 2));
      if (layout.kind == kExtensible && size >= 26) layout.kind = static_cast<std::uint16_t>(little_endian(bytes, at + 24, 2));
    } else if (name == "data") {
      // Programs that write into pipes leave the size open, as 0xFFFFFFFF: then the rest of the file is meant.
      if (size != 0xFFFFFFFFu && left < size) throw FormatError(fmt::format("{}: cut short: {} bytes of sound, expected {}", object, left, size));
      data = bytes.substr(at, std::min(size, left));
      has_data = true;
    }
    at += static_cast<std::size_t>(std::min(size + (size & 1), left));
  }
  const bool integers = layout.kind == kPcm && (layout.bits == 8 || layout.bits == 16 || layout.bits == 24 || layout.bits == 32);
  const bool floats = layout.kind == kFloat && (layout.bits == 32 || layout.bits == 64);
  if (layout.channels == 0 || layout.rate == 0) throw FormatError(fmt::format("{}: a WAV file without a 'fmt ' part that says channels and rate", object));
  if (!integers && !floats) throw UnsupportedError(fmt::format("{}: sound of format {} with {} bits, expected plain PCM or floating point", object, layout.kind, layout.bits));
  const std::size_t frame = std::size_t{layout.channels} * layout.bits / 8;
  Sound out{layout.rate, {}};
  out.samples.reserve(data.size() / frame);
  for (std::size_t at = 0; at + frame <= data.size(); at += frame) {
    double sum = 0;
    for (std::size_t c = 0; c < layout.channels; ++c) sum += sample(data, at + c * layout.bits / 8, layout);
    out.samples.push_back(static_cast<float>(sum / layout.channels));
  }
  if (out.samples.empty()) throw FormatError(fmt::format("{}: has no samples", object));
  return out;
}

}  // namespace bigmodel
