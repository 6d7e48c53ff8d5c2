// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/unknown_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "bigmodel/core/suggestion.h"

namespace bigmodel {
namespace {

/// Words of section 4: a key with one of them usually sets a size.
constexpr std::array<std::string_view, 14> kStructural{"size",  "dim",   "layer",  "head",  "expert", "hidden", "channel",
                                                       "width", "depth", "kernel", "group", "rank",   "num_",   "block_args"};

/// Words of keys that steer training, decoding or the runtime, whatever else their names say.
constexpr std::array<std::string_view, 34> kBehaviour{
    "drop",     "eps",     "init",       "loss",    "_act",      "activation", "token",   "coef",   "prob",       "beam",
    "return",   "output_", "label",      "cache",   "range",     "noise",      "mask_",   "theta",  "scal",       "aux",
    "chunk_size_feed",     "ctc",        "jitter",  "summary",   "problem",    "finetun", "prune",  "norm_type",  "max_length",
    "min_length", "window_layers", "logit", "position_bias", "group_beam"};

/// Keys that double or halve a weight whatever the words above say of their names.
constexpr std::array<std::string_view, 1> kAlwaysStructural{"attn_output_gate"};

bool contains_any(std::string_view key, const auto& words) {
  return std::ranges::any_of(words, [key](std::string_view word) { return key.find(word) != std::string_view::npos; });
}

}  // namespace

void report_unknown_keys(const spec::ConfigView& config, std::vector<std::string>& notes, std::vector<std::string>& warnings) {
  std::vector<const spec::ConfigView*> all{&config};
  config.nested(all);
  for (const spec::ConfigView* view : all) {
    std::vector<std::string> known;
    for (const std::string& key : view->unknown_keys()) {
      if (key == "model_type" || key == "architectures" || key.starts_with('_')) continue;
      const std::string what = fmt::format("{}: key '{}' is not used by model type '{}'", view->where(), key.substr(0, 80), view->model().name);
      const bool always = std::ranges::find(kAlwaysStructural, key) != kAlwaysStructural.end();
      if (!always && (!contains_any(key, kStructural) || contains_any(key, kBehaviour))) {
        notes.push_back(what);
        continue;
      }
      if (known.empty()) known = view->known_keys();
      std::ranges::sort(known);
      const std::string hint = did_you_mean(key, known);
      warnings.push_back(hint.empty() ? what : what + "; " + hint);
    }
  }
}

}  // namespace bigmodel
