// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_scope.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "bigmodel/tokenizer/jinja_filters.h"

namespace bigmodel::tokenizer::jinja {
namespace {

[[noreturn]] void fail(const std::string& message, Place place) { throw JinjaError("TemplateAssertionError", message, place); }

/// Calls visit(name, is_load) for every name in program order; blocks are left out.
template <typename Visit>
class NameWalk {
 public:
  explicit NameWalk(Visit visit) : visit_(std::move(visit)) {}

  void expr(const ExprPtr& e) {
    if (e == nullptr) return;
    if (e->kind == ExprKind::name) visit_(e->name, !e->store);
    for (const ExprPtr& item : e->items) expr(item);
    for (const auto& keyword : e->keywords) expr(keyword.second);
    expr(e->dynamic_args);
    expr(e->dynamic_keywords);
  }
  void function(const Function& f) {
    for (const std::string& parameter : f.parameters) visit_(parameter, false);
    for (const ExprPtr& value : f.defaults) expr(value);
    body(f.body);
  }
  void body(const Body& statements) {
    for (const StmtPtr& s : statements) statement(*s);
  }
  void statement(const Stmt& s) {
    if (s.kind == StmtKind::block) return;
    expr(s.target);
    for (const ExprPtr& target : s.targets) expr(target);
    expr(s.value);
    for (const ExprPtr& value : s.values) expr(value);
    for (const OutputPiece& piece : s.pieces) expr(piece.expr);
    for (const auto& [test, inner] : s.branches) {
      expr(test);
      body(inner);
    }
    if (s.function != nullptr) function(*s.function);
    body(s.body);
    body(s.else_body);
    expr(s.test);
  }

 private:
  Visit visit_;
};

/// Which of `names` are read before anything of that name is stored.
std::set<std::string> undeclared(const Function& function, std::set<std::string> names) {
  std::set<std::string> found;
  NameWalk walk([&](const std::string& name, bool load) {
    if (load && names.contains(name)) {
      found.insert(name);
    } else {
      names.erase(name);
    }
  });
  walk.body(function.body);
  return found;
}

bool reads_loop(const Body& body) {
  bool live = true;
  bool found = false;
  NameWalk walk([&](const std::string& name, bool load) {
    if (name != "loop") return;
    if (load && live) {
      found = true;
    } else {
      live = false;
    }
  });
  walk.body(body);
  return found;
}

template <typename Visit>
void each_statement(const Body& body, const Visit& visit) {
  for (const StmtPtr& s : body) {
    visit(*s);
    for (const auto& branch : s->branches) each_statement(branch.second, visit);
    if (s->function != nullptr) each_statement(s->function->body, visit);
    each_statement(s->body, visit);
    each_statement(s->else_body, visit);
  }
}

bool has_scoped_block(const Stmt& loop) {
  bool found = false;
  const auto visit = [&](const Stmt& s) { found = found || (s.kind == StmtKind::block && s.scoped); };
  each_statement(loop.body, visit);
  each_statement(loop.else_body, visit);
  return found;
}

/// The function that slots belong to while names are resolved.
struct FunctionScope {
  Function* function;
  FunctionScope* parent;
  int loops = 0;
  std::map<std::tuple<int, std::string, bool>, std::uint32_t> slots;

  std::uint32_t slot(int level, const std::string& name, bool filter) {
    const auto [it, added] = slots.try_emplace({level, name, filter}, function->slots);
    if (added) ++function->slots;
    return it->second;
  }
};

struct Ident {
  FunctionScope* owner = nullptr;
  std::uint32_t slot = 0;
};

struct Load {
  SlotLoad::Kind kind;
  Ident outer;
  std::string name;
};

/// The names of one scope.
class Symbols {
 public:
  Symbols(FunctionScope* owner, Symbols* parent, bool filter = false)
      : owner_(owner), parent_(parent), level_(parent == nullptr ? 0 : parent->level_ + 1), filter_(filter) {}

