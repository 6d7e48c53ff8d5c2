// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chat template, rendered over a fixed conversation under tight limits. Only a bigmodel::Error may come out, and soon.
#include <cstdint>
#include <string_view>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  static const tokenizer::ChatRequest request{
      .messages = R"([{"role": "system", "content": "Be \u00e9 brief."}, {"role": "user", "content": [{"type": "text", "text": "a b"}]},
                      {"role": "assistant", "content": "<think>x</think> y", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [2.5, true]}}}]}])",
      .tools = R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])",
      .documents = R"([{"title": "t", "text": "x"}])",
      .variables = R"({"bos_token": "<s>", "eos_token": "</s>", "n": 3, "z": null})",
      .add_generation_prompt = true,
      .now = {.year = 2024, .month = 2, .day = 29}};
  static const tokenizer::ChatTemplateLimits limits{.steps = 100'000, .depth = 60, .text_bytes = 1 << 18};
  try {
    (void)tokenizer::ChatTemplate::parse({reinterpret_cast<const char*>(data), size}).render(request, limits);
  } catch (const Error&) {
  }
  return 0;
}
