// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/graph_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/suggestion.h"

namespace bigmodel {

using spec::Frame;
using spec::SpecError;
using spec::Stmt;
using spec::StmtKind;

namespace {

SpecPlace to_place(const spec::Place& place) {
  return {place.source == nullptr ? 0 : place.source->index, place.line, place.column};
}

constexpr std::size_t kMostPieces = 4096;
constexpr std::int64_t kLargestPiece = std::int64_t{1} << 40;

/// The list of a form whose pieces differ in size.
std::vector<std::int64_t> piece_sizes(const spec::Value& value, const spec::FormExpr& form) {
  const spec::Place place = form.sizes->place;
  const spec::List* list = value.if_list();
  if (list == nullptr || list->empty() || list->size() > kMostPieces) {
    throw SpecError(fmt::format("expected a list of sizes, got {}", value.describe()), place);
  }
  std::vector<std::int64_t> out;
  for (const spec::Value& size : *list) {
    const std::int64_t* number = size.if_int();
    if (number == nullptr || *number < 0 || *number > kLargestPiece) {
      throw SpecError(fmt::format("expected a size, got {}", size.describe()), place);
    }
    out.push_back(*number);
  }
  if (form.kind == spec::FormExpr::Kind::part && static_cast<std::size_t>(form.index) >= out.size()) {
    throw SpecError("part: the index must be below the number of sizes", place);
  }
  if (form.kind == spec::FormExpr::Kind::concat && form.forms.size() != out.size()) {
    throw SpecError(fmt::format("concat: {} sizes for {} tensors", out.size(), form.forms.size()), place);
  }
  return out;
}

}  // namespace

/// A module while its body is evaluated.
struct GraphBuilder::Pending {
  ModuleTemplate module;
  BuiltModule built;
  bool keep_float32 = false;
  std::vector<std::pair<const Stmt*, const Frame*>> blocks;
};

/// Remembers the chain of modules for the error that leaves it.
class GraphBuilder::Step {
 public:
  Step(GraphBuilder& builder, std::string name) : builder_(builder), exceptions_(std::uncaught_exceptions()) {
    builder_.path_.push_back(std::move(name));
  }
  ~Step() {
    if (std::uncaught_exceptions() > exceptions_ && !builder_.failed_) {
      builder_.failed_ = true;
      builder_.failed_at_ = fmt::format("{}", fmt::join(builder_.path_, "."));
    }
    builder_.path_.pop_back();
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

 private:
  GraphBuilder& builder_;
  int exceptions_;
};

BuiltModule GraphBuilder::build(const spec::Model& model, spec::ConfigView& config, std::string_view name, const spec::Place& place) {
  return build(model, config, name, place, {}, 0, false);
}

std::string GraphBuilder::python_name(const spec::Model& model, std::string_view name, const Frame& frame) {
  if (!library_.has_own_class(model, name)) return std::string(name);
  const spec::EffectiveClass& cls = library_.class_of(model, name);
  if (cls.alias != nullptr) return evaluator_.text(*cls.alias, frame);
  return fmt::format("{}{}", library_.prefix(model), name);
}

std::vector<spec::Slot> GraphBuilder::bind(const spec::EffectiveClass& cls, spec::ConfigView& config, const spec::Place& place,
                                           const Call& call) {
  static const std::vector<const spec::Expr*> kNoPositional;
  static const std::vector<std::pair<std::string_view, const spec::Expr*>> kNoNamed;
  const auto& positional = call.positional == nullptr ? kNoPositional : *call.positional;
  const auto& named = call.named == nullptr ? kNoNamed : *call.named;
  if (positional.size() > cls.params.size()) {
    throw SpecError(fmt::format("{} takes {} arguments, got {}", cls.name, cls.params.size(), positional.size()), place);
  }
  for (const auto& [name, value] : named) {
    if (std::ranges::find(cls.params, name, &spec::Param::name) != cls.params.end()) continue;
    std::vector<std::string> known;
    for (const spec::Param& param : cls.params) known.emplace_back(param.name);
    throw SpecError(fmt::format("{} has no argument '{}'", cls.name, name), place, did_you_mean(name, known));
  }
  std::vector<spec::Slot> slots;
  slots.reserve(cls.params.size());
  for (std::size_t i = 0; i < cls.params.size(); ++i) {
    const spec::Param& param = cls.params[i];
    const spec::Expr* argument = i < positional.size() ? positional[i] : nullptr;
    if (argument == nullptr) {
      const auto it = std::ranges::find(named, param.name, &std::pair<std::string_view, const spec::Expr*>::first);
      if (it != named.end()) argument = it->second;
    }
    if (argument != nullptr) {
      // A variable that is only handed on does not count as read: see Slot.
      const spec::Slot* passed = argument->kind == spec::ExprKind::variable ? call.caller->find_slot(argument->name) : nullptr;
      if (passed != nullptr) {
        slots.push_back({param.name, {}, passed});
      } else {
        slots.push_back({param.name, evaluator_.eval(*argument, *call.caller)});
      }
    } else if (param.fallback != nullptr) {
      slots.push_back({param.name, evaluator_.eval(*param.fallback, Frame(config, slots, nullptr))});
    } else {
      throw SpecError(fmt::format("{}: argument '{}' is missing", cls.name, param.name), place);
    }
  }
  return slots;
}

BuiltModule GraphBuilder::build(const spec::Model& model, spec::ConfigView& config, std::string_view name, const spec::Place& place,
                                const Call& call, int depth, bool keep_float32) {
  const spec::EffectiveClass& cls = library_.class_of(model, name, place);
  const Frame frame(config, bind(cls, config, place, call), &cls.body);
  const std::vector<spec::Slot>& slots = frame.slots();
  std::vector<Remembered>& before = remembered_[{&cls, &model, config.shared_from_this(), to_place(place), depth, keep_float32}];
  for (const Remembered& one : before) {
    if (!std::ranges::all_of(one.read, [&](const auto& read) { return slots[read.first].peek().is_identical(read.second); })) continue;
    for (const auto& read : one.read) slots[read.first].get();  // marks the callers' variables, as building would
    return one.built;
  }
  BuiltModule built = build_class(cls, model, to_place(place), frame, depth, keep_float32);
  if (before.size() < kMostRemembered) {
    Remembered& one = before.emplace_back();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].read) one.read.emplace_back(i, slots[i].peek());
    }
    one.built = built;
  }
  return built;
}

