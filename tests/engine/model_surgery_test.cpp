// SPDX-License-Identifier: Apache-2.0
// Embeddings and heads of models in memory, resized, tied and pruned; what is saved afterwards; layerwise casting of what runs.
#include "bigmodel/engine/model_surgery.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/checkpoint/shard_job.h"
#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/big_modeling.h"
#include "bigmodel/engine/from_pretrained.h"
#include "bigmodel/engine/modules.h"
#include "bigmodel/engine/prune_checkpoint.h"
#include "bigmodel/io/read_file.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

constexpr const char* kBert = R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48,
  "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 16})";
constexpr const char* kGpt2 = R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16})";
constexpr const char* kLlama = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": false})";

spec::SpecLibrary& library() {
  static spec::SpecLibrary out(embedded::architectures_files());
  return out;
}

std::unique_ptr<LoadedModel> made(const char* config, std::uint64_t seed = 3) { return from_config(library(), parse_config(config, "config.json"), "float32", seed); }

std::vector<float> scores(LoadedModel& model) {
  ForwardState state;
  state.length = 5;
  place_tokens(state);
  const std::int64_t ids[] = {1, 7, 3, 20, 9};
  const Tensor out = model.forward(Tensor::of_ids({1, 5}, ids), state);
  return {out.f32(), out.f32() + out.count()};
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

std::vector<float> values(const StoredTensor& t) {
  const StoredTensor wide = cast(t, DType::float32);
  std::vector<float> out(static_cast<std::size_t>(element_count(wide.view.shape)));
  std::memcpy(out.data(), wide.view.data, out.size() * sizeof(float));
  return out;
}

/// What the layer's output gives for a head becomes nothing: [out, in] or, of a Conv1D, [in, out].
void silence(LoadedModel& model, const std::string& projection, int head, int head_dim, bool conv1d) {
  ModuleTensor& weight = *find_tensor(model.root(), projection + ".weight");
  std::vector<float> all = values(weight);
  const auto columns = static_cast<std::size_t>(weight.view.shape[1]);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::size_t in = conv1d ? i / columns : i % columns;
    if (in / static_cast<std::size_t>(head_dim) == static_cast<std::size_t>(head)) all[i] = 0;
  }
  weight.set(stored_tensor(DType::float32, weight.view.shape, std::as_bytes(std::span(all))));
}

}  // namespace

