// SPDX-License-Identifier: Apache-2.0
// timm's registered architectures against the reference: names, order, shapes, dtypes, persistence, ties, class and totals.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/io/sha256.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/graph_record.h"
#include "support/json_lines.h"
#include "support/sampling.h"
#include "support/shared_folder.h"

using namespace bigmodel;

namespace {

std::string short_digest(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size()))).substr(0, 16);
}

/// A line for each tensor in order, parameters first, then the ties: what `make.py digest` hashes.
std::string tensor_lines(const MetaGraph& graph) {
  std::string parameters, buffers;
  for_each_tensor(graph, [&](const TensorVisit& t) {
    const std::string_view dtype = name(resolved_dtype(t.tensor, DType::float32));
    if (t.is_buffer) {
      buffers += fmt::format("{} {} {} {}\n", t.name, fmt::join(t.tensor.shape, ","), dtype, t.tensor.persistent ? "saved" : "unsaved");
    } else if (t.tied_to.empty()) {
      parameters += fmt::format("{} {} {}\n", t.name, fmt::join(t.tensor.shape, ","), dtype);
    }
  });
  std::vector<std::string> ties;
  for (const std::vector<std::string>& group : graph.tied) {
    for (std::size_t i = 1; i < group.size(); ++i) ties.push_back(fmt::format("{} = {}\n", group[i], group[0]));
  }
  std::ranges::sort(ties);
  return parameters + buffers + fmt::format("{}", fmt::join(ties, ""));
}

std::string module_lines(const MetaGraph& graph) {
  std::string out;
  for_each_module(graph, [&](const std::string& module, const ModuleTemplate&) { out += module + "\n"; });
  return out;
}

/// Empty where the graph of the record's config is the reference's.
std::string digest_difference(spec::SpecLibrary& library, const nlohmann::ordered_json& record) {
  try {
    const MetaGraph graph = build_meta_graph(library, parse_config(record.at("config").dump(), "config.json"));
    if (graph.class_name != record.at("class").get<std::string>()) return "class " + graph.class_name;
    const std::int64_t parameters = graph_totals(graph).parameters;
    if (parameters != record.at("n_params").get<std::int64_t>()) return fmt::format("{} parameters", parameters);
    if (short_digest(tensor_lines(graph)) != record.at("tensors").get<std::string>()) return "other tensors";
    if (record.contains("modules") && short_digest(module_lines(graph)) != record["modules"].get<std::string>()) return "other modules";
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

TEST_SUITE("model/timm_records") {
  TEST_CASE("every registered name is equal, and each family under changed configs") {
    spec::SpecLibrary library(embedded::architectures_files());
    int names = 0, changed = 0, shown = 0;
    test::for_each_record(test::golden_path("timm/records.jsonl.xz"), [&](const nlohmann::ordered_json& record) {
      const bool plain = record.at("config").size() == 1;
      const std::string difference = digest_difference(library, record);
      if (!difference.empty() && ++shown < 20) std::fprintf(stderr, "  %s: %s\n", record.at("config").dump().c_str(), difference.c_str());
      if (difference.empty()) ++(plain ? names : changed);
      CHECK(difference.empty());
    }, /*sanitized_every=*/60);
    std::fprintf(stderr, "timm: %d names equal, %d changed configs\n", names, changed);
    CHECK(names >= (test::kSanitized ? 1 : 1371));
  }

  TEST_CASE("recorded names are equal tensor for tensor") {
    const auto path = test::shared_path("goldens/timm/timm_default.jsonl.xz");
    if (!path) return;
    spec::SpecLibrary library(embedded::architectures_files());
    int equal = 0, total = 0, shown = 0;
    test::for_each_record(*path, [&](const nlohmann::ordered_json& record) {
      const std::string type = "timm/" + record.at("name").get<std::string>();
      ++total;
      nlohmann::ordered_json r = record;
      r["config"] = {{"model_type", type}};
      r["class"] = "base";
      r["model_type"] = type;
      std::string difference = test::graph_difference(library, r);
      if (difference.empty()) {
        const MetaGraph graph = build_meta_graph(library, timm_config(record.at("name").get<std::string>()));
        if (graph.class_name != record.at("class").get<std::string>()) difference = "class " + graph.class_name;
        if (graph_totals(graph).parameters != record.at("n_params").get<std::int64_t>()) difference = "another total";
      }
      if (difference.empty()) {
        ++equal;
      } else if (++shown < 10) {
        std::fprintf(stderr, "  %s: %s\n", type.c_str(), difference.c_str());
      }
    }, /*sanitized_every=*/50);
    std::fprintf(stderr, "timm: %d of %d equal\n", equal, total);
    CHECK(equal == total);
    CHECK(total >= (test::kSanitized ? 1 : 300));
  }
}
