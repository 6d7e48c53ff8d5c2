// SPDX-License-Identifier: Apache-2.0
#include "commands/estimate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/embedded_file.h"
#include "bigmodel/core/error.h"
#include "render/digits.h"

namespace bigmodel::embedded {
std::vector<EmbeddedFile> report_files();  // made by bigmodel_embed
}

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kFirstContext = 512, kUsualLastContext = 131072;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

/// JSON that may stand inside a script element.
std::string script_json(const Json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', true, Json::error_handler_t::replace)) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<std::int64_t> sorted(std::set<std::int64_t> values) { return {values.begin(), values.end()}; }

std::vector<std::int64_t> contexts_of(const InferenceResult& result) {
  const std::int64_t last = result.most_context == kMostTokens ? kUsualLastContext : result.most_context;
  std::set<std::int64_t> out{result.request.context, last};
  for (std::int64_t c = kFirstContext; c < last; c *= 2) out.insert(c);
  return sorted(std::move(out));
}

std::vector<std::int64_t> batches_of(const InferenceResult& result) {
  return sorted({1, 2, 4, 8, 16, 32, 64, result.request.batch});
}

/// weights, cache, activations, overhead, total, low, high; for a device also the verdict, and for several what each holds: activations,
/// overhead, and rows of device, layers, weights and cache.
Json point_of(const InferenceResult& result, const InferenceRow& row, std::int64_t context, std::int64_t batch) {
  InferenceRequest request = result.request;
  request.dtype = row.dtype;
  request.context = context;
  request.batch = batch;
  request.devices = result.pool ? result.pool->count : 1;
  const InferenceMemory m = result.plan->memory(request);
  const std::int64_t activations = m.total.expected - m.weights_bytes - m.cache.total_bytes - m.overhead.expected;
  Json out = {m.weights_bytes, m.cache.total_bytes, activations, m.overhead.expected, m.total.expected, m.total.low, m.total.high};
  if (!result.pool) return out;
  const Fit fit = fit_inference(*result.plan, request, *result.pool);
  out.push_back(to_string(fit.verdict));
  if (result.pool->count == 1) return out;
  Json shares = Json::array();
  for (const DeviceShare& share : fit.shares) {
    shares.push_back({number_range(share.first_device, share.devices), layers_text(share, request.split), share.weights_bytes, share.cache_bytes});
  }
  out.push_back({fit.activations.expected, fit.overhead.expected, std::move(shares)});
  return out;
}

Json data_of(const InferenceResult& result) {
  Json data{{"context", result.request.context}, {"batch", result.request.batch}, {"contexts", contexts_of(result)}, {"batches", batches_of(result)}};
  if (result.pool) data["device"] = pool_json(*result.pool);
  Json points = Json::array(), dtypes = Json::array();
  for (const InferenceRow& row : result.rows) {
    dtypes.push_back(row.label);
    for (const std::int64_t batch : batches_of(result)) {
      for (const std::int64_t context : contexts_of(result)) points.push_back(point_of(result, row, context, batch));
    }
  }
  data["dtypes"] = std::move(dtypes);
  data["points"] = std::move(points);
  return data;
}

std::string_view color_of(std::string_view kind) {
  if (kind == "full" || kind == "latent") return "cache";
  if (kind == "sliding" || kind == "chunked") return "weights";
  if (kind == "state") return "activations";
  return "overhead";
}

std::string kind_text(const CacheLayer& layer) {
  if (layer.window > 0) return fmt::format("{}, {} tokens", to_string(layer.kind), grouped_digits(layer.window));
  return std::string(to_string(layer.kind));
}

std::string layers_section(const InferenceResult& result) {
  const CachePlan& cache = result.plan->cache();
  if (cache.layers.empty()) return {};
  const std::vector<std::int64_t>& bytes = result.rows.front().memory.cache.layer_bytes;
  std::string cells, rows;
  for (std::size_t i = 0; i < cache.layers.size(); ++i) {
    const CacheLayer& layer = cache.layers[i];
    const std::string size = format_binary(static_cast<std::uint64_t>(bytes[i]));
    cells += fmt::format(R"html(<li style="border-bottom-color:var(--{})" title="{}: {}, {}">{}</li>)html", color_of(to_string(layer.kind)), escaped(layer.module),
                         escaped(kind_text(layer)), size, i);
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>\n", escaped(layer.module), escaped(kind_text(layer)), size);
  }
  return fmt::format(R"(<section aria-labelledby="layers-title"><h2 id="layers-title">Layer by layer</h2>
<p class="soft">What each layer keeps at {} tokens, batch {}, in {}. Orange: every token; blue: a window; green: a state; violet: fixed or shared.</p>
<ol class="layers" aria-hidden="true">{}</ol>
<details><summary>the same as a table</summary><div class="scroll"><table aria-labelledby="layers-title"><thead><tr><th scope="col">layer</th><th scope="col">keeps</th><th scope="col">bytes</th></tr></thead><tbody>
{}</tbody></table></div></details></section>
)",
                     grouped_digits(result.request.context), grouped_digits(result.request.batch), result.rows.front().memory.kv_format.name, cells, rows);
}

