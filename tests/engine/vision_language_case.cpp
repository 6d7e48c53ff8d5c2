// SPDX-License-Identifier: Apache-2.0
// One model of text and images of the run goldens.
#include <fmt/format.h>

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/infer.h"
#include "engine/expected.h"
#include "engine/run_case.h"

namespace bigmodel::test {
namespace {

void run(const std::filesystem::path& folder, CaseResult& result) {
  const Expected expected(folder);
  std::map<std::string, Tensor> inputs;
  for (const CheckpointTensor& t : expected.file.tensors) {
    if (t.name.starts_with("in.")) inputs.emplace(t.name.substr(3), input_of(expected, t.name));
  }
  TokenBatch prompt;
  prompt.rows = inputs.at("input_ids").shape()[0];
  prompt.length = inputs.at("input_ids").shape()[1];
  prompt.ids = expected.ids("in.input_ids");
  prompt.pixels = inputs.at("pixel_values");
  if (inputs.contains("image_grid_thw")) prompt.image_grid = inputs.at("image_grid_thw");
  const auto logits_of = [&](LoadedModel& model) { return infer(model, inputs).front().second; };
  const auto generated = [&](LoadedModel& model, bool cache) {
    GenerateOptions options;
    options.max_new_tokens = expected.shape("greedy_ids").back();
    options.use_cache = cache;
    return generate(model, prompt, options).ids.front();
  };
  const std::vector<float> want = expected.floats("logits");

  const std::unique_ptr<LoadedModel> model = load_case(folder, DType::float32, "cpu");
  const Tensor logits = logits_of(*model);
  const double off = largest_difference(floats_of(logits), want);
  if (!(off <= expected.tolerance())) result.faults.push_back(fmt::format("logits off by {:.2e}, allowed {:.0e}", off, expected.tolerance()));
  if (generated(*model, true) != expected.ids("greedy_ids")) result.faults.emplace_back("greedy ids differ");
  if (generated(*model, false) != expected.ids("greedy_ids_nocache")) result.faults.emplace_back("greedy ids without cache differ");

  const std::unique_ptr<LoadedModel> streamed = load_case(folder, DType::float32, "disk");
  const Tensor again = logits_of(*streamed);
  if (std::memcmp(again.bytes(), logits.bytes(), static_cast<std::size_t>(logits.count()) * sizeof(float)) != 0) {
    result.faults.emplace_back("logits with weights on disk differ in bits");
  }
  if (generated(*streamed, true) != expected.ids("greedy_ids")) result.faults.emplace_back("greedy ids with weights on disk differ");

  const double narrow = largest_difference(floats_of(logits_of(*load_case(folder, DType::bfloat16, "cpu"))), want);
  if (!(narrow <= expected.json.at("tolerance_bf16_max_abs").get<double>())) result.faults.push_back(fmt::format("bfloat16 logits off by {:.2e}", narrow));
}

}  // namespace

CaseResult check_vision_language(const std::filesystem::path& folder) {
  CaseResult out;
  try {
    run(folder, out);
  } catch (const UnsupportedError& e) {
    out.refused = e.message();
  } catch (const std::exception& e) {
    out.faults.emplace_back(e.what());
  }
  return out;
}

}  // namespace bigmodel::test
