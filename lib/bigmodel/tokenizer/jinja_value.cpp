// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::size_t kSmallDict = 12;

std::uint32_t depth_above(std::uint32_t depth) {
  if (depth >= kMostNested) limit_error(fmt::format("values nested deeper than {}", kMostNested));
  return depth + 1;
}

void add_weight(std::uint64_t& weight, std::uint64_t more) {
  weight += more;
  if (weight > kMostValues) limit_error(fmt::format("a container of more than {} values", kMostValues));
}

template <typename T>
std::shared_ptr<T> make_sequence(std::vector<Value> items) {
  auto out = std::make_shared<T>();
  std::uint32_t depth = 0;
  for (const Value& item : items) {
    depth = std::max(depth, item.depth());
    add_weight(out->weight, item.weight());
  }
  out->items = std::move(items);
  out->depth = depth_above(depth);
  return out;
}

class SequenceIterator : public Iterator {
 public:
  explicit SequenceIterator(Value owner) : owner_(std::move(owner)) {}
  std::optional<Value> next(Machine& machine) override {
    machine.step();
    const Sequence* sequence = owner_.if_sequence();
    if (at_ >= sequence->items.size()) return std::nullopt;
    return sequence->items[at_++];
  }

 private:
  Value owner_;
  std::size_t at_ = 0;
};

class DictIterator : public Iterator {
 public:
  explicit DictIterator(Value owner) : owner_(std::move(owner)) {}
  std::optional<Value> next(Machine& machine) override {
    machine.step();
    const Dict* dict = owner_.if_dict();
    if (at_ >= dict->size()) return std::nullopt;
    return dict->entries()[at_++].first;
  }

 private:
  Value owner_;
  std::size_t at_ = 0;
};

class TextIterator : public Iterator {
 public:
  explicit TextIterator(Value owner) : owner_(std::move(owner)) {}
  std::optional<Value> next(Machine& machine) override {
    machine.step();
    const std::string& bytes = owner_.if_text()->bytes;
    if (at_ >= bytes.size()) return std::nullopt;
    const std::size_t begin = at_++;
    while (at_ < bytes.size() && (static_cast<unsigned char>(bytes[at_]) & 0xC0U) == 0x80U) ++at_;
    return Value(bytes.substr(begin, at_ - begin));
  }

 private:
  Value owner_;
  std::size_t at_ = 0;
};

class EmptyIterator : public Iterator {
 public:
  std::optional<Value> next(Machine&) override { return std::nullopt; }
};

class Generator : public Object {
 public:
  Generator(std::function<std::optional<Value>(Machine&)> next, std::uint32_t depth) : next_(std::move(next)), depth_(depth_above(depth)) {}
  std::string type_name() const override { return "generator"; }
  std::uint32_t depth() const override { return depth_; }
  std::unique_ptr<Iterator> iterate() override;

 private:
  friend class GeneratorIterator;
  std::function<std::optional<Value>(Machine&)> next_;
  std::uint32_t depth_;
};

class GeneratorIterator : public Iterator {
 public:
  explicit GeneratorIterator(std::shared_ptr<Object> owner) : owner_(std::move(owner)) {}
  std::optional<Value> next(Machine& machine) override {
    machine.step();
    auto& generator = static_cast<Generator&>(*owner_);
    if (!generator.next_) return std::nullopt;
    std::optional<Value> value = generator.next_(machine);
    if (!value) generator.next_ = nullptr;
    return value;
  }

 private:
  std::shared_ptr<Object> owner_;
};

std::unique_ptr<Iterator> Generator::iterate() { return std::make_unique<GeneratorIterator>(shared_from_this()); }

void add_repr(Machine& machine, std::string& out, const Value& value);

void add_items(Machine& machine, std::string& out, const Sequence& sequence) {
  bool first = true;
  for (const Value& item : sequence.items) {
    if (!first) out += ", ";
    first = false;
    add_repr(machine, out, item);
  }
}

