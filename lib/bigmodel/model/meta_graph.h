// SPDX-License-Identifier: Apache-2.0
// The meta graph: every module, parameter and buffer of a model by name, class, shape and dtype, without data.
// Repeated layers are stored once: a child may stand for a run of equally built children numbered first_index..
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bigmodel/core/dtype.h"
#include "bigmodel/core/shape.h"
#include "bigmodel/spec/value.h"

namespace bigmodel {

/// The line of a description that made something; file is an index into MetaGraph::spec_files. Line 0: made elsewhere.
struct SpecPlace {
  std::uint32_t file = 0;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  auto operator<=>(const SpecPlace&) const = default;
};

/// One parameter or buffer of a module, under its local name.
struct TensorTemplate {
  std::string name;
  Shape shape;
  std::optional<DType> dtype;   ///< fixed by the description; empty: the model's dtype
  bool keep_float32 = false;    ///< stays float32 where the model is float16 (`fp32` names of the description)
  bool persistent = true;       ///< false: a buffer that the state dict leaves out
  SpecPlace place;
};

/// How a tensor (or a whole subtree) of memory lies in checkpoint files: section 7 of the architecture language, evaluated.
struct DiskForm {
  enum class Kind { name, absent, concat, stack, transpose, part };  ///< absent: never written to files
  Kind kind = Kind::name;
  std::string name;              ///< Kind::name, relative to the module that states the rule
  int axis = 0;                  ///< concat, part
  int index = 0, count = 1;      ///< part: the index-th of count parts of a fused file tensor, equal ones where `sizes` is empty
  std::vector<std::int64_t> sizes;  ///< concat, part: of each piece along the axis; empty: equal pieces
  std::vector<DiskForm> forms;   ///< concat, stack: in order; transpose, part: one
};

struct DiskRule {
  std::string path;              ///< a tensor or child below the module
  DiskForm form;
  bool legacy = false;           ///< only helps reading
};

/// What an engine binds to: kind and properties of section 8. A property that names a member is a spec::Value reference.
struct Block {
  std::string kind;
  std::vector<std::pair<std::string, spec::Value>> properties;
  std::string error;             ///< why a property could not be computed under this config: an engine then refuses the block
};

struct ModuleTemplate;

/// A child, or `count` equal ones named first_index, first_index + 1, ... .
struct ModuleChild {
  std::string name;              ///< of the only (or first) child
  std::int64_t first_index = 0;  ///< meaningful where count > 1
  std::int64_t count = 1;
  std::shared_ptr<const ModuleTemplate> module;

  std::string name_at(std::int64_t k) const { return count == 1 ? name : std::to_string(first_index + k); }
};

/// Immutable once built; shared between all places where an equal module stands.
struct ModuleTemplate {
  std::string class_name;                    ///< Python's: "BertLayer", "Linear"
  std::string layer_kind;                    ///< the prelude class it is ("Linear", "Embedding", ...), else empty
  std::vector<TensorTemplate> parameters;    ///< own, in registration order
  std::vector<TensorTemplate> buffers;
  std::vector<ModuleChild> children;         ///< in registration order
  std::optional<Block> block;
  std::vector<DiskRule> disk;
  std::optional<DType> stored_dtype;         ///< the dtype that this module's (nested) config states
  SpecPlace place;
  std::int64_t module_count = 1;             ///< expanded, itself included
};

struct MetaGraph {
  std::string model_type;
  std::string class_name;
  std::shared_ptr<const ModuleTemplate> root;
  std::vector<std::string> no_split_modules;            ///< sorted class names
  /// Groups of parameter names that are one tensor, each in listing order: the first name is the one that a
  /// deduplicating walk keeps. Groups in order of their first names.
  std::vector<std::vector<std::string>> tied;
  /// Per group of `tied`: the name that files keep (the source of the tie, which need not be the first).
  std::vector<std::string> tie_sources;
  std::vector<std::string> spec_files;                  ///< for SpecPlace::file
  std::vector<std::string> notes;                       ///< config keys that the description never reads
  std::vector<std::string> warnings;                    ///< the same where the name looks structural
  std::vector<std::string> assumptions;                 ///< what could not be known; empty for a described type
  std::optional<DType> stored_dtype;                    ///< of the whole config
};

/// A tensor at its place in the expanded graph. `tied_to` is empty, or the first name of its tied group.
struct TensorVisit {
  const std::string& name;
  const TensorTemplate& tensor;
  const ModuleTemplate& module;
  bool is_buffer;
  std::string_view tied_to;
};

/// Modules in PyTorch's named_modules order: the root ("") first, depth first.
void for_each_module(const MetaGraph& graph,
                     const std::function<void(const std::string& name, const ModuleTemplate&)>& visit);

/// named_parameters(remove_duplicate=False), then named_buffers(remove_duplicate=False).
void for_each_tensor(const MetaGraph& graph, const std::function<void(const TensorVisit&)>& visit);

/// tied name -> first name of its group, without the first names themselves.
std::unordered_map<std::string, std::string> tied_names(const MetaGraph& graph);

/// The dtype of a tensor where the model is loaded in `model_dtype`.
DType resolved_dtype(const TensorTemplate& tensor, DType model_dtype);

/// The module under a dotted name, or null. "" is the root.
const ModuleTemplate* find_module(const MetaGraph& graph, std::string_view name);
/// The module at a dotted path below a module ("" is itself), or null.
const ModuleTemplate* find_below(const ModuleTemplate& module, std::string_view path);

struct GraphTotals {
  std::int64_t parameters = 0;       ///< elements, tied tensors once
  std::int64_t buffers = 0;          ///< elements
  std::int64_t tensors = 0;          ///< parameters (tied once) and buffers
  std::int64_t parameter_tensors = 0;
};

/// Throws FormatError where a total does not fit 64 bits.
GraphTotals graph_totals(const MetaGraph& graph);

}  // namespace bigmodel
