// SPDX-License-Identifier: Apache-2.0
// `bigmodel run --input` of pictures and sounds: as the tensors that the reference's processors make of them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
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
using Json = nlohmann::ordered_json;

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

  TEST_CASE("a prompt with a picture is what its ids and pixel values are, and goes on") {
    const TempFolder folder;
    folder.write("c/config.json", R"({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "image_token_index": 512, "vision_feature_layer": -2,
      "vision_config": {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 24, "patch_size": 8},
      "text_config": {"model_type": "llama", "vocab_size": 520, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}})");
    const std::string model = (folder / "m").string();
    const RunResult made = run_binary({"init", (folder / "c/config.json").string(), "--class", "auto", "--dtype", "float32", "-o", model});
    REQUIRE_MESSAGE(made.exit_code == 0, made.err);
    Json tokenizer = Json::parse(read_file(source_root() / "apps/bigmodel/demo_model/tokenizer.json", 1 << 24));
    Json mark = tokenizer.at("added_tokens").at(0);
    mark["id"] = 512;
    mark["content"] = "<image>";
    tokenizer["added_tokens"].push_back(mark);
    folder.write("m/tokenizer.json", tokenizer.dump());
    const fs::path config = folder.write("m/preprocessor_config.json", R"({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}})");
    const std::string picture = media("vit_bilinear/picture.png");
    const auto run = [&](std::vector<std::string> more) {
      more.insert(more.begin(), {"run", model, "--greedy", "--max-new-tokens", "3", "--json"});
      return run_binary(more);
    };
    const auto logits = [&](const char* name) { return read_tensor_file(folder / name).at("logits"); };
    const RunResult r = run({"-p", "Ben saw <image> there", "--image", picture, "--logits", (folder / "a").string()});
    REQUIRE_MESSAGE(r.exit_code == 0, r.err);
    const Json ids = Json::parse(r.out).at("prompt_ids").at(0);
    CHECK(std::count(ids.begin(), ids.end(), Json(512)) == 9);   // 3 x 3 patches; the class token is not taken
    CHECK(Json::parse(r.out).at("output_ids").at(0).size() == 3);
    const auto expected = read_tensor_file(golden_path("inputs") / "vit_bilinear" / "expected.safetensors");
    const Tensor& rgb = expected.at("rgb");
    PixelImage image{rgb.shape()[0], rgb.shape()[1], {}};
    for (std::int64_t i = 0; i < rgb.count(); ++i) image.rgb.push_back(static_cast<std::uint8_t>(rgb.i64()[i]));
    const auto numbers = ids.get<std::vector<std::int64_t>>();
    write_tensor_file(folder / "in.safetensors", {{"input_ids", Tensor::of_ids({1, static_cast<std::int64_t>(numbers.size())}, numbers)}, {"pixel_values", pixel_values(image, read_image_processor(config))}});
    REQUIRE(run_binary({"run", model, "--input", (folder / "in.safetensors").string(), "--logits", (folder / "b").string()}).exit_code == 0);
    const Tensor a = logits("a"), b = logits("b");
    REQUIRE(a.count() == b.count());
    CHECK(std::equal(a.f32(), a.f32() + a.count(), b.f32()));
    // Another picture gives other scores; two stand where they are marked.
    REQUIRE(run({"-p", "Ben saw <image> there", "--image", media("vit_larger/picture.jpg"), "--logits", (folder / "other").string()}).exit_code == 0);
    const Tensor c = logits("other");
    CHECK_FALSE(std::equal(a.f32(), a.f32() + a.count(), c.f32()));
    const RunResult two = run({"-p", "<image> and <image>", "--image", picture, "--image", picture});
    CHECK_MESSAGE(two.exit_code == 0, two.err);
    // Without a mark it stands in front, which is said; the template places it by itself.
    const RunResult front = run({"-p", "Ben", "--image", picture});
    CHECK(front.err.find("the prompt has no <image>: the picture stands before it") != std::string::npos);
    CHECK(Json::parse(front.out).at("prompt_ids") == Json::parse(run({"-p", "<image>\nBen", "--image", picture}).out).at("prompt_ids"));
    folder.write("m/chat_template.jinja", "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}");
    const RunResult chat = run({"-p", "Ben", "--image", picture, "--chat"});
    REQUIRE_MESSAGE(chat.exit_code == 0, chat.err);
    const Json placed = Json::parse(chat.out).at("prompt_ids").at(0);
    CHECK(std::count(placed.begin(), placed.end(), Json(512)) == 9);
    // A processor that counts otherwise than the tower is told, not followed.
    const auto refused = [&](std::vector<std::string> more, int code, const char* words) {
      const RunResult no = run(std::move(more));
      CHECK(no.exit_code == code);
      CHECK_MESSAGE(no.err.find(words) != std::string::npos, no.err);
    };
    refused({"-p", "<image><image>", "--image", picture}, 2, "--image: the prompt has places for 2 pictures, got 1");
    refused({"--ids", "1,2", "--image", picture}, 2, "--image: belongs to one prompt of text");
    folder.write("m/processor_config.json", R"({"patch_size": 12, "num_additional_image_tokens": 1})");
    refused({"-p", "<image>", "--image", picture}, 2, "gives 9 rows for 4 image tokens");
    folder.write("m/processor_config.json", R"({"patch_size": 8, "num_additional_image_tokens": 1})");
    CHECK(run({"-p", "<image>", "--image", picture}).exit_code == 0);
    folder.write("m/processor_config.json", R"({"patch_size": 8})");
    CHECK(run({"-p", "<image>", "--image", picture}).exit_code == 0);
    const RunResult demo = run_binary({"run", "-p", "a", "--image", picture});
    CHECK(demo.exit_code == 2);
    CHECK_MESSAGE(demo.err.find("--image: LlamaForCausalLM does not continue text with pictures in it") != std::string::npos, demo.err);
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