  const Ident* find(const std::string& name) const {
    for (const Symbols* s = this; s != nullptr; s = s->parent_) {
      if (const auto it = s->refs_.find(name); it != s->refs_.end()) return &it->second;
    }
    return nullptr;
  }
  std::uint32_t declare_parameter(const std::string& name) {
    stores_.insert(name);
    return define(name, {SlotLoad::Kind::parameter, {}, name});
  }
  void load(const std::string& name) {
    if (find(name) == nullptr) define(name, {SlotLoad::Kind::resolve, {}, name});
  }
  void store(const std::string& name) {
    stores_.insert(name);
    if (refs_.contains(name)) return;
    const Ident* outer = parent_ == nullptr ? nullptr : parent_->find(name);
    define(name, outer == nullptr ? Load{SlotLoad::Kind::unset, {}, name} : Load{SlotLoad::Kind::alias, *outer, name});
  }
  /// What a name is after a branch that may not have run.
  void merge(const std::vector<Symbols>& branches) {
    std::set<std::string> stores;
    for (const Symbols& branch : branches) stores.insert(branch.stores_.begin(), branch.stores_.end());
    for (const std::string& name : stores_) stores.erase(name);
    for (const Symbols& branch : branches) {
      for (const auto& [name, ident] : branch.refs_) refs_[name] = ident;
      for (const auto& [slot, load] : branch.loads_) loads_.insert_or_assign(slot, load);
      stores_.insert(branch.stores_.begin(), branch.stores_.end());
    }
    for (const std::string& name : stores) {
      const Ident target = *find(name);
      const Ident* outer = parent_ == nullptr ? nullptr : parent_->find(name);
      loads_.insert_or_assign(target.slot, outer == nullptr ? Load{SlotLoad::Kind::resolve, {}, name} : Load{SlotLoad::Kind::alias, *outer, name});
    }
  }

  FunctionScope* owner() const { return owner_; }
  const std::map<std::uint32_t, Load>& loads() const { return loads_; }
  /// Every name that some scope from here outwards stores, and where it is.
  std::map<std::string, Ident> visible_stores() const {
    std::map<std::string, Ident> out;
    for (const Symbols* s = this; s != nullptr; s = s->parent_) {
      for (const std::string& name : s->stores_) {
        if (const Ident* ident = find(name)) out.try_emplace(name, *ident);
      }
    }
    return out;
  }

 private:
  std::uint32_t define(const std::string& name, Load load) {
    const std::uint32_t slot = owner_->slot(level_, name, filter_);
    refs_[name] = {owner_, slot};
    loads_.insert_or_assign(slot, std::move(load));
    return slot;
  }

