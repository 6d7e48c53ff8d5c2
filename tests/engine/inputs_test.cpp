// SPDX-License-Identifier: Apache-2.0
// Pictures and sounds as models take them, against transformers' processors; and files that are not as they should be.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/inputs/image_processor.h"
#include "bigmodel/engine/inputs/sound_processor.h"
#include "bigmodel/engine/tensor_file.h"
#include "bigmodel/io/read_file.h"
#include "engine/expected.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

namespace fs = std::filesystem;

void check_equal(const Tensor& have, const Tensor& want, double tolerance) {
  CHECK(to_string(have.shape()) == to_string(want.shape()));
  CHECK(test::largest_difference(test::floats_of(have), test::floats_of(want)) <= tolerance);
}

std::string wav(std::string_view fmt_part, std::string_view data, std::uint32_t said_bytes) {
  const auto four = [](std::uint32_t v) { return std::string{static_cast<char>(v), static_cast<char>(v >> 8), static_cast<char>(v >> 16), static_cast<char>(v >> 24)}; };
  return "RIFF" + four(0) + "WAVEfmt " + four(static_cast<std::uint32_t>(fmt_part.size())) + std::string(fmt_part) + "data" + four(said_bytes) + std::string(data);
}

}  // namespace

TEST_SUITE("engine/inputs") {
  TEST_CASE("pictures become the reference's pixel values, sounds its samples and spectra") {
    int pictures = 0;
    int sounds = 0;
    for (const auto& entry : fs::directory_iterator(test::golden_path("inputs"))) {
      if (!entry.is_directory()) continue;
      CAPTURE(entry.path().filename().string());
      const auto want = read_tensor_file(entry.path() / "expected.safetensors");
      const fs::path config = entry.path() / "preprocessor_config.json";
      if (fs::exists(entry.path() / "sound.wav")) {
        ++sounds;
        const SoundInput have = sound_input(parse_wav(read_file(entry.path() / "sound.wav", 1 << 20), "sound.wav"), read_sound_processor(config));
        REQUIRE(want.contains(have.name));
        check_equal(have.tensor, want.at(have.name), have.name == "input_features" ? 1e-4 : 1e-5);
        CHECK((have.left_out_s > 0) == (entry.path().filename() == "whisper_longer"));
        continue;
      }
      ++pictures;
      const Tensor& rgb = want.at("rgb");
      PixelImage image{rgb.shape()[0], rgb.shape()[1], {}};
      for (std::int64_t i = 0; i < rgb.count(); ++i) image.rgb.push_back(static_cast<std::uint8_t>(rgb.i64()[i]));
      // Of some shapes Pillow 13 shrinks the columns before the rows, by a rule of its own; we always begin with the rows, and the rounding between
      // differs by up to four levels.
      const bool columns_first = entry.path().filename() == "clip_pads";
      check_equal(pixel_values(image, read_image_processor(config)), want.at("pixel_values"), columns_first ? 4.1 / 255 / 0.26 : 1e-6);
    }
    CHECK(pictures == 8);
    CHECK(sounds == 5);
  }

  TEST_CASE("processors that do something else are refused by name, and nonsense is told") {
    const test::TempFolder folder;
    const auto image = [&](const char* json) { return read_image_processor(folder.write("preprocessor_config.json", json)); };
    CHECK_THROWS_WITH_AS(image(R"({"image_processor_type": "Qwen2VLImageProcessor"})"), doctest::Contains("Qwen2VLImageProcessor"), UnsupportedError);
    CHECK_THROWS_AS(image("{}"), UnsupportedError);
    CHECK_THROWS_AS(image("[]"), FormatError);
    CHECK_THROWS_AS(image(R"({"image_processor_type": "ViTImageProcessor", "size": -3})"), FormatError);
    CHECK_THROWS_AS(image(R"({"image_processor_type": "ViTImageProcessor", "size": 1e12})"), FormatError);
    CHECK_THROWS_AS(image(R"({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 3}})"), UnsupportedError);
    CHECK_THROWS_AS(image(R"({"image_processor_type": "ViTImageProcessor", "resample": 5})"), UnsupportedError);
    CHECK_THROWS_AS(image(R"({"image_processor_type": "ViTImageProcessor", "image_std": [0, 1, 1]})"), FormatError);
    CHECK_THROWS_AS(image(R"({"image_processor_type": "ViTImageProcessor", "image_mean": "x"})"), FormatError);
    CHECK(image(R"({"feature_extractor_type": "ViTFeatureExtractor", "size": 30})").size.height == 30);
    CHECK(image(R"({"image_processor_type": "CLIPImageProcessorFast", "size": 30})").size.shortest_edge == 30);
    const auto sound = [&](const char* json) { return read_sound_processor(folder.write("preprocessor_config.json", json)); };
    CHECK_THROWS_WITH_AS(sound(R"({"feature_extractor_type": "ClapFeatureExtractor"})"), doctest::Contains("ClapFeatureExtractor"), UnsupportedError);
    CHECK_THROWS_AS(sound(R"({"feature_extractor_type": "WhisperFeatureExtractor", "n_fft": 0})"), FormatError);
    CHECK_THROWS_AS(sound(R"({"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1e9})"), FormatError);
    CHECK_THROWS_WITH_AS(sound_input({8000, {0.0F}}, {}), doctest::Contains("8000 Hz, expected 16000"), UsageError);
    CHECK_THROWS_AS(read_image_processor(folder / "none.json"), NotFoundError);
  }

  TEST_CASE("WAV files that are cut short, compressed or empty") {
    const std::string_view pcm16("\x01\0\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0", 16);
    const std::string good = wav(pcm16, std::string_view("\0\x40\0\xC0", 4), 4);
    const Sound sound = parse_wav(good, "a.wav");
    CHECK(sound.sampling_rate_hz == 8000);
    REQUIRE(sound.samples.size() == 2);
    CHECK(sound.samples[0] == 0.5F);
    CHECK(sound.samples[1] == -0.5F);
    CHECK(parse_wav(wav(pcm16, std::string_view("\0\x40\0\xC0", 4), 0xFFFFFFFFu), "a.wav").samples.size() == 2);
    CHECK_THROWS_WITH_AS(parse_wav(wav(pcm16, "ab", 1000), "a.wav"), doctest::Contains("a.wav: cut short"), FormatError);
    CHECK_THROWS_AS(parse_wav(wav(pcm16, "", 0), "a.wav"), FormatError);
    std::string alaw(pcm16);
    alaw[0] = 6;
    CHECK_THROWS_AS(parse_wav(wav(alaw, "ab", 2), "a.wav"), UnsupportedError);
    for (std::size_t size = 0; size < good.size(); ++size) CHECK_THROWS_AS(parse_wav(std::string_view(good).substr(0, size), "a.wav"), Error);
  }
}
