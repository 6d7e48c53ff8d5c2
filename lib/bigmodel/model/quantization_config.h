// SPDX-License-Identifier: Apache-2.0
// What a config's `quantization_config` says about how weights are stored: which modules, and how many bits, groups and scales.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/model/config.h"
#include "bigmodel/model/name_pattern.h"

namespace bigmodel {

/// The keys that state it.
inline constexpr std::string_view kQuantizationKeys[] = {"quantization_config", "compression_config"};

/// How one matrix of [out, in] lies in a file: packed elements, scales, zeros, and what else a method keeps with them.
struct PackedForm {
  enum class Scales {
    none,
    row,     ///< one an output row
    group,   ///< one per `group` inputs of each row
    run,     ///< one per `group` elements of the flattened matrix
    tile,    ///< one per `group` rows times `group_columns` columns
    tensor,  ///< one for the matrix
  };
  std::string name;                  ///< "int4, groups of 128"
  int element_bits = 16;
  Scales scales = Scales::none;
  std::int64_t group = 0, group_columns = 0;
  int scale_bits = 0;
  int zero_bits = 0;                 ///< beside each scale; 0: symmetric
  std::int64_t scales_per_scale = 0; ///< so many scales share a float32 of their own (double quantisation); 0: none do
  std::int64_t bytes_per_input = 0;  ///< a list of groups
  std::int64_t bytes_per_matrix = 0; ///< shapes and scalars
  std::int64_t scalars_per_matrix = 0;  ///< how many numbers those are
  int container_bits = 8;            ///< of the integers that hold elements and zeros of less than 8 bits
};

/// Throws FormatError where it does not fit 64 bits.
std::int64_t packed_bytes(const PackedForm& form, std::int64_t out, std::int64_t in);
/// Numbers in the matrix's tensors as headers list them: containers of narrow elements, scales and scalars one each. The same error.
std::int64_t packed_elements(const PackedForm& form, std::int64_t out, std::int64_t in);

struct QuantizationConfig {
  /// Which matrices a method touches at all.
  enum class Reach { linears, layer_linears /* of repeated layers */, experts };
  struct Rule {
    std::vector<NamePattern> names;       ///< any; empty: all
    std::optional<PackedForm> form;       ///< empty: left alone
  };

  std::string method;                     ///< quant_method, in lower case; "unknown" where none is stated
  std::string format;                     ///< of compressed-tensors: how values are written ("pack-quantized", "float-quantized")
  Reach reach = Reach::linears;
  std::vector<Rule> rules;                ///< the first that matches holds; none: left alone
  std::vector<NamePattern> skipped;
  bool skips_float32 = false;             ///< modules that stay float32 in a 16-bit model are left alone
  bool quantizes_head = false;            ///< also the output layer and what is tied, where `skipped` does not say otherwise
  std::vector<std::string> unknown;       ///< what is not understood: figures are then those before quantisation
  std::vector<std::string> warnings;      ///< contradictions

  /// The form of a matrix under the names that it has; empty: left alone. `is_head`: it is the output layer.
  const PackedForm* form_of(std::string_view name, std::string_view disk_name, bool in_layer, bool is_expert, bool is_head) const;
};

/// The one reader of `quantization_config` (or `compression_config`): of the config itself, or of its text part. nullopt where nothing is
/// quantised. Methods: gptq, awq, auto-round, bitsandbytes, fp8,
/// fbgemm_fp8, mxfp4, nvfp4, modelopt, compressed-tensors, torchao, eetq; layouts as their libraries write them.
std::optional<QuantizationConfig> quantization_of(const Config& config);

/// Its `method` alone; empty where nothing is quantised.
std::string quantization_method_name(const spec::Map& config);

/// bitsandbytes' nf4 in blocks of 64, scales in float32 or, with `double_quant`, in 8 bits: what QLoRA trains on.
QuantizationConfig nf4_quantization(bool double_quant);

}  // namespace bigmodel
