// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <optional>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/spec/evaluator.h"

namespace bigmodel::spec {
namespace {

/// Arguments of one call, with the errors that name the function.
class Arguments {
 public:
  Arguments(std::string_view name, const List& args, const Place& place) : name_(name), args_(args), place_(place) {}

  [[noreturn]] void fail(const std::string& what) const { throw SpecError(fmt::format("{}: {}", name_, what), place_); }
  [[noreturn]] void overflow() const { throw SpecError("integer overflow", place_); }
  std::size_t size() const { return args_.size(); }
  const Value& operator[](std::size_t i) const { return args_[i]; }
  void count(std::size_t least, std::size_t most) const {
    if (args_.size() < least || args_.size() > most) {
      fail(least == most ? fmt::format("takes {} arguments, got {}", least, args_.size())
                         : fmt::format("takes {} to {} arguments, got {}", least, most, args_.size()));
    }
  }
  std::optional<std::int64_t> maybe_integer(std::size_t i) const {
    if (const std::int64_t* v = args_[i].if_int()) return *v;
    if (const bool* b = args_[i].if_bool()) return *b ? 1 : 0;
    return std::nullopt;
  }
  std::int64_t integer(std::size_t i) const {
    if (const auto v = maybe_integer(i)) return *v;
    fail(fmt::format("expected an integer, got {}", args_[i].describe()));
  }
  double number(std::size_t i) const {
    if (const double* d = args_[i].if_double()) return *d;
    if (const auto v = maybe_integer(i)) return static_cast<double>(*v);
    fail(fmt::format("expected a number, got {}", args_[i].describe()));
  }
  const std::string& string(std::size_t i) const {
    if (const std::string* s = args_[i].if_string()) return *s;
    fail(fmt::format("expected a string, got {}", args_[i].describe()));
  }
  const List& list(std::size_t i) const {
    if (const List* l = args_[i].if_list()) return *l;
    fail(fmt::format("expected a list, got {}", args_[i].describe()));
  }
  /// A double as a 64-bit integer.
  Value whole(double d) const {
    if (!(d >= -9.2e18 && d <= 9.2e18)) overflow();
    return static_cast<std::int64_t>(d);
  }
  const Place& place() const { return place_; }