  FunctionScope* owner_;
  Symbols* parent_;
  int level_;
  bool filter_;
  std::map<std::string, Ident> refs_;
  std::map<std::uint32_t, Load> loads_;
  std::set<std::string> stores_;
};

// What a scope sees of its statements: names they load and store in it, not what they do in scopes of their own.
void see(Symbols& symbols, const Expr* expr) {
  if (expr == nullptr) return;
  if (expr->kind == ExprKind::name && expr->store) {
    symbols.store(expr->name);
  } else if (expr->kind == ExprKind::name || expr->kind == ExprKind::ns_ref) {
    symbols.load(expr->name);
  }
  for (const ExprPtr& item : expr->items) see(symbols, item.get());
  for (const auto& keyword : expr->keywords) see(symbols, keyword.second.get());
  see(symbols, expr->dynamic_args.get());
  see(symbols, expr->dynamic_keywords.get());
}

void see_parameter(Symbols& symbols, const Expr& target) {
  if (target.kind == ExprKind::name) symbols.declare_parameter(target.name);
  for (const ExprPtr& item : target.items) see_parameter(symbols, *item);
}

void see_statement(Symbols& symbols, const Stmt& s);

void see(Symbols& symbols, const Body& body) {
  for (const StmtPtr& s : body) see_statement(symbols, *s);
}

void see_branches(Symbols& symbols, const Stmt& s) {
  see(symbols, s.branches[0].first.get());
  Symbols first = symbols;
  see(first, s.branches[0].second);
  Symbols elifs = symbols;
  for (std::size_t i = 1; i < s.branches.size(); ++i) {
    see(elifs, s.branches[i].first.get());
    Symbols branch = elifs;
    see(branch, s.branches[i].second);
    elifs.merge({std::move(branch)});
  }
  Symbols otherwise = symbols;
  see(otherwise, s.else_body);
  symbols.merge({std::move(first), std::move(elifs), std::move(otherwise)});
}

void see_statement(Symbols& symbols, const Stmt& s) {
  switch (s.kind) {
    case StmtKind::output:
      for (const OutputPiece& piece : s.pieces) see(symbols, piece.expr.get());
      break;
    case StmtKind::if_: see_branches(symbols, s); break;
    case StmtKind::for_:
    case StmtKind::call_block:
    case StmtKind::filter_block: see(symbols, s.value.get()); break;
    case StmtKind::set:
      see(symbols, s.value.get());
      see(symbols, s.target.get());
      break;
    case StmtKind::set_block: see(symbols, s.target.get()); break;
    case StmtKind::macro: symbols.store(s.name); break;
    case StmtKind::with:
      for (const ExprPtr& value : s.values) see(symbols, value.get());
      break;
    case StmtKind::load_template:
      see(symbols, s.value.get());
      for (const std::string& name : s.names) symbols.store(name);
      break;
    case StmtKind::block:
    case StmtKind::autoescape:
    case StmtKind::generation:
    case StmtKind::break_:
    case StmtKind::continue_: break;
  }
}

struct Frame {
  Symbols* symbols;
  bool toplevel = false;
  bool soft = false;  ///< under a condition: an unknown filter is an error only when it is reached
};

class Resolver {
 public:
  explicit Resolver(TemplateTree& tree) : tree_(tree) {}

  void run() {
    collect_blocks(tree_.root.body);
    FunctionScope scope{&tree_.root, nullptr};
    Symbols symbols(&scope, nullptr);
    if (undeclared(tree_.root, {"self"}).contains("self")) {
      tree_.root.uses_self = true;
      tree_.root.self_slot = symbols.declare_parameter("self");
    }
    see(symbols, tree_.root.body);
    Frame frame{&symbols, true, false};
    body(tree_.root.body, frame);
    tree_.root.loads = loads(symbols);
    for (auto& [name, function] : tree_.blocks) block_function(*function);
  }

 private:
  void collect_blocks(Body& statements) {
    each_statement(statements, [&](Stmt& s) {
      if (s.kind != StmtKind::block) return;
      if (std::ranges::any_of(tree_.blocks, [&](const auto& row) { return row.first == s.name; })) {
        fail("block " + repr_text(s.name) + " defined twice", s.place);
      }
      tree_.blocks.emplace_back(s.name, nullptr);
    });
  }

  void block_function(Function& function) {
    FunctionScope scope{&function, nullptr};
    Symbols symbols(&scope, nullptr);
    const std::set<std::string> special = undeclared(function, {"self", "super"});
    function.uses_self = special.contains("self");
    if (function.uses_self) function.self_slot = symbols.declare_parameter("self");
    function.uses_super = special.contains("super");
    if (function.uses_super) function.super_slot = symbols.declare_parameter("super");
    see(symbols, function.body);
    Frame frame{&symbols};
    body(function.body, frame);
    function.loads = loads(symbols);
  }

  SlotRef ref(const Ident& ident, const FunctionScope* from) const {
    SlotRef out{0, ident.slot};
    for (const FunctionScope* f = from; f != nullptr && f != ident.owner; f = f->parent) ++out.up;
    return out;
  }

  SlotRef ref(const std::string& name, const Frame& frame) const {
    if (frame.symbols->find(name) == nullptr) frame.symbols->load(name);
    return ref(*frame.symbols->find(name), frame.symbols->owner());
  }

  ScopeLoads loads(const Symbols& symbols) const {
    ScopeLoads out;
    for (const auto& [slot, load] : symbols.loads()) {
      SlotLoad row;
      row.kind = load.kind;
      row.slot = slot;
      row.name = load.name;
      if (load.kind == SlotLoad::Kind::alias) row.outer = ref(load.outer, symbols.owner());
      out.push_back(std::move(row));
    }
    return out;
  }

