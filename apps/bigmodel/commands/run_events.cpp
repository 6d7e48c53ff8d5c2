// SPDX-License-Identifier: Apache-2.0
#include "commands/run_events.h"

#include <nlohmann/json.hpp>

#include "commands/device_map_text.h"
#include "commands/model_json.h"
#include "render/json_text.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

void print(const Json& json, Output& out) {
  out.line(json_text(json, false));
  out.flush();
}

}  // namespace

void print_start_event(const RunResult& result, const MetaGraph& graph, Output& out) {
  Json json = {{"event", "start"}};
  json.update(model_json("run", result.model, graph));
  json["dtype"] = std::string(name(result.dtype));
  json["hf_device_map"] = device_map_json(result.device_map);
  print(json, out);
}

void print_token_event(const TokenEvent& event, Output& out) {
  Json json = {{"event", "token"}, {"row", event.row}, {"id", event.id}};
  if (event.text) json["text"] = *event.text;
  if (event.logprob) json["logprob"] = *event.logprob;
  print(json, out);
}

void print_done_event(const RunResult& result, const MetaGraph& graph, Output& out) {
  Json json = {{"event", "done"}};
  json.update(run_json(result, graph));
  print(json, out);
}

}  // namespace bigmodel::app
