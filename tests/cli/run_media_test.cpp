// SPDX-License-Identifier: Apache-2.0
// `bigmodel run --input` of pictures and sounds: as the tensors that the reference's processors make of them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bigmodel/engine/inputs/image_processor.h"
#include "bigmodel/engine/tensor_file.h"
#include "bigmodel/io/read_file.h"
#include "cli/run_binary.h"
#include "support/golden_folders.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

/// The small models of tests/golden/engine.
struct Models {
  Models() { unpack_archive(golden_path("engine") / "cases.tar.xz", folder.path()); }
  TempFolder folder;
};

std::string media(const char* name) { return (golden_path("inputs") / name).string(); }

}  // namespace

TEST_SUITE("cli/run_media") {
  TEST_CASE("a picture gives what its pixel values give, PNG and JPEG, colours, grey, palette and transparency") {
    const Models models;
    const fs::path model = models.folder / "resnet";
    const fs::path config = models.folder.write("resnet/preprocessor_config.json", R"({"image_processor_type": "ViTImageProcessor", "size": 40, "resample": 3})");
    int pictures = 0;
    for (const auto& entry : fs::directory_iterator(golden_path("inputs"))) {
      if (!entry.is_directory()) continue;
      fs::path picture = entry.path() / "picture.png";
      if (!fs::exists(picture)) picture = entry.path() / "picture.jpg";
      if (!fs::exists(picture)) continue;
      ++pictures;
      CAPTURE(picture.string());
      const auto expected = read_tensor_file(entry.path() / "expected.safetensors");
      const Tensor& rgb = expected.at("rgb");
      PixelImage image{rgb.shape()[0], rgb.shape()[1], {}};
      for (std::int64_t i = 0; i < rgb.count(); ++i) image.rgb.push_back(static_cast<std::uint8_t>(rgb.i64()[i]));
      write_tensor_file(models.folder / "in.safetensors", {{"pixel_values", pixel_values(image, read_image_processor(config))}});
      const RunResult of_picture = run_binary({"run", model.string(), "--input", picture.string(), "--logits", (models.folder / "a").string()});
      CHECK(of_picture.err.find("error") == std::string::npos);
      REQUIRE(of_picture.exit_code == 0);
      REQUIRE(run_binary({"run", model.string(), "--input", (models.folder / "in.safetensors").string(), "--logits", (models.folder / "b").string()}).exit_code == 0);
      CHECK(read_file(models.folder / "a", 1 << 24) == read_file(models.folder / "b", 1 << 24));
    }
    CHECK(pictures == 8);
  }

  TEST_CASE("a sound gives what its samples and spectra give") {
    const Models models;
    const auto same = [&](const char* model, const char* sound, const char* config, bool transcribes) {
      CAPTURE(sound);
      const fs::path folder = models.folder / model;
      fs::copy_file(media(sound) + std::string("/preprocessor_config.json"), folder / "preprocessor_config.json", fs::copy_options::overwrite_existing);
      if (config != nullptr) models.folder.write(fmt::format("{}/preprocessor_config.json", model), config);
      std::vector<std::string> args = {"run", folder.string(), "--input", media(sound) + "/sound.wav", "--json"};
      if (transcribes) args.insert(args.end(), {"--greedy", "--max-new-tokens", "3"});
      const RunResult r = run_binary(args);
      CHECK(r.err.find("error") == std::string::npos);
      CHECK(r.exit_code == 0);
      return r;
    };
    same("wav2vec2", "wav2vec2_16_bits_stereo", nullptr, false);
    // As many frames as this whisper's positions: 40 frames of 0.025 s.
    const RunResult longer = same("whisper", "whisper_longer", R"({"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 8, "chunk_length": 1, "hop_length": 400})", true);
    CHECK(longer.err.find("the last 0.2 s are left out") != std::string::npos);
  }

  TEST_CASE("pictures and sounds that cannot be read are told by name") {
    const Models models;
    const fs::path resnet = models.folder / "resnet";
    const auto run = [&](const fs::path& file, const fs::path& model) { return run_binary({"run", model.string(), "--input", file.string()}); };
    CHECK(run(media("vit_bilinear/picture.png"), resnet).exit_code != 0);   // no preprocessor_config.json
    models.folder.write("resnet/preprocessor_config.json", R"({"image_processor_type": "ViTImageProcessor", "size": 40})");
    for (const char* name : {"vit_bilinear/picture.png", "vit_larger/picture.jpg"}) {
      const std::string whole = read_file(media(name), 1 << 20);
      for (const std::size_t size : {std::size_t{12}, std::size_t{40}, whole.size() / 2, whole.size() - 30}) {
        CAPTURE(size);
        const RunResult r = run(models.folder.write("cut", whole.substr(0, size)), resnet);
        CHECK(r.exit_code == 6);
        CHECK(r.err.find("cut: a ") != std::string::npos);
      }
    }
    CHECK(run(media("whisper_float/sound.wav"), resnet).exit_code == 6);    // a processor of pictures
    CHECK(run_binary({"run", "--input", media("vit_bilinear/picture.png")}).exit_code == 2);
  }
}

}  // namespace bigmodel::test