  void expr(const ExprPtr& e, const Frame& frame) {
    if (e == nullptr) return;
    if (e->kind == ExprKind::name || e->kind == ExprKind::ns_ref) e->ref = ref(e->name, frame);
    Frame inner = frame;
    if (e->kind == ExprKind::conditional) inner.soft = true;
    if (e->kind == ExprKind::filter || e->kind == ExprKind::test) {
      const bool filter = e->kind == ExprKind::filter;
      e->hard = !frame.soft;
      if (e->hard && !(filter ? is_filter(e->name) : is_test(e->name))) {
        fail(std::string("No ") + (filter ? "filter" : "test") + " named " + repr_text(e->name) + ".", e->place);
      }
    }
    for (const ExprPtr& item : e->items) expr(item, inner);
    for (const auto& keyword : e->keywords) expr(keyword.second, inner);
    expr(e->dynamic_args, inner);
    expr(e->dynamic_keywords, inner);
  }

  void body(Body& statements, const Frame& frame) {
    for (const StmtPtr& s : statements) statement(*s, frame);
  }

  void function_body(Function& function, const Frame& outer, Place place) {
    FunctionScope scope{&function, outer.symbols->owner()};
    Symbols symbols(&scope, outer.symbols);
    const auto see_all = [&] {
      for (const std::string& parameter : function.parameters) symbols.declare_parameter(parameter);
      for (const ExprPtr& value : function.defaults) see(symbols, value.get());
      see(symbols, function.body);
    };
    see_all();
    const std::set<std::string> special = undeclared(function, {"caller", "kwargs", "varargs"});
    const auto given = [&](std::string_view name) {
      return std::ranges::find(function.parameters, name) - function.parameters.begin();
    };
    const auto count = static_cast<std::ptrdiff_t>(function.parameters.size());
    if (special.contains("caller")) {
      function.uses_caller = true;
      const std::ptrdiff_t at = given("caller");
      if (at < count && at < count - static_cast<std::ptrdiff_t>(function.defaults.size())) {
        fail("When defining macros or call blocks the special \"caller\" argument must be omitted or be given a default.", place);
      }
      if (at == count) function.caller_slot = symbols.declare_parameter("caller");
    }
    if (special.contains("kwargs") && given("kwargs") == count) {
      function.uses_keywords = true;
      function.keywords_slot = symbols.declare_parameter("kwargs");
    }
    if (special.contains("varargs") && given("varargs") == count) {
      function.uses_varargs = true;
      function.varargs_slot = symbols.declare_parameter("varargs");
    }
    see_all();
    const Frame frame{&symbols};
    for (const std::string& parameter : function.parameters) function.parameter_slots.push_back(symbols.find(parameter)->slot);
    for (const ExprPtr& value : function.defaults) expr(value, frame);
    body(function.body, frame);
    function.loads = loads(symbols);
  }

  static ExprPtr clone_target(const Expr& target) {
    auto out = std::make_unique<Expr>();
    out->kind = target.kind;
    out->store = target.store;
    out->place = target.place;
    out->name = target.name;
    for (const ExprPtr& item : target.items) out->items.push_back(clone_target(*item));
    return out;
  }

