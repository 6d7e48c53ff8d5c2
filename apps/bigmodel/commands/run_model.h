// SPDX-License-Identifier: Apache-2.0
// The model of a run: found, checked, and with its weights placed.
#pragma once

#include <memory>
#include <optional>

#include "bigmodel/device/cpu/thread_pool.h"
#include "bigmodel/engine/auto_device_map.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "commands/demo_model.h"
#include "commands/model_argument.h"
#include "commands/read_files.h"
#include "commands/run_devices.h"

namespace bigmodel::app {

/// Rows of the option table: --dtype, --threads, --context, --device-map, --max-memory and those of model_argument.h.
std::vector<OptionSpec> placement_option_rows();

/// How much a run keeps at once.
struct RunSize {
  std::int64_t prompt_tokens = 1;   ///< of the longest prompt
  std::int64_t tokens = 1;          ///< of a sequence, prompt and new ones
  std::int64_t sequences = 1;       ///< beams included
};

struct RunModel {
  FoundModel found;
  std::unique_ptr<spec::SpecLibrary> library;
  std::optional<DemoCheckpoint> demo;        ///< where no MODEL is named
  std::optional<Checkpoint> checkpoint;      ///< until it is loaded
  ReadFiles files;                           ///< of it
  std::optional<DeviceMap> given_map;        ///< --device-map as JSON, in the call or in a file
  QuantizationMethod quantization;           ///< of the checkpoint
  MetaGraph graph;                           ///< until it is loaded
  DType dtype = DType::float32;
  DType kv_dtype = DType::float32;           ///< of keys and values in RAM
  std::optional<DType> quantize;             ///< --quantize: q8_0 or q4_0
  std::vector<std::pair<std::string, DType>> special_dtypes;   ///< of the weights that it is about
  std::vector<std::string> sliceable;        ///< weights that come in slices where they are streamed through the processor
  std::optional<LayerwiseCasting> casting;   ///< --storage-dtype
  std::optional<MetaGraph> small_graph;      ///< with those weights as they are kept
  std::int64_t cast_bytes = 0;               ///< of the largest layer that is cast for its forward
  std::optional<std::uint64_t> init_seed;    ///< of tensors that the checkpoint lacks; none: they are an error
  std::optional<std::int64_t> drawn_seed;    ///< where tokens are drawn
  std::vector<std::string> assumptions, warnings;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<RunDevices> devices;       ///< null: --device-map asks for none
  std::unique_ptr<LoadedModel> loaded;       ///< last: it uses the pool
  bool reads_ahead = true;                   ///< what is streamed has a second slot; plan_run says
  double load_s = 0;

  /// For planning: what the weights take.
  const MetaGraph& planned() const { return small_graph ? *small_graph : graph; }
  bool is_demo() const { return demo.has_value(); }
};

/// Everything but the weights, which are opened. Throws UnsupportedError for what cannot be run, and what finding a model throws.
RunModel find_run_model(const Options& options, Session& session);

/// What planning takes for this run, but for the RAM.
AutoMapRequest map_request(const RunModel& model, const RunSize& size);

/// Where the weights will lie: as --device-map says. Throws CapacityError naming what would fit, DeviceError, UsageError, FormatError.
AutoMap run_device_map(const RunModel& model, const Options& options, const RunSize& size);

/// Reads them. Throws what load_checkpoint_and_dispatch throws.
void load_run_model(RunModel& model, DeviceMap map, Session& session);

/// Of the model's folder, or of the demo model. Throws NotFoundError (no tokenizer there) and what reading one throws.
tokenizer::Tokenizer run_tokenizer(const RunModel& model);

}  // namespace bigmodel::app