void add_repr(Machine& machine, std::string& out, const Value& value) {
  machine.step();
  const Machine::Depth depth(machine);
  if (const Text* text = value.if_text()) {
    machine.charge(text->bytes.size());
    out += text->markup ? "Markup(" + repr_text(text->bytes) + ")" : repr_text(text->bytes);
  } else if (const List* list = value.if_list()) {
    out += '[';
    add_items(machine, out, *list);
    out += ']';
  } else if (const Tuple* tuple = value.if_tuple()) {
    out += '(';
    add_items(machine, out, *tuple);
    out += tuple->items.size() == 1 ? ",)" : ")";
  } else if (const Dict* dict = value.if_dict()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : dict->entries()) {
      if (!first) out += ", ";
      first = false;
      add_repr(machine, out, key);
      out += ": ";
      add_repr(machine, out, item);
    }
    out += '}';
  } else if (value.is_undefined() || value.is_missing()) {
    out += "Undefined";
  } else if (Object* object = value.if_object()) {
    out += object->repr(machine);
  } else {
    out += str(machine, value);
  }
  machine.within(out.size());
}

std::size_t mix(std::size_t seed, std::size_t value) { return seed ^ (value + 0x9E3779B97F4A7C15U + (seed << 6) + (seed >> 2)); }

bool number_equal(const Value& a, const Value& b) {
  const auto ai = a.if_int();
  const auto bi = b.if_int();
  if (ai && bi) return *ai == *bi;
  const double* ad = a.if_float();
  const double* bd = b.if_float();
  if (ad != nullptr && bd != nullptr) return *ad == *bd;
  const double d = ad != nullptr ? *ad : *bd;
  const Int i = ai ? *ai : *bi;
  if (!std::isfinite(d) || std::abs(d) >= 0x1p126) return false;
  return std::trunc(d) == d && static_cast<Int>(d) == i;
}

}  // namespace

std::string Object::repr(Machine&) const { return "<" + type_name() + " object>"; }
std::optional<Value> Object::attribute(std::string_view) { return std::nullopt; }
std::optional<Value> Object::item(Machine&, const Value&) { return std::nullopt; }
Value Object::call(Machine&, Arguments) { type_error("'" + type_name() + "' object is not callable"); }
std::unique_ptr<Iterator> Object::iterate() { return nullptr; }
std::optional<std::int64_t> Object::length(Machine&) { return std::nullopt; }

Value::Value(std::string v, bool markup) {
  auto text = std::make_shared<Text>();
  text->length = code_points(v);
  text->bytes = std::move(v);
  text->markup = markup;
  data_ = TextRef(std::move(text));
}

Value Value::undefined(std::string message, bool security) {
  return from(UndefinedRef(std::make_shared<const UndefinedInfo>(UndefinedInfo{std::move(message), security})));
}
Value Value::undefined_name(std::string_view name) { return undefined(repr_text(name) + " is undefined"); }
Value Value::list(std::vector<Value> items) {
  return Value(std::shared_ptr<const List>(make_sequence<List>(std::move(items))));
}

Value Value::tuple(std::vector<Value> items, bool group) {
  auto tuple = make_sequence<Tuple>(std::move(items));
  tuple->group = group;
  return Value(std::shared_ptr<const Tuple>(std::move(tuple)));
}

Value Value::dict(Dict entries) { return Value(std::make_shared<const Dict>(std::move(entries))); }

std::optional<Int> Value::if_int() const {
  if (const auto* i = std::get_if<Int>(&data_)) return *i;
  if (const auto* b = std::get_if<bool>(&data_)) return *b ? 1 : 0;
  return std::nullopt;
}

const Sequence* Value::if_sequence() const {
  if (const List* list = if_list()) return list;
  return if_tuple();
}

bool Value::truthy() const {
  if (const bool* b = if_bool()) return *b;
  if (const Int* i = if_plain_int()) return *i != 0;
  if (const double* d = if_float()) return *d != 0;
  if (const Text* text = if_text()) return !text->bytes.empty();
  if (const Sequence* sequence = if_sequence()) return !sequence->items.empty();
  if (const Dict* dict = if_dict()) return dict->size() != 0;
  if (const Object* object = if_object()) return object->truthy();
  return false;
}

std::string Value::type_name() const {
  if (is_none()) return "NoneType";
  if (if_bool() != nullptr) return "bool";
  if (if_plain_int() != nullptr) return "int";
  if (if_float() != nullptr) return "float";
  if (const Text* text = if_text()) return text->markup ? "Markup" : "str";
  if (if_list() != nullptr) return "list";
  if (const Tuple* tuple = if_tuple()) return tuple->group ? "_GroupTuple" : "tuple";
  if (if_dict() != nullptr) return "dict";
  if (const Object* object = if_object()) return object->type_name();
  return "Undefined";
}

std::string Value::described() const {
  if (is_none()) return "None";
  if (const Object* object = if_object()) return object->described();
  const std::string name = type_name();
  if (name == "Markup") return "markupsafe.Markup object";
  if (name == "_GroupTuple") return "jinja2.filters._GroupTuple object";
  return name + " object";
}

