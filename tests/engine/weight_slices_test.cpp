// SPDX-License-Identifier: Apache-2.0
// Rows of embeddings and experts of mixtures that come from disk by themselves: the same bytes, and no others are read.
#include "bigmodel/engine/weight_slices.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/save_model.h"
#include "engine/random_model.h"

using namespace bigmodel;

namespace {

class CountingDisk : public Disk {
 public:
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    const ssize_t got = Disk::pread(fd, data, size, offset);
    if (got > 0) read_bytes += static_cast<std::uint64_t>(got);
    ++reads;
    return got;
  }
  mutable std::atomic<std::uint64_t> read_bytes = 0, reads = 0;
};

/// Four matrices [6, 64] in one dtype, number k of tensor t being t + k / 512.
struct Files {
  explicit Files(DType dtype) {
    std::vector<TensorInfo> infos;
    for (int t = 0; t < 4; ++t) infos.push_back({fmt::format("t{}", t), dtype, {6, 64}});
    std::string bytes = safetensors_header_bytes(infos, {});
    for (int t = 0; t < 4; ++t) {
      for (int k = 0; k < 6 * 64; ++k) {
        const float value = static_cast<float>(t) + static_cast<float>(k) / 512;
        const char* raw = reinterpret_cast<const char*>(&value);
        // The upper half of a float32 is a bfloat16.
        dtype == DType::float32 ? bytes.append(raw, 4) : bytes.append(raw + 2, 2);
      }
    }
    folder.write("model.safetensors", bytes);
    checkpoint = open_checkpoint(folder.path());
  }
  SourceForm leaf(int t) const {
    SourceForm out;
    out.tensor = checkpoint.find(fmt::format("t{}", t));
    REQUIRE(out.tensor != nullptr);
    return out;
  }
  test::TempFolder folder;
  Checkpoint checkpoint;
};

std::vector<std::byte> whole_of(const WeightSource& source, const Files& files) {
  const Disk disk;
  TensorReader reader(files.checkpoint, disk);
  std::vector<std::byte> out(source.size_bytes());
  read_source(source, reader, out);
  return out;
}

bool is_part(const StoredTensor& slices, const std::vector<std::int64_t>& wanted, const std::vector<std::byte>& whole, std::uint64_t each) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (std::memcmp(slices.view.data + i * each, whole.data() + static_cast<std::uint64_t>(wanted[i]) * each, each) != 0) return false;
  }
  return true;
}

std::string mixture(int vocabulary, int experts) {
  return nlohmann::json{{"model_type", "mixtral"}, {"architectures", {"MixtralForCausalLM"}}, {"vocab_size", vocabulary}, {"hidden_size", 64}, {"intermediate_size", 128},
                        {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"num_local_experts", experts}, {"num_experts_per_tok", 2}}
      .dump();
}

GenerateResult continued(LoadedModel& model, std::vector<std::vector<std::int64_t>> prompts, std::int64_t tokens) {
  GenerateOptions options;
  options.max_new_tokens = tokens;
  return generate(model, pad_left(std::move(prompts), 0), options);
}

}  // namespace

