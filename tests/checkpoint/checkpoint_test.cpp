// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/checkpoint.h"
#include "bigmodel/checkpoint/choose_files.h"

#include <doctest/doctest.h>

#include "bigmodel/core/error.h"
#include "checkpoint/safetensors_file.h"
#include "support/temp_folder.h"

namespace bigmodel {
namespace {

std::string one_tensor(std::string_view name) {
  return test::safetensors_file("{\"" + std::string(name) + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "12345678");
}

}  // namespace

TEST_SUITE("checkpoint/checkpoint") {
  TEST_CASE("a lone shard of several is no checkpoint, but may be named") {
    const test::TempFolder folder;
    const auto file = folder.write("model-00002-of-00003.safetensors", test::safetensors_file(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a"));
    CHECK_THROWS_AS(open_checkpoint(folder.path()), NotFoundError);
    CHECK(open_checkpoint(file).tensors.size() == 1);
  }

  TEST_CASE("opens a file and places its tensors") {
    const test::TempFolder folder;
    const auto path = folder.write("any.name", one_tensor("a"));
    const Checkpoint checkpoint = open_checkpoint(path);
    REQUIRE(checkpoint.tensors.size() == 1);
    CHECK(checkpoint.tensors[0].name == "a");
    CHECK(checkpoint.tensors[0].size_bytes == 8);
    CHECK(checkpoint.tensors[0].offset == checkpoint.files[0].header_bytes);
    CHECK(checkpoint.files[0].name == "any.name");
    CHECK(checkpoint.tensor_bytes() == 8);
    CHECK(checkpoint.find("a") != nullptr);
    CHECK(checkpoint.find("b") == nullptr);
  }

  TEST_CASE("follows the index's order") {
    const test::TempFolder folder;
    folder.write("s1.safetensors", one_tensor("a"));
    folder.write("s2.safetensors", one_tensor("b"));
    folder.write("model.safetensors.index.json", R"({"metadata":{"total_size":16},"weight_map":{"b":"s2.safetensors","a":"s1.safetensors"}})");
    for (const auto& path : {folder.path(), folder / "model.safetensors.index.json"}) {
      const Checkpoint checkpoint = open_checkpoint(path);
      REQUIRE(checkpoint.tensors.size() == 2);
      CHECK(checkpoint.tensors[0].name == "b");
      CHECK(checkpoint.index->total_size == 16);
    }
  }

  TEST_CASE("prefers files as transformers does, and says what else is there") {
    const test::TempFolder folder;
    folder.write("model.safetensors", one_tensor("single"));
    folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"gone.safetensors"}})");
    const Checkpoint checkpoint = open_checkpoint(folder.path());
    CHECK(checkpoint.tensors[0].name == "single");
    CHECK(checkpoint.notes.size() == 1);
  }

  TEST_CASE("finds variants, single odd names and complete numbered sets") {
    const test::TempFolder folder;
    folder.write("model.fp16.safetensors", one_tensor("half"));
    CHECK(open_checkpoint(folder.path(), {.variant = "fp16"}).tensors[0].name == "half");
    CHECK(open_checkpoint(folder.path()).tensors[0].name == "half");
    const test::TempFolder set;
    set.write("w-00002-of-00002.safetensors", one_tensor("b"));
    set.write("w-00001-of-00002.safetensors", one_tensor("a"));
    CHECK(open_checkpoint(set.path()).tensors[0].name == "a");
    set.write("w-00001-of-00003.safetensors", one_tensor("c"));
    CHECK_THROWS_AS(open_checkpoint(set.path()), UsageError);
  }

  TEST_CASE("tells variants by their names") {
    for (const char* name : {"model.fp16.safetensors", "pytorch_model.fp16.bin", "model.fp16-00001-of-00002.safetensors", "model-00001-of-00002.fp16.safetensors",
                             "model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json", "pytorch_model.bin.index.fp16.json",
                             "diffusion_pytorch_model.fp16.safetensors"}) {
      CAPTURE(name);
      CHECK(variant_of(name) == "fp16");
    }
    for (const char* name : {"model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "model.onnx", "adapter_model.fp16.bin",
                             "fp16.safetensors", "config.json", "model.a.b.safetensors", "model", ""}) {
      CAPTURE(name);
      CHECK(variant_of(name) == "");
    }
  }