std::uint32_t Value::depth() const {
  if (const Sequence* sequence = if_sequence()) return sequence->depth;
  if (const Dict* dict = if_dict()) return dict->depth();
  if (const Object* object = if_object()) return object->depth();
  return 0;
}

std::uint64_t Value::weight() const {
  if (const Sequence* sequence = if_sequence()) return sequence->weight;
  if (const Dict* dict = if_dict()) return dict->weight();
  if (const Text* text = if_text()) return 1 + text->bytes.size() / 64;
  return 1;
}

bool Value::same_as(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (const Sequence* sequence = if_sequence()) return sequence == other.if_sequence();
  if (const Dict* dict = if_dict()) return dict == other.if_dict();
  if (const Object* object = if_object()) return object == other.if_object();
  if (const UndefinedInfo* info = if_undefined()) return info == other.if_undefined();
  return equal(*this, other);
}

std::optional<std::size_t> Dict::position(const Value& key) const {
  const std::size_t hash = hash_of(key);
  if (entries_.size() <= kSmallDict) {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (equal(entries_[i].first, key)) return i;
    }
    return std::nullopt;
  }
  for (auto [it, end] = index_.equal_range(hash); it != end; ++it) {
    if (equal(entries_[it->second].first, key)) return it->second;
  }
  return std::nullopt;
}

const Value* Dict::find(const Value& key) const {
  const std::optional<std::size_t> at = position(key);
  return at ? &entries_[*at].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (entries_.size() > kSmallDict) return find(Value(key));
  for (const auto& [name, value] : entries_) {
    if (const Text* text = name.if_text(); text != nullptr && text->bytes == key) return &value;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  depth_ = std::max(depth_, depth_above(std::max(key.depth(), value.depth())));
  add_weight(weight_, key.weight() + value.weight());
  if (const std::optional<std::size_t> at = position(key)) {
    entries_[*at].second = std::move(value);
    return;
  }
  const std::size_t hash = hash_of(key);
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() == kSmallDict + 1) {
    for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash_of(entries_[i].first), i);
  } else if (entries_.size() > kSmallDict) {
    index_.emplace(hash, entries_.size() - 1);
  }
}

void Dict::erase(std::string_view key) {
  Dict out;
  for (auto& [name, value] : entries_) {
    if (const Text* text = name.if_text(); text != nullptr && text->bytes == key) continue;
    out.set(std::move(name), std::move(value));
  }
  *this = std::move(out);
}

bool equal(const Value& a, const Value& b) {
  const bool a_number = a.if_int().has_value() || a.if_float() != nullptr;
  const bool b_number = b.if_int().has_value() || b.if_float() != nullptr;
  if (a_number && b_number) return number_equal(a, b);
  if (a_number != b_number) return false;
  if (const Text* text = a.if_text()) {
    const Text* other = b.if_text();
    return other != nullptr && text->bytes == other->bytes;
  }
  if (a.if_list() != nullptr || a.if_tuple() != nullptr) {
    if ((a.if_list() != nullptr) != (b.if_list() != nullptr) || b.if_sequence() == nullptr) return false;
    return std::ranges::equal(a.if_sequence()->items, b.if_sequence()->items, equal);
  }
  if (const Dict* dict = a.if_dict()) {
    const Dict* other = b.if_dict();
    if (other == nullptr || other->size() != dict->size()) return false;
    return std::ranges::all_of(dict->entries(), [&](const auto& entry) {
      const Value* value = other->find(entry.first);
      return value != nullptr && equal(entry.second, *value);
    });
  }
  if (Object* object = a.if_object()) return b.if_object() != nullptr && object->equals(*b.if_object());
  if (a.is_none()) return b.is_none();
  return a.is_undefined() && b.is_undefined();
}

std::size_t hash_of(const Value& value) {
  if (const auto i = value.if_int()) {
    return std::hash<std::uint64_t>{}(static_cast<std::uint64_t>(*i) ^ static_cast<std::uint64_t>(*i >> 64));
  }
  if (const double* d = value.if_float()) {
    if (std::isfinite(*d) && std::trunc(*d) == *d && std::abs(*d) < 0x1p126) return hash_of(Value(static_cast<Int>(*d)));
    return std::hash<std::uint64_t>{}(std::bit_cast<std::uint64_t>(*d));
  }
  if (const Text* text = value.if_text()) return std::hash<std::string>{}(text->bytes);
  if (const Tuple* tuple = value.if_tuple()) {
    std::size_t seed = tuple->items.size();
    for (const Value& item : tuple->items) seed = mix(seed, hash_of(item));
    return seed;
  }
  if (value.if_list() != nullptr || value.if_dict() != nullptr) type_error("unhashable type: '" + value.type_name() + "'");
  if (const Object* object = value.if_object()) return std::hash<const Object*>{}(object);
  return value.is_none() ? 1 : 2;
}