 private:
  std::string_view name_;
  const List& args_;
  const Place& place_;
};

Value length(const Arguments& a) {
  a.count(1, 1);
  if (const List* list = a[0].if_list()) return static_cast<std::int64_t>(list->size());
  if (const std::string* s = a[0].if_string()) return static_cast<std::int64_t>(s->size());
  if (const Map* map = a[0].if_map()) return static_cast<std::int64_t>(map->size());
  a.fail(fmt::format("expected a list, string or map, got {}", a[0].describe()));
}

Value extreme(const Arguments& a, BinaryOp better) {
  List one;
  if (a.size() == 1) {
    one = a.list(0);
  } else {
    for (std::size_t i = 0; i < a.size(); ++i) one.push_back(a[i]);
  }
  if (one.empty()) a.fail("of nothing");
  Value best = one.front();
  for (const Value& v : one) {
    if (apply_binary(better, v, best, a.place()).truthy()) best = v;
  }
  return best;
}

Value total(const Arguments& a) {
  a.count(1, 1);
  Value out = 0;
  for (const Value& v : a.list(0)) out = apply_binary(BinaryOp::add, out, v, a.place());
  return out;
}

Value absolute(const Arguments& a) {
  a.count(1, 1);
  if (a[0].if_double() != nullptr) return std::fabs(a.number(0));
  const std::int64_t v = a.integer(0);
  if (v == INT64_MIN) a.overflow();
  return v < 0 ? -v : v;
}

Value to_integer(const Arguments& a) {
  a.count(1, 1);
  if (const auto v = a.maybe_integer(0)) return *v;
  if (const std::string* s = a[0].if_string()) {
    std::int64_t out = 0;
    const char* begin = s->data();
    const char* end = begin + s->size();
    const bool negative = begin != end && *begin == '-';
    if (negative) ++begin;
    if (begin == end) a.fail(fmt::format("expected a number, got {}", a[0].describe()));
    for (; begin != end; ++begin) {
      if (std::isdigit(static_cast<unsigned char>(*begin)) == 0) a.fail(fmt::format("expected a number, got {}", a[0].describe()));
      const auto scaled = try_mul<std::int64_t>(out, 10);
      const auto next = scaled ? try_add<std::int64_t>(*scaled, *begin - '0') : std::nullopt;
      if (!next) a.overflow();
      out = *next;
    }
    return negative ? -out : out;
  }
  return a.whole(std::trunc(a.number(0)));
}

Value rounded(const Arguments& a, double (*how)(double)) {
  a.count(1, 1);
  if (const auto v = a.maybe_integer(0)) return *v;
  return a.whole(how(a.number(0)));
}

double half_to_even(double d) {
  const double floor = std::floor(d);
  const double part = d - floor;
  if (part < 0.5) return floor;
  if (part > 0.5) return floor + 1;
  return std::fmod(floor, 2.0) == 0.0 ? floor : floor + 1;
}

Value power(const Arguments& a) {
  a.count(2, 2);
  const auto base = a.maybe_integer(0);
  const auto exponent = a.maybe_integer(1);
  if (!base || !exponent || *exponent < 0) return std::pow(a.number(0), a.number(1));
  std::int64_t out = 1;
  std::int64_t square = *base;
  for (std::int64_t e = *exponent; e > 0; e >>= 1) {
    if ((e & 1) != 0) {
      const auto next = try_mul(out, square);
      if (!next) a.overflow();
      out = *next;
    }
    if (e > 1) {
      const auto next = try_mul(square, square);
      if (!next) a.overflow();
      square = *next;
    }
  }
  return out;
}

Value round_up(const Arguments& a) {
  a.count(2, 2);
  const Value quotient = apply_binary(BinaryOp::floor_div, apply_negate(a.integer(0), a.place()), a.integer(1), a.place());
  return apply_binary(BinaryOp::mul, apply_negate(quotient, a.place()), a.integer(1), a.place());
}

Value repeated(const Arguments& a) {
  a.count(2, 2);
  const std::int64_t n = a.integer(1);
  if (n > Evaluator::kLongestList) a.fail(fmt::format("a list of {} is too long (limit {})", n, Evaluator::kLongestList));
  return List(n < 0 ? 0 : static_cast<std::size_t>(n), a[0]);
}

Value paired(const Arguments& a) {
  a.count(1, 1);
  if (a[0].if_list() != nullptr) return a[0];
  return List{a[0], a[0]};
}

Value map_value(const Arguments& a) {
  a.count(2, 3);
  const Value fallback = a.size() == 3 ? a[2] : Value{};
  if (a[0].is_null()) return fallback;
  const Map* map = a[0].if_map();
  if (map == nullptr) a.fail(fmt::format("expected a map, got {}", a[0].describe()));
  const Value* hit = a[1].if_string() == nullptr ? nullptr : find(*map, *a[1].if_string());
  return hit == nullptr ? fallback : *hit;
}

Value split_text(const Arguments& a) {
  a.count(2, 2);
  const std::string& text = a.string(0);
  const std::string& separator = a.string(1);
  List out;
  if (separator.empty()) {   // into characters: patterns of layers are written as one letter each
    for (const char c : text) out.emplace_back(std::string(1, c));
    return out;
  }
  std::size_t from = 0;
  while (true) {
    const std::size_t at = text.find(separator, from);
    out.emplace_back(text.substr(from, at - from));
    if (at == std::string::npos) return out;
    from = at + separator.size();
  }
}

Value lower_text(const Arguments& a) {
  a.count(1, 1);
  std::string out = a.string(0);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

Value as_list(const Arguments& a) {
  a.count(1, 1);
  return a.list(0);
}

using Function = Value (*)(const Arguments&);
struct Row {
  std::string_view name;
  Function apply;
};

constexpr std::array kFunctions{
    Row{"len", length},
    Row{"min", [](const Arguments& a) { return extreme(a, BinaryOp::lt); }},
    Row{"max", [](const Arguments& a) { return extreme(a, BinaryOp::gt); }},
    Row{"sum", total},
    Row{"abs", absolute},
    Row{"int", to_integer},
    Row{"floor", [](const Arguments& a) { return rounded(a, std::floor); }},
    Row{"ceil", [](const Arguments& a) { return rounded(a, std::ceil); }},
    Row{"round", [](const Arguments& a) { return rounded(a, half_to_even); }},
    Row{"sqrt", [](const Arguments& a) { return a.count(1, 1), Value(std::sqrt(a.number(0))); }},
    Row{"log2", [](const Arguments& a) { return a.count(1, 1), Value(std::log2(a.number(0))); }},
    Row{"pow", power},
    Row{"round_up", round_up},
    Row{"repeat", repeated},
    Row{"pair", paired},
    Row{"get", map_value},
    Row{"split", split_text},
    Row{"lower", lower_text},
    Row{"str", [](const Arguments& a) { return a.count(1, 1), Value(a[0].text()); }},
    Row{"list", as_list},
    Row{"starts_with", [](const Arguments& a) { return a.count(2, 2), Value(a.string(0).starts_with(a.string(1))); }},
    Row{"is_list", [](const Arguments& a) { return a.count(1, 1), Value(a[0].if_list() != nullptr); }},
    Row{"is_string", [](const Arguments& a) { return a.count(1, 1), Value(a[0].if_string() != nullptr); }},
};

}  // namespace

bool is_function(std::string_view name) {
  return std::ranges::any_of(kFunctions, [name](const Row& row) { return row.name == name; });
}

std::vector<std::string> function_names() {
  std::vector<std::string> out{"given"};
  for (const Row& row : kFunctions) out.emplace_back(row.name);
  return out;
}

Value apply_function(std::string_view name, const List& args, const Place& place) {
  const auto row = std::ranges::find(kFunctions, name, &Row::name);
  return row->apply(Arguments(name, args, place));
}

}  // namespace bigmodel::spec