  TEST_CASE("takes a variant's index, however it is spelled, and says which variants there are") {
    for (const char* index : {"model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json"}) {
      CAPTURE(index);
      const test::TempFolder folder;
      folder.write("model.safetensors", one_tensor("full"));
      folder.write("model-00001-of-00001.fp16.safetensors", one_tensor("half"));
      folder.write(index, R"({"weight_map":{"half":"model-00001-of-00001.fp16.safetensors"}})");
      CHECK(open_checkpoint(folder.path(), {.variant = "fp16"}).tensors[0].name == "half");
      CHECK(open_checkpoint(folder.path()).tensors[0].name == "full");
      try {
        open_checkpoint(folder.path(), {.variant = "bf16"});
        FAIL_CHECK("accepted");
      } catch (const NotFoundError& error) {
        CHECK(error.hint() == "it has fp16");
      }
    }
  }

  TEST_CASE("refuses an index that its shards contradict, or lists every fault") {
    const test::TempFolder folder;
    folder.write("s1.safetensors", one_tensor("a"));
    folder.write("s2.safetensors", one_tensor("extra"));
    folder.write("model.safetensors.index.json",
                 R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors","c":"gone.safetensors"}})");
    CHECK_THROWS_AS(open_checkpoint(folder.path()), NotFoundError);
    std::vector<Finding> findings;
    const Checkpoint checkpoint = open_checkpoint(folder.path(), {.findings = &findings});
    CHECK(checkpoint.tensors.size() == 1);
    REQUIRE(findings.size() == 3);
    CHECK(findings[0].kind == "missing_shard");
    CHECK(findings[1].kind == "missing_in_shard");
    CHECK(findings[2].kind == "not_in_index");
    CHECK(findings[2].tensor == "extra");
  }

  TEST_CASE("names what is commonly found instead of weights") {
    const test::TempFolder folder;
    const auto message = [&](std::string_view content) -> std::string {
      try {
        open_checkpoint(folder.write("model.safetensors", content));
      } catch (const FormatError& error) {
        return error.message();
      }
      return "accepted";
    };
    CHECK(message("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n").find("Git LFS pointer") != std::string::npos);
    CHECK(message("<!DOCTYPE html><html>").find("web page") != std::string::npos);
    CHECK(message("GGUF\3\0\0\0............").find("GGUF") != std::string::npos);
    CHECK(message("").find("empty") != std::string::npos);
    CHECK(message("abc").find("too short") != std::string::npos);
    CHECK(message(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10)).find("header length") != std::string::npos);
  }

  TEST_CASE("recognises foreign checkpoints and gives the remedy") {
    for (const std::string_view name : {"tf_model.h5", "flax_model.msgpack", "adapter_model.safetensors", "model_index.json", "x.gguf"}) {
      CAPTURE(std::string(name));
      const test::TempFolder folder;
      folder.write(name, "x");
      try {
        open_checkpoint(folder.path());
        FAIL_CHECK("accepted");
      } catch (const UnsupportedError& error) {
        CHECK_FALSE(error.hint().empty());
      }
    }
    const test::TempFolder empty;
    CHECK_THROWS_AS(open_checkpoint(empty.path()), NotFoundError);
    CHECK_THROWS_AS(open_checkpoint(empty / "nothing"), NotFoundError);
  }

  TEST_CASE("reads an offload folder") {
    const test::TempFolder folder;
    folder.write("w.dat", "abcd");
    folder.write("s.dat", "xy");
    folder.write("index.json", R"({"w":{"dtype":"float32","shape":[1]},"s":{"dtype":"bfloat16","shape":[]}})");
    const Checkpoint checkpoint = open_checkpoint(folder.path());
    REQUIRE(checkpoint.tensors.size() == 2);
    CHECK(checkpoint.files[checkpoint.tensors[1].file].name == "s.dat");
    CHECK(checkpoint.tensors[1].dtype == DType::bfloat16);
    folder.write("s.dat", "xyz");
    CHECK_THROWS_AS(open_checkpoint(folder.path()), FormatError);
  }
}

}  // namespace bigmodel
