// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/random_tensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "bigmodel/checkpoint/shard_writer.h"
#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/error.h"
#include "support/temp_folder.h"

namespace bigmodel {
namespace {

using Kind = TensorFill::Kind;

RandomTensor tensor(std::string name, DType dtype, Shape shape, TensorFill fill) {
  RandomTensor out;
  out.name = std::move(name);
  out.dtype = dtype;
  out.shape = std::move(shape);
  out.fill = fill;
  return out;
}

template <class T>
std::vector<T> elements(const RandomTensor& from, std::uint64_t seed = 1) {
  const Checkpoint checkpoint = random_checkpoint({from}, seed);
  std::vector<T> out(checkpoint.tensors[0].size_bytes / sizeof(T));
  make_elements(checkpoint.tensors[0], 0, std::as_writable_bytes(std::span(out)));
  return out;
}

}  // namespace

TEST_SUITE("checkpoint/random_tensors") {
  TEST_CASE("normal elements have the deviation that was asked for") {
    const auto values = elements<float>(tensor("a", DType::float32, {100000}, {.kind = Kind::normal, .deviation = 0.02F}));
    double sum = 0, squares = 0;
    for (const float v : values) {
      sum += v;
      squares += static_cast<double>(v) * v;
      CHECK_UNARY(std::abs(v) <= 0.02F * 3.47F);
    }
    CHECK(std::abs(sum / 1e5) < 0.0003);
    CHECK(std::sqrt(squares / 1e5) == doctest::Approx(0.02).epsilon(0.02));
  }

  TEST_CASE("elements depend on seed, name and place alone") {
    const RandomTensor a = tensor("a", DType::float32, {9000}, {.kind = Kind::normal});
    const auto whole = elements<float>(a);
    CHECK(whole == elements<float>(a));
    CHECK(whole != elements<float>(a, 2));
    CHECK(whole != elements<float>(tensor("b", DType::float32, {9000}, {.kind = Kind::normal})));
    const Checkpoint checkpoint = random_checkpoint({tensor("x", DType::int8, {3}, {}), a}, 1);
    std::vector<float> part(4500);
    make_elements(checkpoint.tensors[1], 4321, std::as_writable_bytes(std::span(part)));
    CHECK(std::memcmp(part.data(), whole.data() + 4321, part.size() * sizeof(float)) == 0);
  }

  TEST_CASE("other fills, and other dtypes") {
    CHECK(elements<std::int64_t>(tensor("p", DType::int64, {1, 5}, {.kind = Kind::arange, .period = 5})) == std::vector<std::int64_t>{0, 1, 2, 3, 4});
    CHECK(elements<std::int32_t>(tensor("p", DType::int32, {4}, {.kind = Kind::arange, .period = 2})) == std::vector<std::int32_t>{0, 1, 0, 1});
    CHECK(elements<float>(tensor("o", DType::float32, {2}, {.kind = Kind::ones})) == std::vector<float>{1, 1});
    CHECK(elements<std::uint16_t>(tensor("o", DType::bfloat16, {2}, {.kind = Kind::ones})) == std::vector<std::uint16_t>{0x3f80, 0x3f80});
    CHECK(elements<std::uint8_t>(tensor("i", DType::int8, {2}, {.kind = Kind::normal})) == std::vector<std::uint8_t>{0, 0});
    CHECK_THROWS_AS(random_checkpoint({tensor("f", DType::float4, {2}, {})}, 1), UnsupportedError);
    CHECK_THROWS_AS(random_checkpoint({tensor("f", DType::float32, {INT64_MAX, INT64_MAX}, {})}, 1), Error);
  }

  TEST_CASE("is written like any checkpoint, into both formats, and holds the same elements in both") {
    const test::TempFolder folder;
    const Checkpoint made = random_checkpoint({tensor("a", DType::float32, {3000, 1000}, {.kind = Kind::normal}), tensor("e", DType::float32, {0}, {}), tensor("b", DType::float32, {7}, {.kind = Kind::normal})}, 5);
    std::vector<std::vector<std::byte>> held;
    for (const OutputFormat format : {OutputFormat::safetensors, OutputFormat::bin}) {
      const auto output = folder / (format == OutputFormat::bin ? "b" : "s");
      const ShardJob job = plan_shard_job(made, {.max_shard_size_bytes = 5'000'000, .format = format});
      CHECK(job.files.size() == 2);
      write_shards(made, job, {.output = output}, {});
      const Checkpoint read = open_checkpoint(output);
      const Disk disk;
      TensorReader reader(read, disk);
      held.push_back(reader.read_all(*read.find("a")));
    }
    CHECK(held[0] == held[1]);
    std::vector<std::byte> want(12'000'000);
    make_elements(made.tensors[0], 0, want);
    CHECK(held[0] == want);
  }
}

}  // namespace bigmodel