  void for_statement(Stmt& s, const Frame& frame) {
    s.extended = s.recursive || reads_loop(s.body) || has_scoped_block(s);
    NameWalk walk([&](const std::string& name, bool load) {
      if (!load && name == "loop") fail("Can't assign to special loop variable in for-loop target", s.place);
    });
    walk.statement(s);
    FunctionScope own{nullptr, frame.symbols->owner()};
    FunctionScope* scope = frame.symbols->owner();
    if (s.recursive) {
      s.function = std::make_unique<Function>();
      own.function = s.function.get();
      scope = &own;
    }
    expr(s.value, frame);
    Symbols loop(scope, frame.symbols);
    if (s.extended) s.loop_slot = loop.declare_parameter("loop");
    see_parameter(loop, *s.target);
    see(loop, s.body);
    if (s.test != nullptr) {
      Symbols test(scope, frame.symbols, true);
      see_parameter(test, *s.target);
      see(test, s.test.get());
      s.test_target = clone_target(*s.target);
      const Frame test_frame{&test};
      expr(s.test_target, test_frame);
      expr(s.test, test_frame);
      s.test_loads = loads(test);
    }
    const Frame loop_frame{&loop};
    expr(s.target, loop_frame);
    ++scope->loops;
    body(s.body, loop_frame);
    --scope->loops;
    s.loads = loads(loop);
    Symbols otherwise(scope, frame.symbols);
    see(otherwise, s.else_body);
    body(s.else_body, Frame{&otherwise});
    s.else_loads = loads(otherwise);
  }

  void statement(Stmt& s, const Frame& frame) {
    s.toplevel = frame.toplevel;
    switch (s.kind) {
      case StmtKind::output:
        for (const OutputPiece& piece : s.pieces) expr(piece.expr, frame);
        break;
      case StmtKind::if_: {
        Frame inner = frame;
        inner.soft = true;
        for (auto& [test, statements] : s.branches) {
          expr(test, inner);
          body(statements, inner);
        }
        body(s.else_body, inner);
        break;
      }
      case StmtKind::for_: for_statement(s, frame); break;
      case StmtKind::set:
        expr(s.target, frame);
        expr(s.value, frame);
        break;
      case StmtKind::set_block:
      case StmtKind::filter_block: {
        Symbols inner(frame.symbols->owner(), frame.symbols);
        see(inner, s.body);
        see(inner, s.value.get());
        const Frame inner_frame{&inner};
        body(s.body, inner_frame);
        expr(s.value, inner_frame);
        expr(s.target, frame);
        s.loads = loads(inner);
        break;
      }
      case StmtKind::macro:
        function_body(*s.function, frame, s.place);
        s.ref = ref(s.name, frame);
        break;
      case StmtKind::call_block:
        function_body(*s.function, frame, s.place);
        expr(s.value, frame);
        break;
      case StmtKind::generation: function_body(*s.function, frame, s.place); break;
      case StmtKind::with: {
        for (const ExprPtr& value : s.values) expr(value, frame);
        Symbols inner(frame.symbols->owner(), frame.symbols);
        for (const ExprPtr& target : s.targets) see_parameter(inner, *target);
        see(inner, s.body);
        const Frame inner_frame{&inner};
        for (const ExprPtr& target : s.targets) expr(target, inner_frame);
        body(s.body, inner_frame);
        s.loads = loads(inner);
        break;
      }
      case StmtKind::autoescape: {
        Symbols inner(frame.symbols->owner(), frame.symbols);
        see(inner, s.test.get());
        see(inner, s.body);
        const Frame inner_frame{&inner};
        expr(s.test, inner_frame);
        body(s.body, inner_frame);
        s.loads = loads(inner);
        break;
      }
      case StmtKind::block: {
        if (s.scoped) {
          for (const auto& [name, ident] : frame.symbols->visible_stores()) {
            s.names.push_back(name);
            s.name_refs.push_back(ref(ident, frame.symbols->owner()));
          }
        }
        const auto it = std::ranges::find_if(tree_.blocks, [&](const auto& row) { return row.first == s.name; });
        it->second = std::move(s.function);
        break;
      }
      case StmtKind::load_template:
        if (s.name == "extends" && !frame.toplevel) fail("cannot use extend from a non top-level scope", s.place);
        expr(s.value, frame);
        break;
      case StmtKind::break_:
      case StmtKind::continue_:
        if (frame.symbols->owner()->loops == 0) {
          throw JinjaError("SyntaxError", s.kind == StmtKind::break_ ? "'break' outside loop" : "'continue' not properly in loop", s.place);
        }
        break;
    }
  }

  TemplateTree& tree_;
};

}  // namespace

void resolve_names(TemplateTree& tree) { Resolver(tree).run(); }

}  // namespace bigmodel::tokenizer::jinja