BuiltModule GraphBuilder::build_class(const spec::EffectiveClass& cls, const spec::Model& model, const SpecPlace& place, const Frame& frame,
                                      int depth, bool keep_float32) {
  const bool layer = cls.model == &library_.prelude();
  Pending node;
  node.keep_float32 = keep_float32;
  node.module.place = place;
  node.module.class_name = cls.alias != nullptr ? evaluator_.text(*cls.alias, frame)
                           : layer              ? std::string(cls.name)
                                                : fmt::format("{}{}", library_.prefix(*cls.model), cls.name);
  if (layer) node.module.layer_kind = std::string(cls.name);
  node.module.stored_dtype = stored_dtype(frame.config());
  node.built.entry = cls.entry;
  const auto own = std::ranges::find_if(cls.body, [](const Stmt* s) { return s->kind == StmtKind::nosplit; });
  if (own != cls.body.end()) {
    for (const std::string_view n : (*own)->names) node.built.no_split.insert(python_name(model, n, frame));
  } else if (cls.entry) {
    for (const std::string_view n : library_.nosplit(model)) node.built.no_split.insert(python_name(model, n, frame));
  }
  fill(node, cls.body, frame, model, depth);
  return finish(node);
}

std::optional<DType> GraphBuilder::stored_dtype(spec::ConfigView& config) {
  const auto [it, fresh] = stored_dtypes_.try_emplace(&config);
  if (fresh && config.has("dtype")) {
    const spec::Value value = config.get("dtype");
    if (const std::string* text = value.if_string()) it->second = find_dtype(*text);
  }
  return it->second;
}

bool GraphBuilder::stays_float32(const spec::Model& model, std::string_view name) {
  const auto& names = library_.fp32(model);
  return std::ranges::find(names, name) != names.end();
}

