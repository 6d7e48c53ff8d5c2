// SPDX-License-Identifier: Apache-2.0
// Builds the module tree of a description under a config. Internal to build_meta_graph.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/model/template_pool.h"
#include "bigmodel/model/tie_resolution.h"
#include "bigmodel/spec/evaluator.h"

namespace bigmodel {

/// A finished module with what its parents still need to know.
struct BuiltModule {
  std::shared_ptr<const ModuleTemplate> module;
  bool entry = false;
  std::set<std::string> no_split;
  std::vector<TieLine> ties;   ///< paths from this module
};

class GraphBuilder {
 public:
  static constexpr std::int64_t kMostModules = 2'000'000;
  static constexpr int kDeepest = 64;
  /// Variants of one class that are remembered: a list of layers that differ has few, or so many that looking costs more than building.
  static constexpr std::size_t kMostRemembered = 16;

  /// Without `disk_rules` modules get none: for those who never look into files, it saves most of the work of large mixtures.
  GraphBuilder(spec::SpecLibrary& library, spec::Evaluator& evaluator, bool disk_rules = true)
      : library_(library), evaluator_(evaluator), disk_rules_(disk_rules) {}

  /// The class `name` of `model` under `config`. Throws SpecError.
  BuiltModule build(const spec::Model& model, spec::ConfigView& config, std::string_view name, const spec::Place& place);
  /// The Python name of a class.
  std::string python_name(const spec::Model& model, std::string_view name, const spec::Frame& frame);
  /// "model.layers.3.mlp": where the last error happened, "" at the root.
  const std::string& failed_at() const { return failed_at_; }

 private:
  struct Pending;
  class Step;
  struct Call {
    const std::vector<const spec::Expr*>* positional = nullptr;
    const std::vector<std::pair<std::string_view, const spec::Expr*>>* named = nullptr;
    const spec::Frame* caller = nullptr;
  };

  /// A class was built before under the same config. What it made depends on nothing but the arguments that it read.
  struct Remembered {
    std::vector<std::pair<std::size_t, spec::Value>> read;   ///< parameter, value
    BuiltModule built;
  };
  /// What else it depends on. The config is held, so that no other takes its address.
  struct Circumstances {
    const spec::EffectiveClass* cls;
    const spec::Model* model;   ///< that calls it
    std::shared_ptr<spec::ConfigView> config;
    SpecPlace place;
    int depth;
    bool keep_float32;
    auto operator<=>(const Circumstances&) const = default;
  };

  BuiltModule build(const spec::Model& model, spec::ConfigView& config, std::string_view name, const spec::Place& place, const Call& call,
                    int depth, bool keep_float32);
  BuiltModule build_class(const spec::EffectiveClass& cls, const spec::Model& model, const SpecPlace& place, const spec::Frame& frame, int depth,
                          bool keep_float32);
  std::vector<spec::Slot> bind(const spec::EffectiveClass& cls, spec::ConfigView& config, const spec::Place& place, const Call& call);
  void fill(Pending& node, const spec::Body& body, const spec::Frame& frame, const spec::Model& model, int depth);
  void add_tensor(Pending& node, const spec::Stmt& stmt, const spec::Frame& frame, const spec::Model& model);
  void add_child(Pending& node, const spec::Stmt& stmt, const spec::Frame& frame, const spec::Model& model, int depth);
  void add_block(Pending& node, const spec::Stmt& stmt, const spec::Frame& frame);
  std::optional<BuiltModule> module(const spec::ModuleExpr& expr, const spec::Stmt* inline_body, const spec::Frame& frame,
                                    const spec::Model& model, int depth, bool keep_float32);
  BuiltModule call(const spec::ModuleExpr& expr, const spec::Frame& frame, const spec::Model& model, int depth, bool keep_float32);
  BuiltModule sequence(const spec::ModuleExpr& expr, const spec::Frame& frame, const spec::Model& model, int depth, bool keep_float32);
  void elements(Pending& node, const spec::ModuleExpr::Element& element, std::int64_t& number, const spec::Frame& frame,
                const spec::Model& model, int depth);
  BuiltModule finish(Pending& node);
  std::string spelled(const std::string& path, const std::vector<const spec::Expr*>& embedded, const spec::Frame& frame);
  DiskForm disk_form(const spec::FormExpr& form, const spec::Frame& frame);
  std::optional<DType> stored_dtype(spec::ConfigView& config);
  bool stays_float32(const spec::Model& model, std::string_view name);
  static void attach(Pending& node, std::string name, BuiltModule child);

  spec::SpecLibrary& library_;
  spec::Evaluator& evaluator_;
  bool disk_rules_;
  TemplatePool pool_;
  std::map<Circumstances, std::vector<Remembered>> remembered_;
  std::unordered_map<const spec::ConfigView*, std::optional<DType>> stored_dtypes_;
  std::vector<std::string> path_;
  std::string failed_at_;
  bool failed_ = false;
};

}  // namespace bigmodel
