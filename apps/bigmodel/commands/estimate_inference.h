// SPDX-License-Identifier: Apache-2.0
// The part of `estimate-memory` that answers for running: context, batch, engine, devices. Asked for by any of its options.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/planning/fit.h"
#include "bigmodel/planning/inference_memory.h"
#include "commands/command.h"
#include "commands/estimate_stored.h"
#include "commands/model_argument.h"
#include "render/terminal.h"
#include "render/text_table.h"

namespace bigmodel::app {

/// Where --solve context stops for a model that states no positions.
inline constexpr std::int64_t kMostTokens = 1 << 24;

/// The answers of one dtype.
struct InferenceRow {
  DType dtype = DType::float16;
  std::string label;             ///< the dtype's name, or the quantisation method of weights as stored
  InferenceMemory memory;
  std::optional<Fit> fit;
  std::optional<std::int64_t> solved_context, solved_batch, solved_devices;  ///< where asked for and where there is one
};

struct InferenceResult {
  std::string class_name;
  std::string engine;            ///< as the option spells it
  InferenceRequest request;      ///< without dtype
  std::shared_ptr<const InferencePlan> plan;  ///< for figures of other requests
  std::int64_t parameters = 0, active_parameters = 0;
  std::optional<DevicePool> pool;
  std::vector<std::string> solve;  ///< of context, batch, dtype, devices
  std::int64_t most_context = 0;   ///< what --solve context stops at
  std::vector<InferenceRow> rows;
  std::optional<std::string> widest_dtype;  ///< --solve dtype: the label of a row, in their order
  std::vector<std::string> remedies;  ///< where the first row does not fit: cheapest first
  std::vector<std::string> unread;    ///< keys that would change caches and are not read
  std::vector<std::string> warnings;

  /// Every row fits, tightly at least, and every layer's cache is known.
  bool fits() const;
};

/// Rows of the option table: --context, --batch, --beams, --kv-dtype, --engine, --attention, --prefill-chunk, --device, --split,
/// --machine, --fits, --solve.
std::vector<OptionSpec> inference_option_rows();

/// Whether the call asks for any of it. `trains`: devices and attention are then asked about for training.
bool asks_for_inference(const Options& options, bool trains);

/// The dtypes of the rows: --dtypes where given, else the weights as stored (`stored` may be null), else the dtype that the config stores,
/// else float16.
/// Throws UsageError for counts, formats and devices that make no sense, or that contradict each other.
InferenceResult estimate_inference(spec::SpecLibrary& library, const FoundModel& model, const StoredEstimate* stored, const Options& options,
                                   Session& session);

/// --device or --machine; empty without either. Throws UsageError for both, and for devices that are not known.
std::optional<DevicePool> device_pool_of(const Options& options);

/// "0-2", "3"; layers as "0-15", "0-31, 8 each", or "part of 32".
std::string number_range(std::int64_t first, std::int64_t count);
std::string layers_text(const DeviceShare& share, SplitMode mode);

/// "on 2 x H100 80GB (79.18 GiB usable each):" and a bar with the verdict below it; the same as JSON.
std::string pool_line(const DevicePool& pool);
std::string fit_line(std::string_view label, FitVerdict verdict, const ByteRange& needed, std::int64_t usable_bytes, const Terminal& terminal);
nlohmann::ordered_json pool_json(const DevicePool& pool);
nlohmann::ordered_json range_json(const ByteRange& range);

std::string inference_text(const InferenceResult& result, const Terminal& terminal);
std::string inference_markdown(const InferenceResult& result);
nlohmann::ordered_json inference_json(const InferenceResult& result);

}  // namespace bigmodel::app