void GraphBuilder::fill(Pending& node, const spec::Body& body, const Frame& frame, const spec::Model& model, int depth) {
  if (depth > kDeepest) {
    throw SpecError("modules nest too deeply (a class that contains itself?)", body.empty() ? spec::Place{} : body.front()->place);
  }
  if (!body.empty()) evaluator_.count_steps(static_cast<std::int64_t>(body.size()), body.front()->place);
  for (const Stmt* stmt : body) {
    switch (stmt->kind) {
      case StmtKind::param:
      case StmtKind::buffer: add_tensor(node, *stmt, frame, model); break;
      case StmtKind::child: add_child(node, *stmt, frame, model, depth); break;
      case StmtKind::branch:
        for (const auto& [condition, arm] : stmt->arms) {
          if (condition != nullptr && !evaluator_.truth(*condition, frame)) continue;
          fill(node, arm, Frame(frame, {}, &arm), model, depth);
          break;
        }
        break;
      case StmtKind::loop: {
        const spec::LoopRange range = evaluator_.range(stmt->range, frame);
        for (std::int64_t k = 0; k < range.count; ++k) {
          fill(node, stmt->body, Frame(frame, {{stmt->range.name, range.at(k)}}, &stmt->body), model, depth);
        }
        break;
      }
      case StmtKind::tie:
        if (stmt->condition == nullptr || evaluator_.truth(*stmt->condition, frame)) {
          node.built.ties.push_back({spelled(stmt->path, stmt->path_embedded, frame), spelled(stmt->other, stmt->other_embedded, frame),
                                     stmt->place});
        }
        break;
      case StmtKind::disk:
        if (!disk_rules_) break;
        if (stmt->condition == nullptr || evaluator_.truth(*stmt->condition, frame)) {
          node.module.disk.push_back({spelled(stmt->path, stmt->path_embedded, frame), disk_form(*stmt->form, frame), stmt->legacy});
        }
        break;
      case StmtKind::block: add_block(node, *stmt, frame); break;
      case StmtKind::let:
      case StmtKind::remove:
      case StmtKind::rename:
      case StmtKind::nosplit: break;
    }
  }
}

void GraphBuilder::add_tensor(Pending& node, const Stmt& stmt, const Frame& frame, const spec::Model& model) {
  if (stmt.condition != nullptr && !evaluator_.truth(*stmt.condition, frame)) return;
  TensorTemplate tensor;
  tensor.name = evaluator_.text(*stmt.name, frame);
  for (const spec::Expr* dim : stmt.dims) {
    const spec::Value value = evaluator_.eval(*dim, frame);
    const std::int64_t* size = value.if_int();
    if (size == nullptr || *size < 0) {
      throw SpecError(fmt::format("a size must be a non-negative integer, got {}", value.describe()), dim->place);
    }
    tensor.shape.push_back(*size);
  }
  std::int64_t count = 1;
  for (const std::int64_t d : tensor.shape) {
    const auto next = try_mul(count, std::max<std::int64_t>(d, 1));
    if (!next) throw SpecError(fmt::format("shape {} has more than 2^63 elements", to_string(tensor.shape)), stmt.place);
    count = *next;
  }
  tensor.dtype = stmt.dtype;
  tensor.keep_float32 = node.keep_float32 || stays_float32(model, tensor.name);
  tensor.persistent = !stmt.unsaved;
  tensor.place = to_place(stmt.place);
  std::vector<TensorTemplate>& list = stmt.kind == StmtKind::param ? node.module.parameters : node.module.buffers;
  const auto same = std::ranges::find(list, tensor.name, &TensorTemplate::name);
  if (same != list.end()) {
    *same = std::move(tensor);
  } else {
    list.push_back(std::move(tensor));
  }
}

void GraphBuilder::attach(Pending& node, std::string name, BuiltModule child) {
  for (TieLine& tie : child.ties) {
    node.built.ties.push_back({name + "." + tie.dst, name + "." + tie.src, tie.place});
  }
  if (node.built.entry && child.entry) node.built.no_split.insert(child.no_split.begin(), child.no_split.end());
  const auto same = std::ranges::find(node.module.children, name, &ModuleChild::name);
  if (same != node.module.children.end() && same->count == 1) {
    same->module = std::move(child.module);
  } else {
    node.module.children.push_back({std::move(name), 0, 1, std::move(child.module)});
  }
}

void GraphBuilder::add_child(Pending& node, const Stmt& stmt, const Frame& frame, const spec::Model& model, int depth) {
  std::string name = evaluator_.text(*stmt.name, frame);
  const Step step(*this, name);
  const bool keep = node.keep_float32 || stays_float32(model, name);
  std::optional<BuiltModule> child = module(*stmt.module, stmt.has_body ? &stmt : nullptr, frame, model, depth + 1, keep);
  if (child) attach(node, std::move(name), std::move(*child));
}

