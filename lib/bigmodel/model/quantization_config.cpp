// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/text_part.h"

namespace bigmodel {
namespace {

using Scales = PackedForm::Scales;
using Rule = QuantizationConfig::Rule;
using Reach = QuantizationConfig::Reach;

constexpr std::string_view kObject = "quantised weights";
constexpr std::int64_t kLargestGroup = std::int64_t{1} << 31;

const std::string* text_of(const spec::Map& map, std::string_view key) {
  const spec::Value* value = spec::find(map, key);
  return value == nullptr ? nullptr : value->if_string();
}

bool flag_of(const spec::Map& map, std::string_view key, bool fallback = false) {
  const spec::Value* value = spec::find(map, key);
  return value == nullptr || value->is_null() ? fallback : value->truthy();
}

const spec::Map* map_of(const spec::Map& map, std::string_view key) {
  const spec::Value* value = spec::find(map, key);
  return value == nullptr ? nullptr : value->if_map();
}

std::vector<std::string> texts_of(const spec::Value* value) {
  std::vector<std::string> out;
  if (value == nullptr) return out;
  if (const std::string* one = value->if_string()) out.push_back(*one);
  if (const spec::List* list = value->if_list()) {
    for (const spec::Value& item : *list) {
      for (std::string& text : texts_of(&item)) out.push_back(std::move(text));
    }
  }
  return out;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

PackedForm four_bit_form(std::string_view type, bool double_quant) {
  PackedForm form{.name = fmt::format("{}{}", type, double_quant ? ", double quant" : "")};
  form.element_bits = 4;
  form.scales = Scales::run;
  form.group = 64;
  form.scale_bits = double_quant ? 8 : 32;
  form.scales_per_scale = double_quant ? 256 : 0;
  return form;
}

std::string method_of(const spec::Map& map) {
  if (const std::string* stated = text_of(map, "quant_method")) return lower(*stated);
  if (flag_of(map, "load_in_4bit") || flag_of(map, "load_in_8bit")) return "bitsandbytes";
  if (spec::find(map, "config_groups") != nullptr) return "compressed-tensors";
  return "unknown";
}

/// The method's own reader: keys of one quantization_config.
class Reader {
 public:
  /// `config`: whose the map is, for what it says outside of it.
  Reader(const spec::Map& map, const spec::Map& config) : map_(map), config_(config) {}

  QuantizationConfig read() {
    out_.method = method_of(map_);
    const std::string& method = out_.method;
    out_.skips_float32 = method != "gptq" && method != "auto-round" && method != "modelopt";
    if (method == "gptq" || method == "auto-round" || method == "awq") {
      read_gptq(method == "awq");
    } else if (method == "bitsandbytes") {
      read_bitsandbytes();
    } else if (method == "fp8" || method == "fbgemm_fp8") {
      read_fp8(method == "fbgemm_fp8");
    } else if (method == "mxfp4") {
      out_.reach = Reach::experts;
      add(mxfp4());
      skip_modules("modules_to_not_convert");
    } else if (method == "nvfp4" || method == "modelopt") {
      read_modelopt();
    } else if (method == "compressed-tensors") {
      read_compressed_tensors();
    } else if (method == "torchao") {
      read_torchao();
    } else if (method == "eetq") {
      add(int8_rows());
      skip_modules("modules_to_not_convert");
    } else {
      unknown(fmt::format("quantisation method '{}'", method));
    }
    if (!out_.unknown.empty()) out_.rules.clear();
    return std::move(out_);
  }

 private:
  void unknown(std::string what) { out_.unknown.push_back(std::move(what)); }
  void add(PackedForm form) { out_.rules.push_back({{}, std::move(form)}); }

  std::int64_t integer(const spec::Map& map, std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most) {
    const spec::Value* value = spec::find(map, key);
    if (value == nullptr || value->is_null()) return fallback;
    const std::int64_t* number = value->if_int();
    if (number != nullptr && *number >= least && *number <= most) return *number;
    unknown(fmt::format("'{}' is {}, expected a number from {} to {}", key, value->describe(), least, most));
    return fallback;
  }
  int bits(const spec::Map& map, std::string_view key, int fallback) { return static_cast<int>(integer(map, key, fallback, 1, 16)); }
  std::int64_t group(const spec::Map& map, std::string_view key, std::int64_t fallback) {
    const std::int64_t value = integer(map, key, fallback, -1, kLargestGroup);
    return value < 1 ? 0 : value;
  }

  void skip_modules(std::string_view key) {
    const spec::Value* list = spec::find(map_, key);
    if (list == nullptr || list->is_null()) return;
    out_.quantizes_head = true;  // a list replaces the default
    for (std::string& text : texts_of(list)) out_.skipped.push_back(NamePattern::module(std::move(text)));
  }

  template <typename Make>
  void patterns(std::vector<NamePattern>& into, const std::vector<std::string>& texts, Make make) {
    for (const std::string& text : texts) {
      try {
        into.push_back(make(text));
      } catch (const UnsupportedError& e) {
        unknown(e.message());
      }
    }
  }

  static PackedForm grouped(std::string_view kind, int element_bits, std::int64_t size, int scale_bits, int zero_bits) {
    PackedForm form{.name = fmt::format("{}{}, {}", kind, element_bits, size > 0 ? fmt::format("groups of {}", size) : "scale a row")};
    form.element_bits = element_bits;
    form.scales = size > 0 ? Scales::group : Scales::row;
    form.group = size;
    form.scale_bits = scale_bits;
    form.zero_bits = zero_bits;
    return form;
  }
  static PackedForm int8_rows(int scale_bits = 16) { return grouped("int", 8, 0, scale_bits, 0); }
  static PackedForm mxfp4() { return grouped("mxfp", 4, 32, 8, 0); }
  static PackedForm nvfp4() {
    PackedForm form = grouped("nvfp", 4, 16, 8, 0);
    form.bytes_per_matrix = 8;  // float32 scales of the weight and of its input
    form.scalars_per_matrix = 2;
    return form;
  }
  static PackedForm fp8_rows(int scale_bits) { return grouped("fp", 8, 0, scale_bits, 0); }
  static PackedForm fp8_tensor(int scale_bits) {
    PackedForm form{.name = "fp8, one scale"};
    form.element_bits = 8;
    form.scales = Scales::tensor;
    form.scale_bits = scale_bits;
    return form;
  }
  static PackedForm fp8_tiles(std::int64_t rows, std::int64_t columns, int scale_bits) {
    PackedForm form{.name = fmt::format("fp8, tiles of {}x{}", rows, columns)};
    form.element_bits = 8;
    form.scales = Scales::tile;
    form.group = rows;
    form.group_columns = columns;
    form.scale_bits = scale_bits;
    return form;
  }

  static void add_scalar(PackedForm& form, std::int64_t bytes) {
    form.bytes_per_matrix += bytes;
    ++form.scalars_per_matrix;
  }

  /// float16 scales, zeros as wide as the elements; gptq also keeps the group of each input.
  PackedForm gptq_form(const spec::Map& keys, bool awq) {
    const auto key = [&](std::string_view first, std::string_view second) { return spec::find(keys, first) != nullptr ? first : second; };
    const int width = bits(keys, key("bits", "w_bit"), 4);
    PackedForm form = grouped("int", width, group(keys, key("group_size", "q_group_size"), 128), 16, width);
    form.container_bits = 32;
    if (!awq) form.bytes_per_input = 4;
    return form;
  }

  void read_gptq(bool awq) {
    out_.reach = Reach::layer_linears;
    out_.quantizes_head = flag_of(map_, "lm_head");
    const bool packs_as_awq = awq || (text_of(map_, "packing_format") != nullptr && text_of(map_, "packing_format")->find("awq") != std::string::npos);
    const PackedForm form = gptq_form(map_, packs_as_awq);
    if (const spec::Map* dynamic = map_of(map_, "dynamic")) {
      for (const auto& [pattern, changes] : *dynamic) {
        Rule rule;
        std::string_view text = pattern;
        const bool leaves = text.starts_with("-:");
        if (leaves || text.starts_with("+:")) text.remove_prefix(2);
        patterns(rule.names, {std::string(text)}, [](const std::string& t) { return NamePattern::regex(t); });
        if (!leaves) {
          spec::Map keys = changes.if_map() != nullptr ? *changes.if_map() : spec::Map{};
          for (const char* inherited : {"bits", "group_size"}) {
            if (spec::find(keys, inherited) == nullptr && spec::find(map_, inherited) != nullptr) keys.emplace_back(inherited, *spec::find(map_, inherited));
          }
          rule.form = gptq_form(keys, packs_as_awq);
        }
        out_.rules.push_back(std::move(rule));
      }
    }
    Rule rule{{}, form};
    for (std::string& inner : texts_of(spec::find(map_, "modules_in_block_to_quantize"))) rule.names.push_back(NamePattern::module(std::move(inner)));
    out_.rules.push_back(std::move(rule));
    for (std::string& text : texts_of(spec::find(map_, "modules_to_not_convert"))) out_.skipped.push_back(NamePattern::module(std::move(text)));
  }

  void read_bitsandbytes() {
    const bool four = flag_of(map_, "load_in_4bit") || flag_of(map_, "_load_in_4bit");
    if (four) {
      const std::string* type = text_of(map_, "bnb_4bit_quant_type");
      PackedForm form = four_bit_form(type == nullptr ? "fp4" : *type, flag_of(map_, "bnb_4bit_use_double_quant"));
      form.group = integer(map_, "bnb_4bit_blocksize", form.group, 1, kLargestGroup);
      add(std::move(form));
    } else if (flag_of(map_, "load_in_8bit") || flag_of(map_, "_load_in_8bit")) {
      add(int8_rows(32));
    } else {
      unknown("bitsandbytes with neither 'load_in_4bit' nor 'load_in_8bit'");
    }
    skip_modules("llm_int8_skip_modules");
  }

  void read_fp8(bool rows) {
    const spec::Value* block = spec::find(map_, "weight_block_size");
    if (rows) {
      add(fp8_rows(32));
    } else if (block != nullptr && !block->is_null()) {
      const spec::List* list = block->if_list();
      const spec::List& sizes = list != nullptr ? *list : spec::List{};
      const auto size = [&](std::size_t i) {
        const std::int64_t* value = i < sizes.size() ? sizes[i].if_int() : nullptr;
        return value != nullptr && *value > 0 && *value < kLargestGroup ? *value : 0;
      };
      if (sizes.size() != 2 || size(0) == 0 || size(1) == 0) {
        unknown(fmt::format("'weight_block_size' is {}, expected two positive numbers", block->describe()));
      } else {
        add_fp8_tiles(size(0), size(1));
      }
    } else {
      PackedForm form = fp8_tensor(32);
      const std::string* activations = text_of(map_, "activation_scheme");
      if (activations != nullptr && *activations == "static") add_scalar(form, 4);
      add(std::move(form));
    }
    skip_modules("modules_to_not_convert");
    skip_modules("ignored_layers");
  }

  /// DeepSeek-V4: experts in fp4, all scales powers of two in a byte, what compresses the cache left alone.
  void add_fp8_tiles(std::int64_t rows, std::int64_t columns) {
    const std::string* experts = text_of(map_, "expert_dtype");
    if (experts == nullptr && text_of(config_, "expert_dtype") != nullptr) experts = text_of(config_, "expert_dtype");
    if (experts == nullptr || *experts == "fp8") return add(fp8_tiles(rows, columns, 32));
    if (*experts != "fp4") return unknown(fmt::format("'expert_dtype' is '{}'", *experts));
    out_.rules.push_back({{NamePattern::regex(".*\\.experts\\.")}, mxfp4()});
    for (const char* wide : {".*compressor\\..*(wkv|wgate|kv_proj|gate_proj)$", ".*weights_proj$"}) out_.skipped.push_back(NamePattern::regex(wide));
    add(fp8_tiles(rows, columns, 8));
  }

  void read_modelopt() {
    const spec::Map* inner = map_of(map_, "quantization");
    const spec::Map& keys = inner != nullptr ? *inner : map_;
    const std::string* stated = text_of(keys, "quant_algo");
    const std::string algorithm = stated != nullptr ? *stated : out_.method == "nvfp4" ? "NVFP4" : "";
    const std::int64_t size = group(keys, "group_size", 0);
    out_.quantizes_head = true;
    if (algorithm.starts_with("NVFP4")) {
      PackedForm form = nvfp4();
      if (size > 0) form.group = size;
      add(std::move(form));
    } else if (algorithm == "FP8") {
      PackedForm form = fp8_tensor(32);
      add_scalar(form, 4);
      add(std::move(form));
    } else if (algorithm == "FP8_PER_CHANNEL_PER_TOKEN") {
      add(fp8_rows(32));
    } else if (algorithm == "FP8_PB_WO" || algorithm == "FP8_PB_REAL") {
      add(fp8_tiles(128, 128, 32));
    } else if (algorithm == "MXFP4") {
      add(mxfp4());
    } else if (algorithm == "W4A16_AWQ" || algorithm == "W4A8_AWQ") {
      add(grouped("int", 4, size > 0 ? size : 128, 16, 0));
    } else if (algorithm == "INT8" || algorithm == "W8A8_SQ_PER_CHANNEL") {
      add(int8_rows(32));
    } else {
      unknown(fmt::format("algorithm '{}' of {}", algorithm, out_.method));
    }
    for (const char* key : {"exclude_modules", "ignore"}) {
      patterns(out_.skipped, texts_of(spec::find(keys, key)), [](const std::string& t) { return NamePattern::wildcard(t); });
    }
    if (out_.method == "nvfp4") {
      out_.quantizes_head = false;
      skip_modules("modules_to_not_convert");
    }
  }

  void read_compressed_tensors() {
    out_.quantizes_head = true;
    const std::string* status = text_of(map_, "format");
    if (status != nullptr) out_.format = *status;
    const spec::Map* groups = map_of(map_, "config_groups");
    if (groups == nullptr) return unknown("compressed-tensors without config_groups");
    for (const auto& [name, value] : *groups) {
      const spec::Map* one = value.if_map();
      const spec::Map* weights = one == nullptr ? nullptr : map_of(*one, "weights");
      if (weights == nullptr) continue;  // activations only
      const std::string* own = text_of(*one, "format");
      Rule rule;
      std::vector<std::string> targets = texts_of(spec::find(*one, "targets"));
      // "Linear" is a class: what is reached at all is one.
      const bool all = std::ranges::find(targets, "Linear") != targets.end() || targets.empty();
      if (!all) patterns(rule.names, targets, [](const std::string& t) { return NamePattern::target(t); });
      rule.form = compressed_form(*weights, map_of(*one, "input_activations"), own != nullptr ? *own : status != nullptr ? *status : "");
      out_.rules.push_back(std::move(rule));
    }
    patterns(out_.skipped, texts_of(spec::find(map_, "ignore")), [](const std::string& t) { return NamePattern::target(t); });
  }

  PackedForm compressed_form(const spec::Map& weights, const spec::Map* activations, std::string_view format) {
    const int width = bits(weights, "num_bits", 8);
    const std::string* type = text_of(weights, "type");
    const std::string* stated = text_of(weights, "strategy");
    const bool is_float = type != nullptr && *type == "float";
    const std::int64_t size = group(weights, "group_size", 0);
    const std::string strategy = stated != nullptr ? *stated : size > 0 ? "group" : "tensor";
    if (strategy == "tensor_group" || format.starts_with("nvfp4")) return nvfp4();
    if (is_float && width == 4) return size == 32 ? mxfp4() : nvfp4();
    const int zeros = flag_of(weights, "symmetric", true) ? 0 : width;
    PackedForm form = grouped(is_float ? "fp" : "int", width, strategy == "group" ? size : 0, 16, zeros);
    if (strategy == "tensor") {
      form.scales = Scales::tensor;
      form.name = fmt::format("{}{}, one scale", is_float ? "fp" : "int", width);
    } else if (strategy == "block") {
      const spec::Value* block = spec::find(weights, "block_structure");
      const spec::List* sizes = block == nullptr ? nullptr : block->if_list();
      const auto side = [&](std::size_t i) {
        const std::int64_t* value = sizes != nullptr && i < sizes->size() ? (*sizes)[i].if_int() : nullptr;
        return value != nullptr && *value > 0 && *value < kLargestGroup ? *value : 128;
      };
      form = fp8_tiles(side(0), side(1), 16);
      form.element_bits = width;
    } else if (strategy != "group" && strategy != "channel") {
      unknown(fmt::format("strategy '{}' of compressed-tensors", strategy));
    }
    if (format == "pack-quantized") {
      form.container_bits = 32;
      add_scalar(form, 8);  // weight_shape, two int64
      add_scalar(form, 8);
    }
    if (format == "marlin-24" || format.starts_with("sparse")) unknown(fmt::format("format '{}' of compressed-tensors", format));
    const spec::Value* order = spec::find(weights, "actorder");
    if (order != nullptr && order->if_string() != nullptr && *order->if_string() == "group") form.bytes_per_input = 4;
    if (activations != nullptr && !flag_of(*activations, "dynamic", false)) add_scalar(form, 2);  // scale of the input
    return form;
  }

  void read_torchao() {
    const spec::Value* stated = spec::find(map_, "quant_type");
    std::string type;
    spec::Map keys;
    if (stated != nullptr && stated->if_string() != nullptr) {
      type = *stated->if_string();
      if (const spec::Map* more = map_of(map_, "quant_type_kwargs")) keys = *more;
    } else if (const spec::Map* by_name = stated == nullptr ? nullptr : stated->if_map()) {
      const spec::Map* object = map_of(*by_name, "default");
      if (object == nullptr) object = by_name;
      if (const std::string* name = text_of(*object, "_type")) type = *name;
      if (const spec::Map* data = map_of(*object, "_data")) keys = *data;
    }
    const std::string kind = [&] {
      std::string letters = lower(type);
      std::erase(letters, '_');
      return letters.ends_with("config") ? letters.substr(0, letters.size() - 6) : letters;
    }();
    if (kind == "int4weightonly" || kind == "uintxweightonly") {
      add(grouped("int", 4, group(keys, "group_size", 128), 16, 16));  // scale and zero in the model's dtype
    } else if (kind == "int8weightonly" || kind == "int8dynamicactivationint8weight") {
      add(int8_rows());
    } else if (kind == "int8dynamicactivationint4weight") {
      add(grouped("int", 4, group(keys, "group_size", 32), 16, 0));
    } else if (kind == "float8weightonly" || kind.starts_with("float8dynamicactivationfloat8weight")) {
      add(fp8_rows(32));
    } else {
      unknown(fmt::format("type '{}' of torchao", type));
    }
    skip_modules("modules_to_not_convert");
  }

  const spec::Map& map_;
  const spec::Map& config_;
  QuantizationConfig out_;
};

/// What stands in a config (or a part of one) under the keys of quantisation; the map is empty where that is no object.
struct Stated {
  bool stated = false;
  const spec::Map* map = nullptr;
};

Stated stated_in(const spec::Map& config) {
  Stated out;
  for (const std::string_view key : kQuantizationKeys) {
    const spec::Value* value = spec::find(config, key);
    if (value == nullptr || value->is_null()) continue;
    out.stated = true;
    if (value->if_map() != nullptr && !value->if_map()->empty()) {
      out.map = value->if_map();
      break;
    }
  }
  return out;
}

/// Of the whole config, else of its text part.
struct Places {
  Stated chosen;
  bool differ = false;  ///< both state one, and not the same
};

Places places_of(const spec::Map& config) {
  const Stated own = stated_in(config);
  Stated inner;
  for (const std::string_view part : kTextParts) {
    const spec::Map* text = map_of(config, part);
    if (inner.map == nullptr && text != nullptr) inner = stated_in(*text);
  }
  return {own.map != nullptr || (own.stated && inner.map == nullptr) ? own : inner, own.map != nullptr && inner.map != nullptr && !(*own.map == *inner.map)};
}

}  // namespace

namespace {

std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }
std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }

std::int64_t scales_of(const PackedForm& form, std::int64_t out, std::int64_t in) {
  switch (form.scales) {
    case Scales::none: return 0;
    case Scales::row: return out;
    case Scales::group: return mul(out, ceil_div<std::int64_t>(in, form.group));
    case Scales::run: return ceil_div<std::int64_t>(mul(out, in), form.group);
    case Scales::tile: return mul(ceil_div<std::int64_t>(out, form.group), ceil_div<std::int64_t>(in, form.group_columns));
    case Scales::tensor: return 1;
  }
  return 0;
}

}  // namespace

