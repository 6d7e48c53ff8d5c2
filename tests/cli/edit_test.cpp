// SPDX-License-Identifier: Apache-2.0
// `bigmodel edit` from outside: a vocabulary that grows, shrinks and is refused; heads that are taken out.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/io/read_file.h"
#include "cli/json_schema.h"
#include "cli/run_binary.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

/// A folder with the checkpoint "m": a tiny llama of 96 tokens, tied or not, in float32.
struct EditFolder {
  TempFolder folder;

  explicit EditFolder(bool tied, Words init_more = {}) {
    folder.write("config.json", std::string(R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 96, "hidden_size": 32,
      "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "torch_dtype": "float32",
      "tie_word_embeddings": )") + (tied ? "true}" : "false}"));
    Words args{"init", "config.json", "--class", "auto", "-o", "m"};
    args.insert(args.end(), init_more.begin(), init_more.end());
    REQUIRE(run(args).exit_code == 0);
  }

  RunResult run(const Words& args) const { return run_binary(args, {.folder = folder.path().string()}); }
  RunResult edit(Words args) const {
    args.insert(args.begin(), {"edit", "m"});
    return run(args);
  }
  std::vector<float> values(const char* checkpoint, const char* name) const {
    const Disk disk;
    const Checkpoint opened = open_checkpoint(folder / checkpoint);
    const std::vector<std::byte> bytes = TensorReader(opened, disk).read_all(*opened.find(name));
    std::vector<float> out(bytes.size() / sizeof(float));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  std::ptrdiff_t entries() const { return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}); }
};

}  // namespace

