// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/inputs/sound_processor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;

void read_count(const Json& config, const char* key, std::int64_t& into, std::int64_t most, const std::string& object) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return;
  if (!it->is_number_integer() || it->get<double>() < 1 || it->get<double>() > static_cast<double>(most)) {
    throw FormatError(fmt::format("{}: {}: {}, expected a whole number from 1 to {}", object, key, it->dump().substr(0, 60), most));
  }
  into = it->get<std::int64_t>();
}

/// Slaney's scale: even steps up to 1000 Hz, even ratios above.
double mel_of(double hertz) { return hertz < 1000 ? 3 * hertz / 200 : 15 + std::log(hertz / 1000) * (27 / std::log(6.4)); }
double hertz_of(double mel) { return mel < 15 ? 200 * mel / 3 : 1000 * std::exp(std::log(6.4) / 27 * (mel - 15)); }

/// [bands][frequencies]: triangles between neighbouring centres, each of the same area.
std::vector<std::vector<float>> mel_filters(std::int64_t bands, std::int64_t frequencies, std::int64_t rate) {
  std::vector<double> centers;
  const double most = mel_of(8000);
  for (std::int64_t b = 0; b < bands + 2; ++b) centers.push_back(hertz_of(most * static_cast<double>(b) / static_cast<double>(bands + 1)));
  std::vector<std::vector<float>> out(static_cast<std::size_t>(bands), std::vector<float>(static_cast<std::size_t>(frequencies)));
  for (std::size_t b = 0; b < out.size(); ++b) {
    for (std::size_t f = 0; f < out[b].size(); ++f) {
      const double hertz = static_cast<double>(rate / 2) * static_cast<double>(f) / static_cast<double>(frequencies - 1);
      const double rising = (hertz - centers[b]) / (centers[b + 1] - centers[b]);
      const double falling = (centers[b + 2] - hertz) / (centers[b + 2] - centers[b + 1]);
      const auto weight = static_cast<float>(std::max(0.0, std::min(rising, falling)));
      out[b][f] = weight * static_cast<float>(2.0 / (centers[b + 2] - centers[b]));
    }
  }
  return out;
}

Tensor log_mel(std::vector<float> samples, const SoundProcessor& p) {
  const std::int64_t window = p.window_samples;
  const auto length = static_cast<std::int64_t>(samples.size());
  const std::int64_t frames = length / p.hop_samples;
  const std::int64_t frequencies = window / 2 + 1;
  std::vector<double> hann, cosine, sine;
  for (std::int64_t i = 0; i < window; ++i) {
    const double angle = 2 * M_PI * static_cast<double>(i) / static_cast<double>(window);
    hann.push_back(0.5 - 0.5 * std::cos(angle));
    cosine.push_back(std::cos(angle));
    sine.push_back(std::sin(angle));
  }
  // Frames are centred; what lies before the first sample and behind the last is mirrored.
  const auto at = [&](std::int64_t i) {
    if (i < 0) i = -i;
    if (i >= length) i = 2 * (length - 1) - i;
    return samples[static_cast<std::size_t>(i)];
  };
  const std::vector<std::vector<float>> filters = mel_filters(p.bands, frequencies, p.sampling_rate_hz);
  Tensor out({1, p.bands, frames});
  std::vector<double> part(static_cast<std::size_t>(window));
  std::vector<float> power(static_cast<std::size_t>(frequencies));
  float loudest = -1e30F;
  for (std::int64_t t = 0; t < frames; ++t) {
    bool silent = true;
    for (std::int64_t i = 0; i < window; ++i) {
      const float value = at(t * p.hop_samples + i - window / 2);
      silent = silent && value == 0.0F;
      part[static_cast<std::size_t>(i)] = value * hann[static_cast<std::size_t>(i)];
    }
    for (std::int64_t f = 0; f < frequencies; ++f) {
      double real = 0, imaginary = 0;
      for (std::int64_t i = 0; i < window && !silent; ++i) {
        const auto angle = static_cast<std::size_t>(f * i % window);
        real += part[static_cast<std::size_t>(i)] * cosine[angle];
        imaginary += part[static_cast<std::size_t>(i)] * sine[angle];
      }
      power[static_cast<std::size_t>(f)] = static_cast<float>(real * real + imaginary * imaginary);
    }
    for (std::int64_t b = 0; b < p.bands; ++b) {
      double sum = 0;
      for (std::size_t f = 0; f < power.size(); ++f) sum += static_cast<double>(filters[static_cast<std::size_t>(b)][f]) * power[f];
      const float loud = std::log10(std::max(static_cast<float>(sum), 1e-10F));
      loudest = std::max(loudest, loud);
      out.f32()[b * frames + t] = loud;
    }
  }
  for (std::int64_t i = 0; i < out.count(); ++i) out.f32()[i] = (std::max(out.f32()[i], loudest - 8.0F) + 4.0F) / 4.0F;
  return out;
}

}  // namespace

