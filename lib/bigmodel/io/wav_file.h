// SPDX-License-Identifier: Apache-2.0
// Reads sound from a WAV file (RIFF): PCM of 8 to 32 bits and floating point, any number of channels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace bigmodel {

struct Sound {
  std::int64_t sampling_rate_hz = 0;
  std::vector<float> samples;   ///< one channel, from -1 to 1: the mean of those of the file
};

/// Whether the bytes begin as a WAV file does.
bool is_wav(std::string_view bytes) noexcept;

/// Integers are divided by 2^(bits - 1), as librosa and soundfile do. Throws FormatError (no WAV file, cut short, no samples) and
/// UnsupportedError (compressed sound), both naming `object`.
Sound parse_wav(std::string_view bytes, std::string_view object);

}  // namespace bigmodel
