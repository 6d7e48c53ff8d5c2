// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/spec_library.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/model/build_meta_graph.h"

using namespace bigmodel;

namespace {

constexpr const char* kLayers =
    "class Linear(in, out, bias = true)\n  param weight [out, in]\n  param bias [out] if bias\n"
    "class LayerNorm(size)\n  param weight [size]\n";

/// The parameter names and shapes of a model under `config`, one a line, or the error.
std::string listed(const std::string& spec, const std::string& config, const std::string& cls = "base") {
  try {
    spec::SpecLibrary library;
    library.add_text("prelude.arch", kLayers);
    library.add_text("x.arch", spec);
    const MetaGraph graph = build_meta_graph(library, parse_config(config, "config.json"), {.class_name = cls});
    std::string out;
    for_each_tensor(graph, [&out](const TensorVisit& t) { out += t.name + to_string(t.tensor.shape) + "\n"; });
    return out;
  } catch (const Error& e) {
    return e.what();
  }
}

constexpr const char* kBase =
    "model a as A\n  config\n    n = 2\n  base Model\n"
    "  class Layer(i)\n    x: Linear(n, n)\n    y: LayerNorm(n)\n"
    "  entry Model\n    layers: [Layer(i) for i < n]\n    z: Linear(n, 1, bias = false)\n";

}  // namespace

TEST_SUITE("spec/inheritance") {
  TEST_CASE("a derived class replaces in place, appends, removes and places") {
    const std::string spec = std::string(kBase) + "model b : a as B\n  class Layer\n    x: LayerNorm(n)\n    w: LayerNorm(3) before y\n";
    CHECK(listed(spec, R"({"model_type": "b", "n": 1})") ==
          "layers.0.x.weight[1]\nlayers.0.w.weight[3]\nlayers.0.y.weight[1]\nz.weight[1, 1]\n");
    const std::string removed = std::string(kBase) + "model b : a as B\n  class Layer\n    remove x\n    rename y -> q\n";
    CHECK(listed(removed, R"({"model_type": "b", "n": 1})") == "layers.0.q.weight[1]\nz.weight[1, 1]\n");
    CHECK(listed(std::string(kBase) + "model b : a as B\n  class Layer\n    remove nothing\n", R"({"model_type": "b"})")
              .find("nothing called 'nothing' to remove") != std::string::npos);
  }

  TEST_CASE("mentions of a class bind late and lets are virtual") {
    const std::string spec =
        "model a as A\n  config\n    n = 2\n  base Model\n  class Part\n    let width = n\n    l: Linear(width, width, bias = false)\n"
        "  entry Model\n    p: Part\n"
        "model b : a as B\n  class Part\n    let width = n + 1\n";
    CHECK(listed(spec, R"({"model_type": "a"})") == "p.l.weight[2, 2]\n");
    CHECK(listed(spec, R"({"model_type": "b"})") == "p.l.weight[3, 3]\n");
  }

  TEST_CASE("parents come in C3 order and a circle is refused") {
    const std::string diamond =
        "model r as R\n  config\n    k = 1\n  base Model\n  entry Model\n    p: LayerNorm(k)\n"
        "model x : r as X\n  config\n    k = 2\nmodel y : r as Y\n  config\n    k = 3\nmodel z : x, y as Z\n";
    CHECK(listed(diamond, R"({"model_type": "z"})") == "p.weight[2]\n");
    CHECK(listed("model p : q as P\nmodel q : p as Q\n", R"({"model_type": "p"})").find("inherits from itself") != std::string::npos);
    CHECK(listed("model p : nowhere as P\n", R"({"model_type": "p"})").find("unknown model type 'nowhere'") != std::string::npos);
    CHECK(listed("model o\nmodel p : o\nmodel q : o, p\n", R"({"model_type": "q"})").find("no consistent order") != std::string::npos);
  }

  TEST_CASE("a later file replaces a type by name, and a variant is its model with other defaults") {
    spec::SpecLibrary library;
    library.add_text("prelude.arch", kLayers);
    library.add_text("one.arch", std::string(kBase) + "  variant \"a/big\": n = 3\n");
    library.add_text("two.arch", "model c as C\n  base Model\n  entry Model\n    p: LayerNorm(7)\n");
    const auto parameters = [&library](const char* type) {
      return graph_totals(build_meta_graph(library, parse_config(std::string(R"({"model_type": ")") + type + "\"}", "t"), {})).parameters;
    };
    CHECK(parameters("c") == 7);
    CHECK(parameters("a") == 2 * (4 + 2 + 2) + 2);
    CHECK(parameters("a/big") == 3 * (9 + 3 + 3) + 3);
    library.add_text("three.arch", "model c as C\n  base Model\n  entry Model\n    p: LayerNorm(8)\n");
    CHECK(parameters("c") == 8);
  }

  TEST_CASE("errors carry the chain of modules and the place") {
    const std::string spec =
        "model a as A\n  config\n    n = 2\n  base Model\n  class Inner\n    param w [n * null]\n"
        "  entry Model\n    layers: [Inner for i < n]\n";
    const std::string message = listed(spec, R"({"model_type": "a"})");
    CHECK(message == "x.arch:6:16: cannot compute 2 * null (in layers.0 of config.json)");
    CHECK(listed("model a as A\n  base Model\n  class X\n    x: X\n  entry Model\n    x: X\n", R"({"model_type": "a"})").find("too deeply") !=
          std::string::npos);
  }

  TEST_CASE("sizes and counts from a config cannot run away") {
    CHECK(listed(kBase, R"({"model_type": "a", "n": -1})").find("negative") != std::string::npos);
    CHECK(listed(kBase, R"({"model_type": "a", "n": 9223372036854775807})").find("too long") != std::string::npos);
    CHECK(listed(kBase, R"({"model_type": "a", "n": 999999})").find("modules") != std::string::npos);
    CHECK(listed(kBase, R"({"model_type": "a", "n": 1.5})").find("x.arch") == 0);
    CHECK(listed(kBase, R"({"model_type": "a", "n": "many"})").find("x.arch") == 0);
    CHECK(listed("model a\n  config\n    n = 2\n  base Model\n  entry Model\n    param w [n, n, n]\n",
                 R"({"model_type": "a", "n": 3037000500})")
              .find("2^63") != std::string::npos);
  }
}