std::int64_t packed_bytes(const PackedForm& form, std::int64_t out, std::int64_t in) {
  const auto bytes = [&](std::int64_t count, int width) { return ceil_div<std::int64_t>(mul(count, width), 8); };
  const std::int64_t scales = scales_of(form, out, in);
  std::int64_t total = add(bytes(mul(out, in), form.element_bits), add(bytes(scales, form.scale_bits), bytes(scales, form.zero_bits)));
  if (form.scales_per_scale > 0) total = add(total, mul(4, ceil_div<std::int64_t>(scales, form.scales_per_scale)));
  return add(total, add(mul(form.bytes_per_input, in), form.bytes_per_matrix));
}

std::int64_t packed_elements(const PackedForm& form, std::int64_t out, std::int64_t in) {
  const auto held = [&](std::int64_t count, int width) { return width == 0 ? 0 : width >= 8 ? count : ceil_div<std::int64_t>(mul(count, width), form.container_bits); };
  const std::int64_t scales = scales_of(form, out, in);
  std::int64_t total = add(held(mul(out, in), form.element_bits), add(form.scale_bits == 0 ? 0 : scales, held(scales, form.zero_bits)));
  if (form.scales_per_scale > 0) total = add(total, ceil_div<std::int64_t>(scales, form.scales_per_scale));
  return add(total, add(form.bytes_per_input > 0 ? in : 0, form.scalars_per_matrix));
}