void GraphBuilder::add_block(Pending& node, const Stmt& stmt, const Frame& frame) {
  Block block;
  block.kind = std::string(stmt.word);
  // A role that cannot be computed must not stop an estimate: the engine refuses such a block by its error.
  try {
    for (const auto& [name, value] : stmt.properties) {
      spec::Value v = evaluator_.eval(*value, frame);
      if (v.if_config() != nullptr) v = spec::Value{};
      block.properties.emplace_back(std::string(name), std::move(v));
    }
  } catch (const SpecError& e) {
    block.error = e.what();
    failed_ = false;
  }
  node.module.block = std::move(block);
}

std::optional<BuiltModule> GraphBuilder::module(const spec::ModuleExpr& expr, const Stmt* inline_body, const Frame& frame,
                                                const spec::Model& model, int depth, bool keep_float32) {
  using Kind = spec::ModuleExpr::Kind;
  switch (expr.kind) {
    case Kind::none: return std::nullopt;
    case Kind::choice:
      return module(evaluator_.truth(*expr.condition, frame) ? *expr.then : *expr.otherwise, inline_body, frame, model, depth, keep_float32);
    case Kind::sequence:
      if (inline_body == nullptr) return sequence(expr, frame, model, depth, keep_float32);
      break;
    case Kind::call:
    case Kind::automatic:
      if (inline_body == nullptr) return call(expr, frame, model, depth, keep_float32);
      break;
  }
  Pending node;  // an inline class: the name is only a label
  node.keep_float32 = keep_float32;
  node.module.class_name = std::string(expr.name);
  node.module.place = to_place(expr.place);
  node.module.stored_dtype = stored_dtype(frame.config());
  fill(node, inline_body->body, Frame(frame, {}, &inline_body->body), model, depth);
  return finish(node);
}

BuiltModule GraphBuilder::call(const spec::ModuleExpr& expr, const Frame& frame, const spec::Model& model, int depth, bool keep_float32) {
  const auto config_of = [&](const spec::Expr& e) {
    const spec::Value value = evaluator_.eval(e, frame);
    if (value.if_config() == nullptr) throw SpecError(fmt::format("expected a nested config, got {}", value.describe()), e.place);
    return *value.if_config();
  };
  if (expr.kind == spec::ModuleExpr::Kind::automatic) {
    if (expr.positional.empty()) throw SpecError("auto(...) needs a nested config", expr.place);
    const auto config = config_of(*expr.positional[0]);
    std::string name;
    if (expr.positional.size() > 1) {
      name = evaluator_.text(*expr.positional[1], frame);
    } else if (const auto base = library_.base(config->model())) {
      name = std::string(*base);
    } else {
      throw SpecError(fmt::format("model type '{}' has no base class", config->model().name), expr.place);
    }
    return build(config->model(), *config, name, expr.place, {}, depth, keep_float32);
  }
  std::shared_ptr<spec::ConfigView> nested;
  if (expr.with != nullptr) nested = config_of(*expr.with);
  spec::ConfigView& config = nested ? *nested : frame.config();
  const Call arguments{&expr.positional, &expr.named, &frame};
  if (expr.model == "torch") return build(library_.prelude(), config, expr.name, expr.place, arguments, depth, keep_float32);
  const spec::Model& world = expr.model.empty() ? model : library_.get(expr.model, expr.place);
  return build(world, config, expr.name, expr.place, arguments, depth, keep_float32);
}

BuiltModule GraphBuilder::sequence(const spec::ModuleExpr& expr, const Frame& frame, const spec::Model& model, int depth,
                                   bool keep_float32) {
  Pending node;
  node.keep_float32 = keep_float32;
  node.module.class_name = std::string(expr.name);
  node.module.place = to_place(expr.place);
  node.module.stored_dtype = stored_dtype(frame.config());
  std::int64_t number = 0;
  for (const spec::ModuleExpr::Element& element : expr.elements) elements(node, element, number, frame, model, depth + 1);
  return finish(node);
}

