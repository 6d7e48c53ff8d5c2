// SPDX-License-Identifier: Apache-2.0
// `estimate-memory` of pipelines, sentence-transformers models, adapters and GGUF files, by the headers of files that hold no weights.
#include <doctest/doctest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/loopback_hub.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

/// One tensor of zeros.
std::string safetensors(const std::string& dtype, std::int64_t elements, int width) {
  const std::int64_t bytes = elements * width;
  const std::string header = R"({"w": {"dtype": ")" + dtype + R"(", "shape": [)" + std::to_string(elements) + R"(], "data_offsets": [0, )" + std::to_string(bytes) + "]}}";
  return safetensors_file(header, std::string(static_cast<std::size_t>(bytes), '\0'));
}

struct GgufText {
  std::string bytes;
  template <typename T>
  GgufText& number(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes.append(raw, sizeof(T));
    return *this;
  }
  GgufText& text(std::string_view value) {
    number<std::uint64_t>(value.size());
    bytes += value;
    return *this;
  }
};

/// A q4_k matrix of [2, 256] and a float vector of 2.
std::string gguf(const std::string& architecture, std::uint32_t matrix_type = 12) {
  GgufText out;
  out.bytes = "GGUF";
  out.number<std::uint32_t>(3).number<std::uint64_t>(2).number<std::uint64_t>(2);
  out.text("general.architecture").number<std::uint32_t>(8).text(architecture);
  out.text("tokens").number<std::uint32_t>(9).number<std::uint32_t>(8).number<std::uint64_t>(2).text("a").text("b");
  out.text("blk.0.w").number<std::uint32_t>(2).number<std::uint64_t>(256).number<std::uint64_t>(2).number(matrix_type).number<std::uint64_t>(0);
  out.text("norm").number<std::uint32_t>(1).number<std::uint64_t>(2).number<std::uint32_t>(0).number<std::uint64_t>(288);
  out.bytes.resize((out.bytes.size() + 31) / 32 * 32 + 288 + 8);
  return out.bytes;
}

Json priced(const std::string& path) {
  const RunResult r = run_binary({"estimate-memory", path, "--json"});
  CAPTURE(r.err);
  CHECK(r.exit_code == 0);
  CHECK(faults_of("estimate-memory", r.out) == "");
  return Json::parse(r.out);
}

}  // namespace

