// SPDX-License-Identifier: Apache-2.0
// Evaluates one expression of the language under a config, for tests.
#pragma once

#include <string>
#include <string_view>

#include "bigmodel/spec/config_view.h"
#include "bigmodel/spec/evaluator.h"
#include "bigmodel/spec/spec_library.h"

namespace bigmodel::test {

/// The value of `expression` as a derived key of a model with the config lines `keys`, or the error's message.
inline std::string evaluated(std::string_view expression, std::string_view keys = "", const spec::Map& data = {}) {
  spec::SpecLibrary library;
  std::string text = "model probe\n  config\n";
  if (!keys.empty()) text += std::string(keys) + "\n";
  text += "    let result = " + std::string(expression) + "\n";
  try {
    library.add_text("probe.arch", text);
    spec::Evaluator evaluator(library);
    spec::ConfigView view(evaluator, library.get("probe"), data, "config.json");
    return view.get("result").describe();
  } catch (const spec::SpecError& e) {
    return "error: " + e.plain();
  } catch (const Error& e) {
    return std::string("error: ") + e.what();
  }
}

}  // namespace bigmodel::test