SoundProcessor read_sound_processor(const std::filesystem::path& file) {
  const Json config = read_json_file(file);
  const std::string object = file.string();
  if (!config.is_object()) throw FormatError(fmt::format("{}: expected an object", object));
  const auto named = config.find("feature_extractor_type");
  const std::string type = named != config.end() && named->is_string() ? named->get<std::string>() : "";
  SoundProcessor out;
  out.spectra = type == "WhisperFeatureExtractor";
  if (!out.spectra && type != "Wav2Vec2FeatureExtractor") {
    throw UnsupportedError(fmt::format("{}: sound for a {} cannot be prepared", object, type.empty() ? "processor that is not named" : type),
                           "give input_values or input_features in a safetensors file");
  }
  out.normalise = !out.spectra;
  if (const auto it = config.find("do_normalize"); it != config.end() && it->is_boolean()) out.normalise = it->get<bool>();
  read_count(config, "sampling_rate", out.sampling_rate_hz, 1'000'000, object);
  if (!out.spectra) return out;
  if (out.normalise) throw UnsupportedError(fmt::format("{}: do_normalize in front of spectra is not followed", object));
  read_count(config, "feature_size", out.bands, 1024, object);
  read_count(config, "n_fft", out.window_samples, 8192, object);
  read_count(config, "hop_length", out.hop_samples, 8192, object);
  read_count(config, "chunk_length", out.chunk_s, 600, object);
  if (out.window_samples < 2 || out.chunk_s * out.sampling_rate_hz <= out.window_samples || out.chunk_s * out.sampling_rate_hz > 50'000'000) {
    throw FormatError(fmt::format("{}: n_fft {} and chunk_length {} at {} Hz do not go together", object, out.window_samples, out.chunk_s, out.sampling_rate_hz));
  }
  return out;
}

SoundInput sound_input(const Sound& sound, const SoundProcessor& processor) {
  if (sound.sampling_rate_hz != processor.sampling_rate_hz) {
    throw UsageError(fmt::format("the sound: {} Hz, expected {}", sound.sampling_rate_hz, processor.sampling_rate_hz), "convert it first, such as with sox or ffmpeg");
  }
  const auto count = static_cast<std::int64_t>(sound.samples.size());
  if (!processor.spectra) {
    Tensor out({1, count});
    double mean = 0, variance = 0;
    for (const float v : sound.samples) mean += v;
    mean /= static_cast<double>(count);
    for (const float v : sound.samples) variance += (v - mean) * (v - mean);
    variance /= static_cast<double>(count);
    for (std::int64_t i = 0; i < count; ++i) {
      const double v = sound.samples[static_cast<std::size_t>(i)];
      out.f32()[i] = static_cast<float>(processor.normalise ? (v - mean) / std::sqrt(variance + 1e-7) : v);
    }
    return {"input_values", out, 0};
  }
  const std::int64_t chunk = processor.chunk_s * processor.sampling_rate_hz;
  std::vector<float> samples = sound.samples;
  samples.resize(static_cast<std::size_t>(chunk), 0.0F);
  const double left_out_s = count > chunk ? static_cast<double>(count - chunk) / static_cast<double>(processor.sampling_rate_hz) : 0.0;
  return {"input_features", log_mel(std::move(samples), processor), left_out_s};
}

}  // namespace bigmodel