std::string static_table(const InferenceResult& result) {
  std::string rows;
  const auto size = [](std::int64_t bytes) { return format_binary(static_cast<std::uint64_t>(bytes)); };
  for (const InferenceRow& row : result.rows) {
    const InferenceMemory& m = row.memory;
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", row.label, size(m.weights_bytes),
                        size(m.cache.total_bytes), size(m.activations().expected), size(m.overhead.expected), size(m.total.expected),
                        row.fit ? std::string(to_string(row.fit->verdict)) : "");
  }
  return fmt::format(R"(<section aria-labelledby="rows-title"><h2 id="rows-title">As asked: {} tokens, batch {}, engine {}</h2><div class="scroll"><table aria-labelledby="rows-title"><thead><tr><th scope="col">dtype</th><th scope="col">weights</th><th scope="col">KV cache</th><th scope="col">activations</th><th scope="col">overhead</th><th scope="col">total</th><th scope="col">{}</th></tr></thead><tbody>
{}</tbody></table></div></section>
)",
                     grouped_digits(result.request.context), grouped_digits(result.request.batch), escaped(result.engine), result.pool ? "verdict" : "", rows);
}

std::string list_section(std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string items;
  for (const std::string& line : lines) items += fmt::format("<li>{}</li>", escaped(line));
  return fmt::format("<section aria-label=\"{}\"><h2>{}</h2><ul>{}</ul></section>\n", title, title, items);
}

std::string body_of(const EstimateResult& result) {
  const InferenceResult& inference = *result.inference;
  std::string device;
  if (inference.pool) {
    device = fmt::format(", on {}{}", inference.pool->count > 1 ? fmt::format("{} x ", inference.pool->count) : "", escaped(inference.pool->name));
  }
  std::string out = fmt::format("<header><h1>{}</h1><p class=\"soft\">{}, {} parameters, engine {}{}</p></header>\n", escaped(result.model.argument),
                                escaped(inference.class_name), grouped_digits(inference.parameters), escaped(inference.engine), device);
  out += R"(<section data-live hidden aria-labelledby="what-if"><h2 id="what-if">What if</h2><div class="controls">
<div><label for="context">context</label> <span id="context-out" class="now" aria-hidden="true"></span><input id="context" type="range" min="0" step="1"></div>
<div><label for="batch">batch</label> <span id="batch-out" class="now" aria-hidden="true"></span><input id="batch" type="range" min="0" step="1"></div>
<div><label for="dtype">dtype</label><select id="dtype"></select></div></div></section>
<section data-live hidden aria-labelledby="need"><h2 id="need">Memory to run it</h2><div id="bar" class="bar" role="img"></div>
<p id="verdict" class="verdict" aria-live="polite"></p>
<div class="scroll"><table aria-labelledby="need"><thead><tr><th scope="col">part</th><th scope="col">size</th><th scope="col">bytes</th></tr></thead><tbody id="figures"></tbody></table></div></section>
<section data-live hidden aria-labelledby="over"><h2 id="over">Memory over context</h2><div id="chart"></div></section>
)";
  if (inference.pool && inference.pool->count > 1) {
    out += R"(<section data-live hidden aria-labelledby="devices-title"><h2 id="devices-title">What each device holds</h2>
<div class="scroll"><table aria-labelledby="devices-title"><thead><tr><th scope="col">device</th><th scope="col">layers</th><th scope="col">weights</th><th scope="col">KV cache</th><th scope="col">activations</th><th scope="col">overhead</th><th scope="col">free</th><th scope="col">used</th></tr></thead><tbody id="devices"></tbody></table></div></section>
)";
  }
  out += static_table(inference) + layers_section(inference);
  if (!inference.remedies.empty()) out += list_section("What would make it fit", inference.remedies);
  std::vector<std::string> assumptions = inference.rows.front().memory.assumptions;
  return out + list_section("Warnings", result.warnings) + list_section("Assumptions", assumptions);
}

std::string form_of(const ReportForm& form) {
  return fmt::format(R"(<form class="ask" method="get" action="/"><label>model<br><input type="text" name="model" value="{}" required></label>
<label>device<br><input type="text" name="device" value="{}" placeholder="24GiB, RTX 4090, 2xH100"></label><button type="submit">estimate</button></form>
{})",
                     escaped(form.model), escaped(form.device),
                     form.error.empty() ? "" : fmt::format("<section role=\"alert\"><p class=\"no\">{}</p></section>", escaped(form.error)));
}

std::string filled(std::string_view title, std::string_view form, std::string_view body, std::string_view data) {
  std::string out;
  std::string_view rest = embedded::report_files().front().content;
  const std::pair<std::string_view, std::string_view> parts[] = {{"@TITLE@", title}, {"@FORM@", form}, {"@BODY@", body}, {"@DATA@", data}};
  for (const auto& [mark, text] : parts) {
    const std::size_t at = rest.find(mark);
    out += rest.substr(0, at);
    out += text;
    rest.remove_prefix(at + mark.size());
  }
  return out.append(rest);
}

}  // namespace

std::string report_page(const EstimateResult& result, const ReportForm* form) {
  return filled(escaped(fmt::format("{}: memory", result.model.argument)), form == nullptr ? "" : form_of(*form), body_of(result),
                fmt::format("<script type=\"application/json\" id=\"data\">{}</script>", script_json(data_of(*result.inference))));
}

std::string report_form_page(const ReportForm& form) { return filled("memory of a model", form_of(form), "", ""); }

}  // namespace bigmodel::app
