// SPDX-License-Identifier: Apache-2.0
// transformers' way in and out, with the model that is part of the program.
#include "bigmodel/engine/from_pretrained.h"

#include <doctest/doctest.h>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/model/catalog.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

std::vector<std::int64_t> continuation(LoadedModel& model) {
  GenerateOptions options;
  options.max_new_tokens = 12;
  return generate(model, pad_left({{1, 379, 291, 81}}, 0), options).ids.at(0);
}

}  // namespace

TEST_SUITE("engine/from_pretrained") {
  TEST_CASE("a model that is loaded, saved in shards or as .bin and loaded again, from RAM and disk, says the same") {
    spec::SpecLibrary library(embedded::architectures_files());
    const std::filesystem::path demo = source_root() / "apps/bigmodel/demo_model";
    const auto model = from_pretrained(library, demo);
    CHECK(model->hf_device_map() == DeviceMap{{"", std::string("cpu")}});
    const std::vector<std::int64_t> ids = continuation(*model);
    CHECK(ids.size() == 12);

    const TempFolder temp;
    const ShardReport shards = save_pretrained(*model, temp / "shards", {.max_shard_size_bytes = 1'000'000});
    CHECK(shards.files.size() > 1);
    CHECK(std::filesystem::exists(temp / "shards/config.json"));
    const auto streamed = from_pretrained(library, temp / "shards", {.device_map = std::string("disk")});
    CHECK(streamed->placement().disk_bytes > 0);
    CHECK(continuation(*streamed) == ids);

    CHECK(save_pretrained(*streamed, temp / "bin", {.format = OutputFormat::bin}).files.at(0).name == "pytorch_model.bin");
    CHECK(continuation(*from_pretrained(library, temp / "bin", {.device_map = std::string("auto")})) == ids);
    CHECK_THROWS_AS(save_pretrained(*model, temp / "bin"), UsageError);
    CHECK_THROWS_WITH_AS(from_pretrained(library, demo, {.dtype = "int8"}), doctest::Contains("dtype 'int8': expected a floating-point one"), UsageError);
    CHECK_THROWS_AS(from_pretrained(library, demo, {.device_map = std::string("balanced-ish")}), UsageError);
  }

  TEST_CASE("a model of a config alone runs, and its size is what transformers counts") {
    spec::SpecLibrary library(embedded::architectures_files());
    const auto model = from_config(library, read_config(source_root() / "apps/bigmodel/demo_model/config.json"), "auto", 7);
    CHECK(continuation(*model).size() == 12);
    const MetaGraph bert = build_meta_graph(library, parse_config(find_catalog_entry("bert-base-cased")->config, "config.json"), {.disk_rules = false});
    CHECK(num_parameters(bert) == 108'310'272);
    CHECK(num_parameters(bert, true) == 108'310'272 - (28996 + 512 + 2) * 768);
    CHECK(get_memory_footprint(bert, DType::float32) == 433'249'280);
    CHECK(get_memory_footprint(bert, DType::float32, false) == 433'241'088);
    CHECK(floating_point_ops(bert, 10, false) == doctest::Approx(6.0 * 10 * 108'310'272));
  }
}

}  // namespace bigmodel::test
