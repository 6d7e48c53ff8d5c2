// SPDX-License-Identifier: Apache-2.0
// Evaluates expressions of descriptions: total, bounded, and free of effects (section 3 of docs/architecture-language.md).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bigmodel/spec/ast.h"
#include "bigmodel/spec/config_view.h"
#include "bigmodel/spec/value.h"

namespace bigmodel::spec {

/// A name with a value: an argument or a loop variable. An alias shares the slot of a caller's variable, so that reading it
/// marks that variable as read; this is how a list finds out that its elements do not depend on their number.
struct Slot {
  std::string_view name;
  Value value;
  const Slot* alias = nullptr;
  mutable bool read = false;

  const Value& get() const {
    read = true;
    return alias == nullptr ? value : alias->get();
  }
  /// The value without marking anything as read.
  const Value& peek() const { return alias == nullptr ? value : alias->peek(); }
};

/// The names that an expression sees: slots, then `let` lines, innermost frame first, then the config.
class Frame {
 public:
  /// Only the config.
  explicit Frame(ConfigView& config) : config_(&config) {}
  /// A class: its arguments and its body's lets.
  Frame(ConfigView& config, std::vector<Slot> slots, const Body* body) : config_(&config), slots_(std::move(slots)), body_(body) {}
  /// Inside another frame; sees everything of it.
  Frame(const Frame& parent, std::vector<Slot> slots, const Body* body = nullptr)
      : parent_(&parent), config_(parent.config_), slots_(std::move(slots)), body_(body) {}
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  ConfigView& config() const { return *config_; }
  const std::vector<Slot>& slots() const { return slots_; }
  /// The slot of a variable in this frame or an outer one, or null. A `let` in between hides it.
  const Slot* find_slot(std::string_view name) const;

 private:
  friend class Evaluator;
  struct Let {
    const Stmt* stmt;
    Value value;
    bool ready;
  };
  const Stmt* find_let(std::string_view name) const;

  const Frame* parent_ = nullptr;
  ConfigView* config_;
  std::vector<Slot> slots_;
  const Body* body_ = nullptr;
  mutable std::vector<Let> lets_;
};

/// What a loop runs over.
struct LoopRange {
  std::int64_t from = 0, count = 0;
  Value list;  ///< not null: the values themselves

  Value at(std::int64_t k) const;
};

class Evaluator {
 public:
  static constexpr std::int64_t kMostSteps = 50'000'000;
  static constexpr std::int64_t kLongestList = 1'000'000;
  static constexpr std::size_t kLongestText = std::size_t{1} << 20;
  static constexpr int kDeepestCall = 600;

  explicit Evaluator(SpecLibrary& library) : library_(&library) {}
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  SpecLibrary& library() const { return *library_; }
  Value eval(const Expr& expr, const Frame& frame);
  bool truth(const Expr& expr, const Frame& frame) { return eval(expr, frame).truthy(); }
  std::string text(const Expr& expr, const Frame& frame) { return eval(expr, frame).text(); }
  LoopRange range(const Loop& loop, const Frame& frame);
  /// Counts work that happens outside expressions (modules built) against the same budget.
  void count_steps(std::int64_t steps, const Place& place);

 private:
  Value lookup(const Expr& expr, const Frame& frame);
  Value let_value(const Frame& frame, const Stmt& stmt);
  Value call(const Expr& expr, const Frame& frame);
  Value binary(const Expr& expr, const Frame& frame);
  Value comprehension(const Expr& expr, const Frame& frame);
  Value attribute(const Expr& expr, const Frame& frame);
  Value index(const Expr& expr, const Frame& frame);
  std::vector<std::string> visible_names(const Frame& frame) const;

  SpecLibrary* library_;
  std::int64_t steps_ = 0;
  int depth_ = 0;
  std::vector<const Def*> active_defs_;
};

}  // namespace bigmodel::spec
