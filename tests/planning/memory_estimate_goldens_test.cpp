// SPDX-License-Identifier: Apache-2.0
// Totals and largest layers against what accelerate computes for models that the reference builds.
#include <doctest/doctest.h>

#include <cstdio>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/build_meta_graph.h"
#include "bigmodel/planning/memory_estimate.h"
#include "support/json_lines.h"
#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

struct Tally {
  int equal = 0;
  int total = 0;
};

bool same_parameters(const MetaGraph& graph, const Json& record) {
  const Json& wanted = record.at("params");
  std::size_t i = 0;
  bool same = true;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (visit.is_buffer || !same) return;
    same = i < wanted.size() && wanted[i][0].get_ref<const std::string&>() == visit.name &&
           wanted[i][1].get<Shape>() == visit.tensor.shape;
    ++i;
  });
  return same && i == wanted.size();
}

/// Records whose type is described and whose graph has the record's tensors; other records say nothing about estimates.
void compare(spec::SpecLibrary& library, const Json& record, Tally& tally) {
  const std::string type = record.at("model_type");
  if (!library.has(type) || !record.contains("total_bytes")) return;
  MetaGraph graph;
  try {
    graph = build_meta_graph(library, parse_config(record.at("config").dump(), type),
                             {.class_name = record.at("class").get<std::string>()});
  } catch (const Error&) {
    return;
  }
  if (!same_parameters(graph, record)) return;
  ++tally.total;
  const DType float32[] = {DType::float32};
  const MemoryEstimate estimate = estimate_memory(graph, float32);
  const DtypeEstimate& row = estimate.dtypes.front();
  // The reference ties whole encoders of this type and catches one buffer of 16 frequencies with the parameters; ties of descriptions are of
  // parameters only.
  const std::int64_t known = type == "pe_audio_video" ? 64 : 0;
  const bool equal = row.total_bytes == record.at("total_bytes").get<std::int64_t>() + known &&
                     row.largest_layer_bytes == record.at("largest_layer")[0].get<std::int64_t>() &&
                     estimate.largest_modules == record.at("largest_layer")[1].get<std::vector<std::string>>();
  if (equal) {
    ++tally.equal;
  } else if (tally.total - tally.equal < 12) {
    std::fprintf(stderr, "  %s %s: total %lld, largest %lld %.120s; want %s %.200s\n", type.c_str(),
                 graph.class_name.c_str(), static_cast<long long>(row.total_bytes),
                 static_cast<long long>(row.largest_layer_bytes), Json(estimate.largest_modules).dump().c_str(),
                 record.at("total_bytes").dump().c_str(), record.at("largest_layer").dump().c_str());
  }
}

}  // namespace

TEST_SUITE("planning/memory_estimate_goldens") {
  TEST_CASE("equals accelerate for every record whose tensors are equal") {
    spec::SpecLibrary library(embedded::architectures_files());
    for (const char* file : {"base_default.jsonl.xz", "mutated_dev.jsonl.xz"}) {
      CAPTURE(file);
      const auto path = shared_path(std::string("goldens/transformers/") + file);
      if (!path) continue;
      Tally tally;
      for_each_record(*path, [&](const Json& record) { compare(library, record, tally); });
      std::fprintf(stderr, "%s: %d of %d equal\n", file, tally.equal, tally.total);
      CHECK(tally.equal == tally.total);
      CHECK(tally.total > 50);
    }
  }
}

}  // namespace bigmodel::test