/// One element of a list, or the run of a loop. A loop whose element never read its variable is built once.
void GraphBuilder::elements(Pending& node, const spec::ModuleExpr::Element& element, std::int64_t& number, const Frame& frame,
                            const spec::Model& model, int depth) {
  if (!element.loop) {
    const Step step(*this, std::to_string(number));
    std::optional<BuiltModule> child = module(*element.module, nullptr, frame, model, depth, node.keep_float32);
    if (child) attach(node, std::to_string(number), std::move(*child));
    ++number;
    return;
  }
  const spec::LoopRange range = evaluator_.range(*element.loop, frame);
  for (std::int64_t k = 0; k < range.count;) {
    const Step step(*this, std::to_string(number));
    const Frame inner(frame, {{element.loop->name, range.at(k)}});
    std::optional<BuiltModule> child = module(*element.module, nullptr, inner, model, depth, node.keep_float32);
    const std::int64_t copies = inner.slots().front().read ? 1 : range.count - k;
    if (child) {
      for (std::int64_t copy = 0; copy < (child->ties.empty() ? 0 : copies); ++copy) {
        for (const TieLine& tie : child->ties) {
          const std::string at = std::to_string(number + copy) + ".";
          node.built.ties.push_back({at + tie.dst, at + tie.src, tie.place});
        }
      }
      append_children(node.module.children, std::to_string(number), copies, std::move(child->module));
    }
    number += copies;
    k += copies;
  }
}

BuiltModule GraphBuilder::finish(Pending& node) {
  // A block names members below the module; what is absent under this config reads as null.
  if (node.module.block) {
    for (auto& [name, value] : node.module.block->properties) {
      const spec::MemberRef* member = value.if_member();
      if (member == nullptr) continue;
      const ModuleTemplate* at = &node.module;
      std::string_view rest = member->path;
      bool found = true;
      while (!rest.empty() && found) {
        const std::size_t dot = rest.find('.');
        const std::string_view part = rest.substr(0, dot);
        rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
        const ModuleTemplate* below = nullptr;
        for (const ModuleChild& child : at->children) {
          if (child.name == part) below = child.module.get();
        }
        if (below != nullptr) {
          at = below;
          continue;
        }
        const auto has = [part](const std::vector<TensorTemplate>& list) {
          return std::ranges::find(list, part, &TensorTemplate::name) != list.end();
        };
        found = rest.empty() && (has(at->parameters) || has(at->buffers));
      }
      if (!found) value = spec::Value{};
    }
  }
  std::int64_t modules = 1;
  for (const ModuleChild& child : node.module.children) {
    const auto below = try_mul(child.module->module_count, child.count);
    const auto sum = below ? try_add(modules, *below) : std::nullopt;
    if (!sum || *sum > kMostModules) throw UnsupportedError(fmt::format("the model has more than {} modules", kMostModules));
    modules = *sum;
  }
  node.module.module_count = modules;
  node.built.module = pool_.intern(std::move(node.module));
  return std::move(node.built);
}

/// A path with every {expr} replaced by its value.
std::string GraphBuilder::spelled(const std::string& path, const std::vector<const spec::Expr*>& embedded, const Frame& frame) {
  std::string out;
  std::size_t from = 0;
  for (const spec::Expr* piece : embedded) {
    const std::size_t open = path.find('{', from);
    const std::size_t close = path.find('}', open);
    out.append(path, from, open - from).append(evaluator_.text(*piece, frame));
    from = close + 1;
  }
  return out.append(path, from);
}

DiskForm GraphBuilder::disk_form(const spec::FormExpr& form, const Frame& frame) {
  using Kind = spec::FormExpr::Kind;
  DiskForm out;
  switch (form.kind) {
    case Kind::name:
      out.name = evaluator_.text(*form.name, frame);
      return out;
    case Kind::absent:
      out.kind = DiskForm::Kind::absent;
      return out;
    case Kind::stack: {
      out.kind = DiskForm::Kind::stack;
      const spec::LoopRange range = evaluator_.range(form.loop, frame);
      for (std::int64_t k = 0; k < range.count; ++k) {
        out.forms.push_back(disk_form(*form.forms.front(), Frame(frame, {{form.loop.name, range.at(k)}})));
      }
      return out;
    }
    case Kind::concat: out.kind = DiskForm::Kind::concat; break;
    case Kind::transpose: out.kind = DiskForm::Kind::transpose; break;
    case Kind::part: out.kind = DiskForm::Kind::part; break;
  }
  out.axis = form.axis;
  out.index = form.index;
  out.count = form.count;
  if (form.sizes != nullptr) {
    out.sizes = piece_sizes(evaluator_.eval(*form.sizes, frame), form);
    out.count = static_cast<int>(out.sizes.size());
  }
  for (const spec::FormExpr* part : form.forms) out.forms.push_back(disk_form(*part, frame));
  return out;
}

}  // namespace bigmodel