const PackedForm* QuantizationConfig::form_of(std::string_view name, std::string_view disk_name, bool in_layer, bool is_expert, bool is_head) const {
  if (reach == Reach::experts && !is_expert) return nullptr;
  if (reach == Reach::layer_linears && !in_layer && !is_head) return nullptr;
  if (is_head && !quantizes_head) return nullptr;
  const auto meant = [&](const NamePattern& pattern) { return pattern.matches(name) || (!disk_name.empty() && pattern.matches(disk_name)); };
  if (std::ranges::any_of(skipped, meant)) return nullptr;
  for (const Rule& rule : rules) {
    if (rule.names.empty() || std::ranges::any_of(rule.names, meant)) return rule.form ? &*rule.form : nullptr;
  }
  return nullptr;
}

std::string quantization_method_name(const spec::Map& config) {
  const Stated stated = places_of(config).chosen;
  if (!stated.stated) return {};
  return stated.map == nullptr ? "unknown" : method_of(*stated.map);
}

std::optional<QuantizationConfig> quantization_of(const Config& config) {
  const Places places = places_of(config.data);
  if (!places.chosen.stated) return std::nullopt;
  if (places.chosen.map == nullptr) {
    QuantizationConfig out;
    out.method = "unknown";
    out.unknown.emplace_back("'quantization_config', which is no object with keys");
    return out;
  }
  QuantizationConfig out = Reader(*places.chosen.map, config.data).read();
  if (places.differ) out.warnings.emplace_back("quantization_config of the model and of its text part differ; the model's counts");
  return out;
}

QuantizationConfig nf4_quantization(bool double_quant) {
  QuantizationConfig out;
  out.method = "bitsandbytes";
  out.rules.push_back({{}, four_bit_form("nf4", double_quant)});
  return out;
}

}  // namespace bigmodel
