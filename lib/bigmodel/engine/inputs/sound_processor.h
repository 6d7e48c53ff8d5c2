// SPDX-License-Identifier: Apache-2.0
// From sound to what audio models take, as the feature extractors of transformers do it: samples of mean 0 and variance 1, or log-mel spectra.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "bigmodel/engine/tensor.h"
#include "bigmodel/io/wav_file.h"

namespace bigmodel {

/// What preprocessor_config.json says.
struct SoundProcessor {
  bool spectra = false;                 ///< Whisper's log-mel spectra; else samples, as Wav2Vec2 takes them
  std::int64_t sampling_rate_hz = 16000;
  bool normalise = true;                ///< samples: to mean 0 and variance 1
  std::int64_t bands = 80;              ///< spectra: mel bands
  std::int64_t window_samples = 400, hop_samples = 160;
  std::int64_t chunk_s = 30;            ///< spectra: every sound is cut or padded with silence to this
};

/// Reads preprocessor_config.json; keys that it lacks are as the class has them. Throws NotFoundError, FormatError, and UnsupportedError for a
/// class other than Wav2Vec2FeatureExtractor and WhisperFeatureExtractor.
SoundProcessor read_sound_processor(const std::filesystem::path& file);

struct SoundInput {
  std::string name;        ///< "input_values" [1, samples] or "input_features" [1, bands, chunk / hop]
  Tensor tensor;
  double left_out_s = 0;   ///< of sound behind the chunk, which the reference cuts off too
};

/// Throws UsageError where the sampling rate is not the model's: nothing is resampled, as the reference does not either.
SoundInput sound_input(const Sound& sound, const SoundProcessor& processor);

}  // namespace bigmodel
