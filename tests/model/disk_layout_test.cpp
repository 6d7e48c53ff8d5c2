// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/disk_layout.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/model/build_meta_graph.h"

using namespace bigmodel;

namespace {

/// Counted one by one.
void count(const DiskForm& form, LayoutSummary& out) {
  if (form.kind == DiskForm::Kind::name && out.file_tensors++ == 0) out.first = form.name;
  out.transposed = out.transposed || form.kind == DiskForm::Kind::transpose;
  for (const DiskForm& part : form.forms) count(part, out);
}

}  // namespace

TEST_SUITE("model/disk_layout") {
  TEST_CASE("summaries say what the layouts say") {
    spec::SpecLibrary library(embedded::architectures_files());
    std::int64_t several = 0, renamed = 0;
    for (const char* config : {R"({"model_type": "deepseek_v3", "num_hidden_layers": 6})", R"({"model_type": "mixtral", "num_hidden_layers": 3})",
                               R"({"model_type": "gpt_oss", "num_hidden_layers": 2})", R"({"model_type": "llava"})", R"({"model_type": "clip"})",
                               R"({"model_type": "qwen2_vl"})", R"({"model_type": "dbrx", "n_layers": 2})", R"({"model_type": "bert"})"}) {
      CAPTURE(config);
      const MetaGraph graph = build_meta_graph(library, parse_config(config, "config.json"));
      const auto summaries = layout_summaries(graph);
      const auto layouts = tensor_layouts(graph);
      CHECK(summaries.size() == layouts.size());
      for (const TensorLayout& layout : layouts) {
        CAPTURE(layout.name);
        REQUIRE(summaries.contains(layout.name));
        REQUIRE_FALSE(layout.forms.empty());
        LayoutSummary wanted;
        count(layout.forms.front(), wanted);
        const LayoutSummary& got = summaries.at(layout.name);
        CHECK(got.file_tensors == wanted.file_tensors);
        CHECK(got.first == wanted.first);
        CHECK(got.transposed == wanted.transposed);
        several += wanted.file_tensors > 1;
        renamed += wanted.first != layout.name;
      }
    }
    CHECK(several > 0);
    CHECK(renamed > 0);
  }
}
