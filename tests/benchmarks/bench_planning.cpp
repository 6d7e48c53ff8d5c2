// SPDX-License-Identifier: Apache-2.0
// How long a device map takes, from typing to prompt: whole processes of infer-device-map.
// Goals: DeepSeek-V3 (45,000 tensors) and a 126-layer Llama over eight devices <= 30 ms and 40 MB; --policy optimal <= 200 ms.
#include <cstdio>
#include <exception>

#include "benchmarks/measure.h"

int main(int argc, char** argv) {
  using namespace bigmodel::bench;
  try {
    const int runs = runs_from(argc, argv);
    const std::string cards = "0=80GiB,1=80GiB,2=80GiB,3=80GiB,4=80GiB,5=80GiB,6=80GiB,7=80GiB";
    const std::string uneven = "0=60GiB,1=63GiB,2=66GiB,3=69GiB,4=72GiB,5=75GiB,6=78GiB,7=80GiB,cpu=128GiB";
    for (const char* model : {"deepseek-ai/DeepSeek-V3", "meta-llama/Llama-3.1-405B"}) {
      for (const char* policy : {"auto", "sequential", "optimal"}) {
        for (const auto& [name, budgets] : {std::pair{"eight cards and RAM", cards + ",cpu=2000GiB"}, {"eight uneven cards, RAM and disk", uneven}}) {
          measure(std::string("infer-device-map ") + model + " --policy " + policy + ", " + name, runs, [&, b = budgets] {
            return run_process({BIGMODEL_BINARY, "infer-device-map", model, "--dtype", "bfloat16", "--policy", policy, "--max-memory", b, "--json"});
          });
        }
      }
    }
    measure("infer-device-map deepseek-ai/DeepSeek-V3, every module split", runs, [&] {
      return run_process({BIGMODEL_BINARY, "infer-device-map", "deepseek-ai/DeepSeek-V3", "--dtype", "bfloat16", "--no-split-module-classes", "none",
                          "--no-clean-result", "--max-memory", uneven, "--json"});
    });
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_planning: %s\n", e.what());
    return 1;
  }
  return 0;
}