TEST_SUITE("cli/edit") {
  TEST_CASE("old tokens keep their rows, new ones are the mean, embeddings and head both grow, and the model runs") {
    const EditFolder at(false);
    const RunResult r = at.edit({"--resize-vocab", "97", "--pad_to_multiple_of", "8", "--mean-resizing", "-o", "larger", "--json"});
    CHECK_MESSAGE(r.exit_code == 0, r.err);
    CHECK(faults_of("edit", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(json["vocab_size"] == 104);
    CHECK(json["resized"].size() == 2);
    CHECK(json["resized"][0]["to"] == Json{104, 32});
    CHECK(Json::parse(read_file(at.folder / "larger/config.json", 10000))["vocab_size"] == 104);
    for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
      const std::vector<float> old = at.values("m", name), now = at.values("larger", name);
      REQUIRE(now.size() == 104 * 32);
      CHECK(std::equal(old.begin(), old.end(), now.begin()));
      for (std::size_t column = 0; column < 32; ++column) {
        double sum = 0;
        for (std::size_t row = 0; row < 96; ++row) sum += static_cast<double>(old[row * 32 + column]);
        for (std::size_t row = 96; row < 104; ++row) CHECK(now[row * 32 + column] == doctest::Approx(sum / 96));
      }
    }
    CHECK(at.values("m", "model.norm.weight") == at.values("larger", "model.norm.weight"));
    CHECK(at.run({"verify", "larger"}).exit_code == 0);
    CHECK(at.run({"run", "larger", "--ids", "1,103", "--max-new-tokens", "2", "--json"}).exit_code == 0);
    CHECK(at.entries() == 3);
  }

  TEST_CASE("tied names stay one tensor, .bin stays .bin, shards stay within their limit, zeros where no mean is wanted") {
    const EditFolder at(true, {"--format", "bin"});
    CHECK(at.edit({"--resize-vocab", "98", "--no-mean-resizing", "-o", "zeros", "-s", "20KB"}).exit_code == 0);
    const Checkpoint zeros = open_checkpoint(at.folder / "zeros");
    CHECK(zeros.files.size() > 1);
    CHECK(zeros.files.front().name.ends_with(".bin"));
    CHECK(zeros.tensors.size() == open_checkpoint(at.folder / "m").tensors.size());
    const std::vector<float> now = at.values("zeros", "model.embed_tokens.weight");
    CHECK(now.size() == 98 * 32);
    CHECK(std::all_of(now.end() - 64, now.end(), [](float x) { return x == 0; }));
    CHECK(at.edit({"--resize-vocab", "10", "-o", "zeros", "--force"}).exit_code == 0);
    CHECK(at.values("zeros", "model.embed_tokens.weight").size() == 320);
    CHECK(at.run({"run", "zeros", "--ids", "1,2", "--max-new-tokens", "2"}).exit_code == 0);
  }

  TEST_CASE("heads are taken out, with another vocabulary at once, and every command reads what is left") {
    const EditFolder at(true, {"--dtype", "bfloat16"});
    const RunResult r = at.edit({"--prune-heads", "0:0,1;1:2,3", "--resize-vocab", "100", "-o", "small", "--json"});
    CHECK_MESSAGE(r.exit_code == 0, r.err);
    CHECK(faults_of("edit", r.out) == "");
    const Json json = Json::parse(r.out);
    CHECK(json["pruned_heads"] == Json{{"0", {0, 1}}, {"1", {2, 3}}});
    CHECK(json["vocab_size"] == 100);
    CHECK(json["resized"].size() == 9);
    CHECK(Json::parse(read_file(at.folder / "small/config.json", 10000))["pruned_heads"] == json["pruned_heads"]);
    const Checkpoint small = open_checkpoint(at.folder / "small");
    CHECK(small.find("model.layers.0.self_attn.q_proj.weight")->shape == Shape{16, 32});
    CHECK(small.find("model.layers.0.self_attn.k_proj.weight")->shape == Shape{8, 32});
    CHECK(small.find("model.layers.1.self_attn.o_proj.weight")->shape == Shape{32, 16});
    CHECK(at.run({"verify", "small"}).exit_code == 0);
    CHECK(at.run({"run", "small", "--ids", "1,99", "--max-new-tokens", "2"}).exit_code == 0);
    CHECK(at.run({"estimate-memory", "small", "--exact", "--class", "auto"}).exit_code == 0);
    // What is gone is passed over; the numbers stay those of the whole model.
    CHECK(at.run({"edit", "small", "--prune-heads", "0:0,1", "-o", "same"}).exit_code == 0);
    CHECK(open_checkpoint(at.folder / "same").tensor_bytes() == small.tensor_bytes());
    CHECK(at.run({"edit", "small", "--prune-heads", "0:2,3", "-o", "none"}).exit_code == 2);
    CHECK(at.entries() == 4);
  }

  TEST_CASE("what cannot be edited ends with its own exit code, and leaves nothing") {
    const EditFolder at(true);
    at.folder.write("full/x", "x");
    at.folder.write("wrong/config.json", R"({"model_type": "llama", "vocab_size": 95, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
      "num_key_value_heads": 2, "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": true})");
    fs::copy_file(at.folder / "m/model.safetensors", at.folder / "wrong/model.safetensors");
    at.folder.write("image/config.json", R"({"model_type": "resnet", "architectures": ["ResNetModel"]})");
    fs::copy_file(at.folder / "m/model.safetensors", at.folder / "image/model.safetensors");
    const std::ptrdiff_t entries = at.entries();
    const auto fails = [&](Words args, int code, const char* words) {
      args.insert(args.begin(), "edit");
      const RunResult r = at.run(args);
      CHECK_MESSAGE(r.exit_code == code, r.err);
      CHECK_MESSAGE(r.err.find(words) != std::string::npos, r.err);
      CHECK(at.entries() == entries);
    };
    fails({"m", "-o", "n"}, 2, "nothing to change");
    fails({"m", "--prune-heads", "0:1", "--no-mean-resizing", "-o", "n"}, 2, "belongs to --resize-vocab");
    fails({"m", "--prune-heads", "0=1", "-o", "n"}, 2, "write LAYER:HEAD,HEAD");
    fails({"m", "--prune-heads", "0:1", "-o", "n"}, 6, "heads 0 to 1 share one key and value head");
    fails({"m", "--prune-heads", "0:0,1,2,3", "-o", "n"}, 2, "would have no head left");
    fails({"m", "--prune-heads", "7:0,1", "-o", "n"}, 2, "there is no layer 7, expected 0 to 1");
    fails({"m", "--resize-vocab", "97"}, 2, "give --output");
    fails({"m", "--resize-vocab", "0", "-o", "n"}, 2, "expected 1 or more");
    fails({"m", "--resize-vocab", "97", "--pad-to-multiple-of", "0", "-o", "n"}, 2, "expected 1 or more");
    fails({"m", "--resize-vocab", "9223372036854775807", "--pad-to-multiple-of", "64", "-o", "n"}, 6, "the vocabulary");
    fails({"m", "--resize-vocab", "97", "--mean-resizing", "--no-mean-resizing", "-o", "n"}, 2, "contradicts");
    fails({"m", "--resize-vocab", "97", "-o", "full"}, 2, "--force");
    // The output is looked at before the tensors: this checkpoint does not fit its config either.
    fails({"wrong", "--resize-vocab", "97", "-o", "full"}, 2, "--force");
    fails({"m", "--resize-vocab", "97", "-o", "m"}, 2, "m");
    fails({"m", "--resize-vocab", "97", "-o", "none/such"}, 3, "none");
    fails({"none", "--resize-vocab", "97", "-o", "n"}, 3, "none");
    fails({"wrong", "--resize-vocab", "97", "-o", "n"}, 6, "expected [95, 32] by its config");
    fails({"image", "--resize-vocab", "97", "-o", "n"}, 6, "states no vocab_size");
  }
}

}  // namespace bigmodel::test
