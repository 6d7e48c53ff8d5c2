// SPDX-License-Identifier: Apache-2.0
// How long a user waits for a table, from typing to prompt: whole processes of estimate-memory, inspect and --help.
// Goals: bert <= 10 ms and 20 MB; Llama-3-70B and DeepSeek-V3 (45,000 tensors) <= 20 ms and 30 MB.
#include <cstdio>
#include <exception>

#include "benchmarks/measure.h"

int main(int argc, char** argv) {
  using namespace bigmodel::bench;
  try {
    const int runs = runs_from(argc, argv);
    const std::string binary = BIGMODEL_BINARY;
    measure("help", runs, [&] { return run_process({binary, "--help"}); });
    for (const char* model : {"bert-base-cased", "meta-llama/Meta-Llama-3-70B", "deepseek-ai/DeepSeek-V3"}) {
      measure(std::string("estimate-memory ") + model, runs,
              [&] { return run_process({binary, "estimate-memory", model}); });
    }
    measure("inspect --tensors deepseek-ai/DeepSeek-V3", runs, [&] {
      return run_process({binary, "inspect", "deepseek-ai/DeepSeek-V3", "--tensors", "--format", "jsonl"});
    });
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_startup: %s\n", e.what());
    return 1;
  }
  return 0;
}