TEST_SUITE("engine/weight_slices") {
  TEST_CASE("slices are parts of the whole, whatever the file holds and memory wants") {
    const Disk disk;
    for (const DType stored : {DType::bfloat16, DType::float32}) {
      const Files files(stored);
      SourceForm stack;
      stack.kind = DiskForm::Kind::stack;
      for (int t = 0; t < 4; ++t) stack.forms.push_back(files.leaf(t));
      SourceForm pairs;
      pairs.kind = DiskForm::Kind::stack;
      for (int t = 0; t < 4; t += 2) {
        SourceForm pair;
        pair.kind = DiskForm::Kind::concat;
        pair.forms = {files.leaf(t), files.leaf(t + 1)};
        pairs.forms.push_back(pair);
      }
      for (const DType kept : {DType::float32, DType::bfloat16, DType::float16, DType::q8_0, DType::q4_0}) {
        CAPTURE(name(stored));
        CAPTURE(name(kept));
        for (const WeightSource& source : {WeightSource{"row", {6, 64}, kept, files.leaf(2), {}}, WeightSource{"stack", {4, 6, 64}, kept, stack, {}},
                                           WeightSource{"pairs", {2, 12, 64}, kept, pairs, {}}, WeightSource{"cube", {3, 2, 64}, kept, files.leaf(1), DType::bfloat16}}) {
          CAPTURE(source.name);
          REQUIRE(can_slice(source));
          const std::vector<std::byte> whole = whole_of(source, files);
          const WeightSlices slices(source, std::make_shared<SlicePool>(files.checkpoint, disk));
          const std::int64_t count = source.shape.front();
          const std::uint64_t each = slices.slice_bytes();
          CHECK(each * static_cast<std::uint64_t>(count) == whole.size());
          for (std::int64_t mask = 1; mask < std::int64_t{1} << count; ++mask) {
            std::vector<std::int64_t> wanted;
            for (std::int64_t k = 0; k < count; ++k) {
              if ((mask >> k & 1) != 0) wanted.push_back(k);
            }
            const StoredTensor got = slices.read(wanted);
            CHECK(got.view.shape.front() == static_cast<std::int64_t>(wanted.size()));
            CHECK(is_part(got, wanted, whole, each));
          }
          CHECK(std::memcmp(slices.read_all().view.data, whole.data(), whole.size()) == 0);
        }
      }
      // What mixes entries along the first axis has to be read whole.
      SourceForm turned;
      turned.kind = DiskForm::Kind::transpose;
      turned.forms = {files.leaf(0)};
      CHECK_FALSE(can_slice({"turned", {64, 6}, stored, turned, {}}));
    }
  }

  TEST_CASE("a sequence gives each number in turn, and memory is used again") {
    const Disk disk;
    const Files files(DType::float32);
    const WeightSource a{"a", {6, 64}, DType::float32, files.leaf(0), {}}, b{"b", {3, 128}, DType::float32, files.leaf(3), {}};
    const auto pool = std::make_shared<SlicePool>(files.checkpoint, disk);
    const WeightSlices first(a, pool), second(b, pool);
    const std::vector<std::byte> whole_a = whole_of(a, files), whole_b = whole_of(b, files);
    std::set<const void*> places;
    for (int round = 0; round < 4; ++round) {
      SliceSequence sequence({&first, &second}, {0, 2});
      for (const std::int64_t k : {0, 2}) {
        const std::vector<StoredTensor> here = sequence.next();
        CHECK(is_part(here[0], {k}, whole_a, first.slice_bytes()));
        CHECK(is_part(here[1], {k}, whole_b, second.slice_bytes()));
        places.insert(here[0].view.data);
      }
    }
    CHECK(places.size() <= 2);
    SliceSequence left({&first, &second}, {1});  // goes while it reads
  }

  TEST_CASE("from disk a pass reads the rows and the experts that it wants, and gives the bits that it gives from RAM") {
    constexpr int kVocabulary = 5000, kExperts = 32;
    const test::RandomModel model(mixture(kVocabulary, kExperts));
    const auto resident = model.load("cpu");
    const CountingDisk disk;
    const auto streamed = model.load("disk", &disk);
    const std::uint64_t whole = open_checkpoint(model.folder.path()).tensor_bytes();
    CHECK(streamed->placement().disk_bytes == whole);
    constexpr std::uint64_t kExpert = 3 * 64 * 128 * 4, kHead = kVocabulary * 64 * 4;
    CHECK(streamed->placement().sliced_bytes == 2 * kExperts * kExpert + kHead);
    // A long prompt wants all experts, a batch has padding, decoding wants two experts a layer.
    std::vector<std::int64_t> prompt(200);
    std::iota(prompt.begin(), prompt.end(), 3);
    const std::vector<std::vector<std::int64_t>> prompts = {prompt, {7, 4999, 7}};
    const auto want = continued(*resident, prompts, 6).ids;
    CHECK(continued(*streamed, prompts, 6).ids == want);
    const auto mixed = model.load(DeviceMap{{"", std::string("cpu")}, {"model.layers.1.mlp.experts", std::string("disk")}, {"model.embed_tokens", std::string("disk")}});
    CHECK(mixed->placement().disk_bytes == kExperts * kExpert + kHead);
    CHECK(mixed->prefetcher() == nullptr);
    CHECK(continued(*mixed, prompts, 6).ids == want);
    continued(*streamed, {{5}}, 1);
    const std::uint64_t before = disk.read_bytes;
    constexpr int kTokens = 8;
    continued(*streamed, {{5}}, kTokens);
    // Attention and head of every pass and of one read ahead, two experts of each of two layers, a block around each row.
    const std::uint64_t rest = whole - streamed->placement().sliced_bytes;
    const std::uint64_t most = (kTokens + 1) * (rest + 2 * 2 * (kExpert + 4 * 4096) + 2 * 4096 + 64 * 1024);
    const std::uint64_t read = disk.read_bytes - before;
    CHECK(read <= most);
    CHECK(read < kTokens * whole / 3);
  }

  TEST_CASE("a sliced weight is saved whole, and another may take its place") {
    const test::RandomModel model(mixture(300, 4));
    const auto streamed = model.load("disk");
    const auto resident = model.load("cpu");
    const auto bytes = [](LoadedModel& m) {
      std::map<std::string, std::vector<std::byte>> out;
      for_each_weight(m.root(), [&](const std::string& name, const StoredTensor& t) { out.emplace(name, bytes_of(t)); });
      return out;
    };
    CHECK(bytes(*streamed) == bytes(*resident));
    ModuleTensor& table = *streamed->root().get_submodule("model.embed_tokens").find_tensor("weight");
    REQUIRE(table.slices != nullptr);
    table.set(stored_tensor(DType::float32, {300, 64}));
    CHECK(table.slices == nullptr);
    ModuleTensor& same = *resident->root().get_submodule("model.embed_tokens").find_tensor("weight");
    same.set(stored_tensor(DType::float32, {300, 64}));
    CHECK(continued(*streamed, {{5, 6}}, 3).ids == continued(*resident, {{5, 6}}, 3).ids);
  }

  TEST_CASE("an id outside the table, and a file that is cut, are told as elsewhere") {
    const test::RandomModel model(mixture(300, 4));
    const auto streamed = model.load("disk");
    CHECK_THROWS_WITH_AS(continued(*streamed, {{300}}, 1), doctest::Contains("id 300, expected 0 to 299"), UsageError);
    std::filesystem::resize_file(model.folder / "model.safetensors", 40'000);
    CHECK_THROWS_WITH(continued(*streamed, {{299}}, 1), doctest::Contains("model.safetensors"));
  }
}