TEST_SUITE("engine/model_surgery") {
  TEST_CASE("without some heads a model says what it says with their output silenced, in memory, saved and loaded, and from edited files") {
    struct Case {
      const char* config;
      const char* projection;
      bool conv1d;
    };
    for (const Case& c : {Case{kBert, "bert.encoder.layer.{}.attention.output.dense", false}, Case{kGpt2, "transformer.h.{}.attn.c_proj", true}}) {
      const auto name = [&](int layer) {
        std::string out = c.projection;
        return out.replace(out.find("{}"), 2, std::to_string(layer));
      };
      const auto silenced = made(c.config);
      for (const int head : {1, 3}) silence(*silenced, name(0), head, 8, c.conv1d);
      silence(*silenced, name(1), 0, 8, c.conv1d);
      const std::vector<float> want = scores(*silenced);

      const auto model = made(c.config);
      CHECK(difference(scores(*model), want) > 1e-4);
      prune_heads(*model, library(), parse_heads("0:1"));
      prune_heads(*model, library(), parse_heads("0:1,3;1:0"));   // 1 is gone already; 3 keeps its number
      CHECK(difference(scores(*model), want) < 1e-6);
      CHECK(find_tensor(model->root(), name(0) + ".weight")->view.shape[c.conv1d ? 0 : 1] == 16);
      CHECK(nlohmann::json::parse(model->config_text())["pruned_heads"] == nlohmann::json{{"0", {1, 3}}, {"1", {0}}});
      CHECK(graph_totals(graph_of(model->root())).parameters == graph_totals(model->graph()).parameters);

      const TempFolder temp;
      save_pretrained(*model, temp / "pruned");
      CHECK(scores(*from_pretrained(library(), temp / "pruned")) == scores(*model));
      CHECK(difference(scores(*from_pretrained(library(), temp / "pruned", {.device_map = std::string("disk")})), want) < 1e-6);
      // The same from files.
      save_pretrained(*made(c.config), temp / "whole");
      const Config config = read_config(temp / "whole/config.json");
      const Checkpoint whole = open_checkpoint(temp / "whole");
      const Disk disk;
      const EditedCheckpoint edited = edit_checkpoint(whole, plan_pruning(library(), config, whole, parse_heads("0:1,3;1:0")).files, temp / "edited", disk, {});
      const Checkpoint saved = open_checkpoint(temp / "pruned");
      for (const CheckpointTensor& t : saved.tensors) {
        const CheckpointTensor* other = edited.checkpoint.find(t.name);
        REQUIRE(other != nullptr);
        CHECK(other->shape == t.shape);
        CHECK(TensorReader(edited.checkpoint, disk).read_all(*other) == TensorReader(saved, disk).read_all(t));
      }
    }
  }

  TEST_CASE("heads that share keys go together, and what cannot go is refused with nothing changed") {
    const auto model = made(kLlama);
    const std::vector<float> before = scores(*model);
    CHECK_THROWS_WITH_AS(prune_heads(*model, library(), parse_heads("0:1")), doctest::Contains("heads 0 to 1 share one key and value head"), UnsupportedError);
    CHECK_THROWS_WITH_AS(prune_heads(*model, library(), parse_heads("0:0,1,2,3")), doctest::Contains("would have no head left"), UsageError);
    CHECK_THROWS_WITH_AS(prune_heads(*model, library(), parse_heads("2:0,1")), doctest::Contains("there is no layer 2, expected 0 to 1"), UsageError);
    CHECK_THROWS_WITH_AS(prune_heads(*model, library(), parse_heads("0:4")), doctest::Contains("there is no head 4, expected 0 to 3"), UsageError);
    CHECK(scores(*model) == before);
    const auto silenced = made(kLlama);
    for (const int head : {2, 3}) silence(*silenced, "model.layers.1.self_attn.o_proj", head, 8, false);
    prune_heads(*model, library(), parse_heads("1:2,3"));
    CHECK(difference(scores(*model), scores(*silenced)) < 1e-6);
    CHECK(find_tensor(model->root(), "model.layers.1.self_attn.k_proj.weight")->view.shape == Shape{8, 32});

    for (const char* text : {"", "0", "0:", "a:1", "0:1;", "0:-1", "0:1,", ":1", "0:99999999999999999999"}) CHECK_THROWS_AS(parse_heads(text), UsageError);
    const auto refuses = [](const std::string& json, const char* words) { CHECK_THROWS_WITH_AS(build_meta_graph(library(), parse_config(json, "config.json")), doctest::Contains(words), Error); };
    const std::string base = R"({"model_type": "bert", "num_hidden_layers": 2, "pruned_heads": )";
    refuses(base + "[1]}", "pruned_heads: expected an object");
    refuses(base + R"({"x": [1]}})", "layer 'x'");
    refuses(base + R"({"0": [-1]}})", "pruned_heads");
    refuses(base + R"({"0": [12]}})", "there is no head 12");
    refuses(base + R"({"9": [1]}})", "there is no layer 9");
    refuses(R"({"model_type": "bloom", "n_layer": 2, "pruned_heads": {"0": [1]}})", "alibi may differ by head");
    refuses(R"({"model_type": "t5", "num_layers": 2, "pruned_heads": {"0": [1]}})", "heads cannot be taken out");
    CHECK(graph_totals(build_meta_graph(library(), parse_config(base + "{}}", "config.json"))).parameters > 0);
  }

  TEST_CASE("heads of weights that sleep are not taken out") {
    const TempFolder temp;
    save_pretrained(*made(kBert), temp / "m");
    const auto streamed = from_pretrained(library(), temp / "m", {.device_map = std::string("disk")});
    const std::vector<float> before = scores(*streamed);
    CHECK_THROWS_WITH_AS(prune_heads(*streamed, library(), parse_heads("0:1")), doctest::Contains("sleeps, so that its shape cannot be changed"), UsageError);
    CHECK_THROWS_WITH_AS(resize_token_embeddings(*streamed, library(), {.new_num_tokens = 60}), doctest::Contains("sleeps"), UsageError);
    CHECK(scores(*streamed) == before);
  }

  TEST_CASE("a vocabulary grows and shrinks in memory: old scores stay, ties stay, the config says it, and it is saved") {
    for (const char* text : {kBert, kLlama, kGpt2}) {
      const auto model = made(text);
      const std::vector<float> before = scores(*model);
      Module& input = get_input_embeddings(model->root());
      CHECK(input.layer_kind() == "Embedding");
      REQUIRE(get_output_embeddings(model->root()) != nullptr);
      CHECK(&resize_token_embeddings(*model, library(), {.new_num_tokens = 51, .pad_to_multiple_of = 8}) == &input);
      CHECK(input.find_tensor("weight")->view.shape == Shape{56, 32});
      CHECK(get_output_embeddings(model->root())->find_tensor("weight")->view.shape == Shape{56, 32});
      const bool tied = text != kLlama;
      CHECK(input.find_tensor("weight")->is_same_parameter(*get_output_embeddings(model->root())->find_tensor("weight")) == tied);
      const std::vector<float> rows = values(*input.find_tensor("weight"));
      for (std::size_t column = 0; column < 32; ++column) {
        double sum = 0;
        for (std::size_t row = 0; row < 50; ++row) sum += static_cast<double>(rows[row * 32 + column]);
        CHECK(rows[50 * 32 + column] == doctest::Approx(sum / 50));
      }
      const std::vector<float> after = scores(*model);
      REQUIRE(after.size() == 5 * 56);
      for (std::size_t token = 0; token < 5; ++token) CHECK(std::equal(before.begin() + static_cast<std::ptrdiff_t>(token * 50), before.begin() + static_cast<std::ptrdiff_t>(token * 50 + 50), after.begin() + static_cast<std::ptrdiff_t>(token * 56)));
      CHECK(nlohmann::json::parse(model->config_text())["vocab_size"] == 56);
      const TempFolder temp;
      save_pretrained(*model, temp / "larger");
      CHECK(scores(*from_pretrained(library(), temp / "larger")) == after);
      resize_token_embeddings(*model, library(), {.new_num_tokens = 30});
      CHECK(scores(*model).size() == 5 * 30);
      save_pretrained(*model, temp / "smaller");
      CHECK(scores(*from_pretrained(library(), temp / "smaller")) == scores(*model));
      CHECK_THROWS_AS(resize_token_embeddings(*model, library(), {.new_num_tokens = 0}), UsageError);
      // Padding alone, as where no number is given.
      CHECK(resize_token_embeddings(*model, library(), {.pad_to_multiple_of = 32, .mean_resizing = false}).find_tensor("weight")->view.shape.front() == 32);
      CHECK(values(*input.find_tensor("weight"))[31 * 32] == 0);
    }
  }

  TEST_CASE("modules of one's own: embeddings are found, set, tied again and resized") {
    Module model("Model");
    Module& words = model.add_module("words", std::make_unique<Embedding>(6, 4));
    Module& head = model.add_module("lm_head", std::make_unique<Linear>(4, 6));
    tie(model, {"words.weight", "lm_head.weight"});
    CHECK(&get_input_embeddings(model) == &words);
    CHECK(get_output_embeddings(model) == &head);
    resize_token_embeddings(model, {.new_num_tokens = 9});
    CHECK(words.find_tensor("weight")->view.shape == Shape{9, 4});
    CHECK(words.find_tensor("weight")->is_same_parameter(*head.find_tensor("weight")));
    CHECK(head.find_tensor("bias")->view.shape == Shape{9});
    CHECK(graph_of(model).tied.size() == 1);
    const MetaGraph tied = graph_of(model);
    const std::vector<float> numbers(36, 2.0F);
    set_input_embeddings(model, stored_tensor(DType::float32, {9, 4}, std::as_bytes(std::span(numbers))));
    CHECK(!words.find_tensor("weight")->is_same_parameter(*head.find_tensor("weight")));
    CHECK(values(*head.find_tensor("weight"))[0] == 0);
    tie_weights(model, tied);
    CHECK(words.find_tensor("weight")->is_same_parameter(*head.find_tensor("weight")));
    CHECK(values(*head.find_tensor("weight"))[0] == 2);
    set_output_embeddings(model, stored_tensor(DType::float32, {9, 4}));
    CHECK(values(*words.find_tensor("weight"))[0] == 2);
    CHECK_THROWS_WITH_AS(set_input_embeddings(model, stored_tensor(DType::float32, {9, 5})), doctest::Contains("expected [tokens, 4]"), UsageError);
    CHECK_THROWS_WITH_AS(prune_heads(model, parse_heads("0:1")), doctest::Contains("names no layers"), UnsupportedError);
    Module bare("Bare");
    CHECK_THROWS_AS(get_input_embeddings(bare), NotFoundError);
    CHECK(get_output_embeddings(words) == nullptr);

    disk_offload(model, {.offload_dir = TempFolder() / "off", .execution_device = &cpu_device()});
    CHECK_THROWS_WITH_AS(resize_token_embeddings(model, {.new_num_tokens = 12}), doctest::Contains("sleeps"), UsageError);
  }

  TEST_CASE("weights kept small are the rounded weights to the bit, in RAM and streamed, and stay small between passes") {
    const TempFolder temp;
    save_pretrained(*made(kLlama), temp / "m");
    for (const DType storage : {DType::float8_e4m3fn, DType::float8_e5m2, DType::bfloat16, DType::float16}) {
      // The plain model with weights that went there and back.
      const auto plain = from_pretrained(library(), temp / "m");
      plain->root().for_each([&](Module& m) {
        if (m.layer_kind() != "Linear" || m.name().find("mlp") != std::string::npos) return;
        for (ModuleTensor& t : m.tensors()) t.set(cast(cast(t, storage), DType::float32));
      });
      const std::vector<float> want = scores(*plain);
      for (const char* place : {"cpu", "disk"}) {
        const auto small = from_pretrained(library(), temp / "m", {.device_map = std::string(place), .casting = LayerwiseCasting{.storage_dtype = storage, .skip_modules_pattern = {"\\.mlp$"}}});
        for (int pass = 0; pass < 2; ++pass) {
          CHECK(scores(*small) == want);
          const ModuleTensor& q = *find_tensor(small->root(), "model.layers.0.self_attn.q_proj.weight");
          CHECK(q.view.dtype == storage);
          CHECK(q.is_meta() == (place == std::string("disk")));
          CHECK(find_tensor(small->root(), "model.layers.0.mlp.up_proj.weight")->view.dtype == DType::float32);
          CHECK(find_tensor(small->root(), "model.embed_tokens.weight")->view.dtype == DType::float32);
        }
      }
    }
    // A tied head stays as the embeddings are.
    save_pretrained(*made(kBert), temp / "tied");
    const auto tied = from_pretrained(library(), temp / "tied", {.casting = LayerwiseCasting{}});
    CHECK(find_tensor(tied->root(), "cls.predictions.decoder.weight")->view.dtype == DType::float32);
    CHECK(find_tensor(tied->root(), "bert.pooler.dense.weight") == nullptr);
    CHECK(find_tensor(tied->root(), "bert.encoder.layer.0.output.dense.weight")->view.dtype == DType::float8_e4m3fn);
    CHECK(!scores(*tied).empty());
  }

  TEST_CASE("layerwise casting keeps what accelerate's keeps, and says what it says") {
    const auto golden = nlohmann::json::parse(read_file(golden_path("casting") / "expected.json", 1'000'000));
    const auto ids = golden.at("ids").get<std::vector<std::int64_t>>();
    for (const auto& c : golden.at("cases")) {
      const DType storage = *find_dtype(c.at("storage_dtype").get<std::string>());
      for (const char* place : {"cpu", "disk"}) {
        const auto model = from_pretrained(library(), golden_path("engine/llama-llama3"),
                                           {.device_map = std::string(place), .casting = LayerwiseCasting{.storage_dtype = storage, .skip_modules_pattern = c.at("skip_modules_pattern")}});
        ForwardState state;
        state.length = static_cast<std::int64_t>(ids.size());
        place_tokens(state);
        const Tensor out = model->forward(Tensor::of_ids({1, state.length}, ids), state);
        const auto want = c.at("logits").get<std::vector<float>>();
        CHECK(difference(want, {out.f32() + out.count() - out.width(), out.f32() + out.count()}) < 2e-5);
        std::vector<std::string> kept;
        model->root().for_each([&](Module& m) {
          for (const ModuleTensor& t : m.tensors()) {
            if (!t.is_buffer && t.view.dtype == storage && m.layer_kind() == "Linear" && m.hook() != nullptr) kept.push_back(t.full_name);
          }
        });
        // Where the storage dtype is the checkpoint's own, all weights lie in it, and the reference counts them with those that are cast.
        if (storage != DType::bfloat16) CHECK(kept == c.at("stored").get<std::vector<std::string>>());
      }
    }
  }
}

}  // namespace bigmodel::test