void fail_undefined(const UndefinedInfo& info) {
  throw JinjaError(info.security ? "SecurityError" : "UndefinedError", info.message);
}

std::string int_text(Int value) {
  if (value == 0) return "0";
  std::string out;
  const bool negative = value < 0;
  while (value != 0) {
    const int digit = static_cast<int>(value % 10);
    out.push_back(static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  }
  if (negative) out.push_back('-');
  std::ranges::reverse(out);
  return out;
}

std::string repr_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(result.ptr - buffer.data()));
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), exponent);
  const bool negative = text[0] == '-';
  std::string digits;
  for (const char c : text.substr(negative ? 1 : 0, e - (negative ? 1 : 0))) {
    if (c != '.') digits.push_back(c);
  }
  const int count = static_cast<int>(digits.size());
  std::string out = negative ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (exponent + 1 >= count) return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - count), '0') + ".0";
  const auto point = static_cast<std::size_t>(exponent + 1);
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

std::string repr_text(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char32_t c : decode(text)) {
    if (c == static_cast<char32_t>(quote) || c == U'\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == U'\n') {
      out += "\\n";
    } else if (c == U'\r') {
      out += "\\r";
    } else if (c == U'\t') {
      out += "\\t";
    } else if (c >= 0x20 && c < 0x7F) {
      out += static_cast<char>(c);
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else if (c <= 0xFF) {
      out += fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c));
    } else if (c <= 0xFFFF) {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<std::uint32_t>(c));
    }
  }
  return out + quote;
}

std::string repr(Machine& machine, const Value& value) {
  std::string out;
  add_repr(machine, out, value);
  return out;
}

std::string str(Machine& machine, const Value& value) {
  if (const Text* text = value.if_text()) return text->bytes;
  if (value.is_none()) return "None";
  if (const bool* b = value.if_bool()) return *b ? "True" : "False";
  if (const Int* i = value.if_plain_int()) return int_text(*i);
  if (const double* d = value.if_float()) return repr_float(*d);
  if (value.is_undefined() || value.is_missing()) return "";
  return repr(machine, value);
}

std::unique_ptr<Iterator> iterate(const Value& value) {
  if (value.if_sequence() != nullptr) return std::make_unique<SequenceIterator>(value);
  if (value.if_dict() != nullptr) return std::make_unique<DictIterator>(value);
  if (value.if_text() != nullptr) return std::make_unique<TextIterator>(value);
  if (value.is_undefined()) return std::make_unique<EmptyIterator>();
  if (Object* object = value.if_object()) {
    if (std::unique_ptr<Iterator> it = object->iterate()) return it;
  }
  type_error("'" + value.type_name() + "' object is not iterable");
}

std::vector<Value> collect(Machine& machine, const Value& value) {
  if (const Sequence* sequence = value.if_sequence()) {
    machine.charge(sequence->items.size() * sizeof(Value));
    return sequence->items;
  }
  std::vector<Value> out;
  const std::unique_ptr<Iterator> it = iterate(value);
  while (std::optional<Value> item = it->next(machine)) {
    out.push_back(std::move(*item));
    machine.within(out.size() * sizeof(Value));
  }
  return out;
}

std::int64_t length_of(Machine& machine, const Value& value) {
  if (const Text* text = value.if_text()) return text->length;
  if (const Sequence* sequence = value.if_sequence()) return static_cast<std::int64_t>(sequence->items.size());
  if (const Dict* dict = value.if_dict()) return static_cast<std::int64_t>(dict->size());
  if (value.is_undefined()) return 0;
  if (Object* object = value.if_object()) {
    if (const auto length = object->length(machine)) return *length;
  }
  type_error("object of type '" + value.type_name() + "' has no len()");
}

Value make_generator(std::function<std::optional<Value>(Machine&)> next, std::uint32_t depth) {
  return Value(std::static_pointer_cast<Object>(std::make_shared<Generator>(std::move(next), depth)));
}

}  // namespace bigmodel::tokenizer::jinja