TEST_SUITE("cli/estimate_components") {
  TEST_CASE("a GGUF file whose layers have key-value heads of their own (LFM2: first none) is priced as stored, and promises no cache") {
    const TempFolder folder;
    GgufText text;
    text.bytes = "GGUF";
    text.number<std::uint32_t>(3).number<std::uint64_t>(1).number<std::uint64_t>(2);
    text.text("general.architecture").number<std::uint32_t>(8).text("lfm2");
    text.text("lfm2.attention.head_count_kv").number<std::uint32_t>(9).number<std::uint32_t>(5).number<std::uint64_t>(3);
    text.number<std::int32_t>(0).number<std::int32_t>(8).number<std::int32_t>(0);
    text.text("norm").number<std::uint32_t>(1).number<std::uint64_t>(2).number<std::uint32_t>(0).number<std::uint64_t>(0);
    text.bytes.resize((text.bytes.size() + 31) / 32 * 32 + 8);
    const std::string path = folder.write("lfm2.gguf", text.bytes).string();
    CHECK(priced(path)["components"][0]["bytes"] == 8);
    for (const char* question : {"--context", "--device"}) {
      const RunResult r = run_binary({"estimate-memory", path, question, question == std::string_view("--context") ? "32768" : "80GiB"});
      CHECK(r.exit_code == 6);
      CHECK(r.err.find("has no key 'lfm2.block_count'") != std::string::npos);
    }
  }

  TEST_CASE("what running a GGUF file takes: weights as they are, caches by its metadata") {
    const TempFolder folder;
    // Two layers of width 64: 120 * 64 words, twice, and 2 * (4 * 64 * 64 - 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64.
    const std::int64_t parameters = 2 * 120 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64;
    const auto file = [&](const char* name, const std::string& architecture, std::int64_t elements, std::uint32_t heads = 4) {
      GgufText text;
      text.bytes = "GGUF";
      text.number<std::uint32_t>(3).number<std::uint64_t>(1).number<std::uint64_t>(9);
      text.text("general.architecture").number<std::uint32_t>(8).text(architecture);
      const auto fact = [&](const char* key, std::uint32_t value) { text.text(architecture + "." + key).number<std::uint32_t>(4).number<std::uint32_t>(value); };
      fact("block_count", 2);
      fact("embedding_length", 64);
      fact("feed_forward_length", 128);
      fact("attention.head_count", heads);
      fact("context_length", 4096);
      text.text(architecture + ".attention.head_count_kv").number<std::uint32_t>(9).number<std::uint32_t>(5).number<std::uint64_t>(2);
      text.number<std::int32_t>(2).number<std::int32_t>(2);
      text.text("tokenizer.ggml.tokens").number<std::uint32_t>(9).number<std::uint32_t>(8).number<std::uint64_t>(120);
      for (int i = 0; i < 120; ++i) text.text("t");
      text.text("general.file_type").number<std::uint32_t>(4).number<std::uint32_t>(1);
      text.text("all").number<std::uint32_t>(1).number<std::uint64_t>(static_cast<std::uint64_t>(elements)).number<std::uint32_t>(1).number<std::uint64_t>(0);
      text.bytes.resize((text.bytes.size() + 31) / 32 * 32 + static_cast<std::size_t>(elements) * 2);
      return folder.write(name, text.bytes).string();
    };
    const std::string llama = file("llama.gguf", "llama", parameters);
    const RunResult r = run_binary({"estimate-memory", llama, "--context", "1000", "--kv-dtype", "q8_0", "--engine", "llama.cpp", "--json"});
    REQUIRE_MESSAGE(r.exit_code == 0, r.err);
    CHECK(faults_of("estimate-memory", r.out) == "");
    const Json row = Json::parse(r.out)["inference"]["dtypes"][0];
    CHECK(row["weights_bytes"] == parameters * 2);
    // Keys and values of 32 elements in blocks of 34 bytes, two layers, 1024 cells.
    CHECK(row["kv_cache"]["bytes"] == 1024 * 2 * 2 * 34);
    CHECK(run_binary({"estimate-memory", llama, "--device", "24GiB", "--fits"}).exit_code == 0);
    CHECK(run_binary({"estimate-memory", llama, "--context", "1000"}).out.find("KV cache") != std::string::npos);
    // Metadata of another model than the tensors', an architecture that nobody described: no figure.
    for (const std::string& path : {file("other.gguf", "llama", parameters * 2), file("alien.gguf", "alien", parameters)}) {
      const RunResult refused = run_binary({"estimate-memory", path, "--context", "1000"});
      CHECK_MESSAGE(refused.exit_code == 6, refused.err);
      CHECK(refused.err.find("is not told") != std::string::npos);
      CHECK(run_binary({"estimate-memory", path}).exit_code == 0);
    }
    CHECK(run_binary({"estimate-memory", llama, "--train", "full"}).exit_code == 2);
  }

  TEST_CASE("repositories of the Hub, by byte ranges") {
    const TempFolder home;
    const LoopbackHub hub;
    const auto run = [&](std::vector<std::string> more) {
      more.insert(more.begin(), "estimate-memory");
      return run_binary(more, {.environment = {{"HF_HOME", home.path().string()}, {"HF_HUB_OFFLINE", "0"}, {"HF_ENDPOINT", hub.endpoint()}}});
    };
    const auto json = [&](std::vector<std::string> more) {
      more.emplace_back("--json");
      const RunResult r = run(more);
      CAPTURE(r.err);
      CHECK(r.exit_code == 0);
      CHECK(faults_of("estimate-memory", r.out) == "");
      return Json::parse(r.out);
    };
    const Json pipeline = json({"parts/pipeline"});
    CHECK(pipeline["class"] == "SomePipeline");
    REQUIRE(pipeline["components"].size() == 2);
    CHECK(pipeline["components"][0]["bytes"] == 48);
    CHECK(pipeline["total_bytes"] == 72);
    CHECK(pipeline["warnings"].size() == 1);  // vae is not there
    const Json adapter = json({"parts/adapter"});
    CHECK(adapter["components"][0]["bytes"] == 24);
    CHECK(adapter["components"][1]["parameters"] == 124439808);
    const Json sentences = json({"parts/sentences", "--exact"});
    REQUIRE(sentences["components"].size() == 2);
    CHECK(sentences["components"][1]["bytes"] == 48);
    // Two files of a set; the header of the first is longer than what is read at once.
    const Json gguf = json({"parts/gguf"});
    CHECK(gguf["library"] == "gguf");
    CHECK(gguf["total_bytes"] == 16);
    CHECK(json({hub.endpoint() + "/parts/quants/blob/main/q4.gguf"})["total_bytes"] == 8);
    const RunResult several = run({"parts/quants"});
    CHECK(several.exit_code == 2);
    CHECK(several.err.find("q4.gguf, q8.gguf") != std::string::npos);
    CHECK(run({"parts/cut"}).exit_code == 6);
    const RunResult nothing = run({"parts/nothing"});
    CHECK(nothing.exit_code == 3);
    CHECK(nothing.err.find("has no config.json") != std::string::npos);
    CHECK(run({"parts/absent"}).exit_code == 3);
    for (const auto& request : hub.requests()) {
      if (request.server == "cdn") CHECK(request.headers.contains("range"));
    }
  }

  TEST_CASE("a diffusers pipeline, part by part; of two precisions the one without a variant") {
    const TempFolder folder;
    folder.write("model_index.json", R"({"_class_name": "SomePipeline", "unet": ["diffusers", "UNet"], "text_encoder": ["transformers", "CLIPTextModel"],
        "scheduler": ["diffusers", "DDIM"], "vae": ["diffusers", "VAE"], "safety_checker": [null, null]})");
    folder.write("unet/diffusion_pytorch_model.safetensors", safetensors("F32", 10, 4));
    folder.write("unet/diffusion_pytorch_model.fp16.safetensors", safetensors("F16", 10, 2));
    folder.write("text_encoder/model.safetensors", safetensors("F16", 7, 2));
    folder.write("scheduler/scheduler_config.json", "{}");
    const Json json = priced(folder.path().string());
    CHECK(json["library"] == "diffusers");
    CHECK(json["class"] == "SomePipeline");
    CHECK(json["total_bytes"] == 54);
    REQUIRE(json["components"].size() == 2);
    CHECK(json["components"][0]["name"] == "unet");
    CHECK(json["components"][0]["dtypes"] == Json::parse(R"({"float32": 40})"));
    CHECK(json["warnings"].size() == 1);  // vae is not here
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--strict"}).exit_code == 1);
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--context", "5"}).exit_code == 2);
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--format", "accelerate"}).exit_code == 2);
    CHECK(run_binary({"estimate-memory", folder.path().string(), "--quiet"}).out == "54\n");
    CHECK(run_binary({"estimate-memory", folder.path().string()}).out.find("SomePipeline, 17 parameters, 54 B as stored") != std::string::npos);
  }

  TEST_CASE("a sentence-transformers model has parts beside its table") {
    const TempFolder folder;
    folder.write("config.json", R"({"model_type": "bert", "num_hidden_layers": 1})");
    folder.write("model.safetensors", safetensors("F32", 3, 4));
    folder.write("modules.json", R"([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}])");
    folder.write("1_Pooling/config.json", "{}");
    folder.write("2_Dense/model.safetensors", safetensors("F32", 5, 4));
    const Json json = priced(folder.path().string());
    CHECK(json["dtypes"].size() == 4);
    REQUIRE(json["components"].size() == 2);
    CHECK(json["components"][1]["class"] == "Dense");
    CHECK(json["components"][1]["bytes"] == 20);
  }

  TEST_CASE("an adapter and what it stands on") {
    const TempFolder folder;
    folder.write("adapter_config.json", R"({"peft_type": "LORA", "base_model_name_or_path": "gpt2"})");
    folder.write("adapter_model.safetensors", safetensors("F32", 100, 4));
    const Json json = priced(folder.path().string());
    CHECK(json["library"] == "peft");
    CHECK(json["components"][0]["bytes"] == 400);
    CHECK(json["components"][1]["name"] == "gpt2");
    CHECK(json["components"][1]["parameters"] == 124439808);
    folder.write("adapter_config.json", R"({"peft_type": "LORA", "base_model_name_or_path": "no/such"})");
    const Json alone = priced(folder.path().string());
    CHECK(alone["total_bytes"] == 400);
    CHECK(alone["warnings"].size() == 1);
  }

  TEST_CASE("GGUF: blocks by type, a projector, a set of files, several quants") {
    const TempFolder folder;
    const std::string path = folder.write("m.gguf", gguf("llama")).string();
    const Json json = priced(path);
    CHECK(json["library"] == "gguf");
    CHECK(json["class"] == "llama");
    CHECK(json["parameters"] == 514);
    CHECK(json["total_bytes"] == 2 * 144 + 8);
    CHECK(json["components"][0]["dtypes"] == Json::parse(R"({"q4_k": 288, "f32": 8})"));
    folder.write("mmproj.gguf", gguf("clip"));
    CHECK(priced(folder.path().string())["components"].size() == 2);
    folder.write("other.gguf", gguf("llama"));
    CHECK(run_binary({"estimate-memory", folder.path().string()}).exit_code == 2);
    const std::string first = folder.write("set/x-00001-of-00002.gguf", gguf("llama")).string();
    CHECK(run_binary({"estimate-memory", first}).exit_code == 3);
    folder.write("set/x-00002-of-00002.gguf", gguf("llama"));
    CHECK(priced((folder / "set").string())["total_bytes"] == 2 * 296);
  }

  TEST_CASE("a broken GGUF file is an error, whatever it claims") {
    const TempFolder folder;
    const std::string whole = gguf("llama");
    for (std::size_t size = 0; size < whole.size(); size += 13) {
      CHECK(run_binary({"estimate-memory", folder.write("cut.gguf", whole.substr(0, size)).string()}).exit_code == 6);
    }
    CHECK(run_binary({"estimate-memory", folder.write("type.gguf", gguf("llama", 99)).string()}).exit_code == 6);
    std::string huge = whole;
    for (const std::size_t at : {8, 16, 24}) {
      std::string one = huge;
      one.replace(at, 8, std::string(8, '\x7f'));
      CHECK(run_binary({"estimate-memory", folder.write("huge.gguf", one).string()}).exit_code == 6);
    }
    std::string old = whole;
    old[4] = 1;
    CHECK(run_binary({"estimate-memory", folder.write("old.gguf", old).string()}).exit_code == 6);
  }
}

}  // namespace bigmodel::test
