// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/pickle_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>

#include "bigmodel/checkpoint/pickle_globals.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"

namespace bigmodel {
namespace {

using Kind = PickleValue::Kind;

/// torch's own limit.
constexpr std::size_t kMostDimensions = 64;
/// Keys are short numbers; a long text could be recalled again and again.
constexpr std::size_t kMostKeyBytes = 1024;
/// No callable takes more arguments.
constexpr std::size_t kMostArguments = 8;

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& object, const PickleLimits& limits) : bytes_(bytes), object_(object), limits_(limits) {}

  PickleDocument run() {
    std::uint64_t count = 0;
    while (true) {
      if (++count > limits_.opcodes) fail("too many instructions");
      const char op = byte();
      if (op == '.') break;
      step(op);
    }
    if (stack_.size() != 1 || !marks_.empty()) fail(fmt::format("{} values are left at its end, expected 1", stack_.size()));
    document_.root = stack_.back();
    document_.end = at_;
    return std::move(document_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw FormatError(fmt::format("{}: bad pickle near its byte {}: {}", object_, at_, what)); }

  // ---- input
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) throw PickleEnds{};
    const std::string_view out = bytes_.substr(at_, static_cast<std::size_t>(size));
    at_ += static_cast<std::size_t>(size);
    return out;
  }
  char byte() { return take(1).front(); }
  std::uint64_t little(std::size_t width) {
    const std::string_view raw = take(width);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) value |= static_cast<std::uint64_t>(static_cast<unsigned char>(raw[i])) << (8 * i);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) {
      if (bytes_.size() - at_ > 65536) fail("a line without end");
      throw PickleEnds{};
    }
    const std::string_view out = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return out;
  }
  std::string_view counted(std::size_t width) {
    const std::uint64_t size = little(width);
    if (size > limits_.text_bytes) fail(fmt::format("a string of {} bytes", size));
    return take(size);
  }

  // ---- values
  PickleId make(Kind kind, std::uint32_t slot = 0, std::int64_t integer = 0) {
    if (document_.values.size() >= limits_.values) fail("too many values");
    document_.values.push_back({kind, slot, integer});
    return static_cast<PickleId>(document_.values.size() - 1);
  }
  PickleId make_text(Kind kind, std::string text) {
    document_.texts.push_back(std::move(text));
    return make(kind, static_cast<std::uint32_t>(document_.texts.size() - 1));
  }
  void count_items(std::size_t count) {
    items_ += count;
    if (items_ > limits_.items) fail("containers of too many items");
  }
  PickleId make_sequence(Kind kind, std::vector<PickleId> items) {
    count_items(items.size());
    document_.sequences.push_back(std::move(items));
    return make(kind, static_cast<std::uint32_t>(document_.sequences.size() - 1));
  }
  const PickleValue& value(PickleId id) const { return document_.values[id]; }
  std::vector<PickleId>& items(PickleId id) { return document_.sequences[value(id).slot]; }
  bool is(PickleId id, Kind kind) const { return value(id).kind == kind; }

  // ---- stack
  void push(PickleId id) { stack_.push_back(id); }
  PickleId pop() {
    if (stack_.size() <= floor()) fail("takes a value from an empty stack");
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  PickleId top() const {
    if (stack_.size() <= floor()) fail("needs a value on an empty stack");
    return stack_.back();
  }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  std::vector<PickleId> pop_to_mark() {
    if (marks_.empty()) fail("ends a group that was never begun");
    const std::size_t begin = marks_.back();
    marks_.pop_back();
    std::vector<PickleId> out(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    return out;
  }

  // ---- memo
  void put(std::uint64_t index) {
    // Real pickles number from zero without gaps; a map keeps a lone 2^32-1 from taking memory.
    memo_[index] = top();
  }
  void get(std::uint64_t index) {
    const auto it = memo_.find(index);
    if (it == memo_.end()) fail(fmt::format("recalls value {}, which was never kept", index));
    push(it->second);
  }

  void step(char op) {
    switch (op) {
      case '\x80': {
        const auto protocol = static_cast<unsigned char>(byte());
        if (protocol > 5) fail(fmt::format("protocol {}, expected at most 5", protocol));
        return;
      }
      case '\x95': {
        // A frame only says how much to read ahead.
        static_cast<void>(little(8));
        return;
      }
      case '(':
        if (marks_.size() >= limits_.marks) fail("nested too deep");
        marks_.push_back(stack_.size());
        return;
      case '0':
        if (stack_.size() == floor() && !marks_.empty()) marks_.pop_back();
        else static_cast<void>(pop());
        return;
      case '1': static_cast<void>(pop_to_mark()); return;
      case '2': push(top()); return;
      case 'N': push(make(Kind::none)); return;
      case '\x88': push(make(Kind::boolean, 0, 1)); return;
      case '\x89': push(make(Kind::boolean, 0, 0)); return;
      case 'K': push(make(Kind::integer, 0, static_cast<std::int64_t>(little(1)))); return;
      case 'M': push(make(Kind::integer, 0, static_cast<std::int64_t>(little(2)))); return;
      case 'J': push(make(Kind::integer, 0, static_cast<std::int32_t>(static_cast<std::uint32_t>(little(4))))); return;
      case 'I': int_line(line()); return;
      case 'L': long_line(line()); return;
      case '\x8a': long_bytes(take(little(1))); return;
      case '\x8b': long_bytes(counted(4)); return;
      case 'G': {
        const std::string_view raw = take(8);
        std::uint64_t bits = 0;
        for (const char c : raw) bits = bits << 8 | static_cast<unsigned char>(c);
        push(make(Kind::real, 0, static_cast<std::int64_t>(bits)));
        return;
      }
      case 'F': float_line(line()); return;
      case 'X': push(make_text(Kind::text, std::string(counted(4)))); return;
      case '\x8c': push(make_text(Kind::text, std::string(counted(1)))); return;
      case '\x8d': push(make_text(Kind::text, std::string(counted(8)))); return;
      case 'V': push(make_text(Kind::text, unicode_line(line()))); return;
      // Byte strings of Python 2 name things just as text does.
      case 'U': push(make_text(Kind::text, std::string(counted(1)))); return;
      case 'T': push(make_text(Kind::text, std::string(counted(4)))); return;
      case 'S': push(make_text(Kind::text, quoted_line(line()))); return;
      case 'C': push(make_text(Kind::bytes, std::string(counted(1)))); return;
      case 'B': push(make_text(Kind::bytes, std::string(counted(4)))); return;
      case '\x8e':
      case '\x96': push(make_text(Kind::bytes, std::string(counted(8)))); return;
      case ')': push(make_sequence(Kind::tuple, {})); return;
      case ']': push(make_sequence(Kind::list, {})); return;
      case '}': push(make_sequence(Kind::dict, {})); return;
      case '\x8f': push(make(Kind::other)); return;
      case 't': push(make_sequence(Kind::tuple, pop_to_mark())); return;
      case 'l': push(make_sequence(Kind::list, pop_to_mark())); return;
      case 'd': {
        std::vector<PickleId> pairs = pop_to_mark();
        if (pairs.size() % 2 != 0) fail("a dictionary with an odd number of values");
        push(make_sequence(Kind::dict, std::move(pairs)));
        return;
      }
      case '\x90': {  // ADDITEMS to a set
        static_cast<void>(pop_to_mark());
        if (!is(top(), Kind::other)) fail("adds to what is no set");
        return;
      }
      case '\x91': static_cast<void>(pop_to_mark()); push(make(Kind::other)); return;
      case '\x85': tuple_of(1); return;
      case '\x86': tuple_of(2); return;
      case '\x87': tuple_of(3); return;
      case 'a': {
        const PickleId item = pop();
        if (!is(top(), Kind::list)) fail("appends to what is no list");
        count_items(1);
        items(top()).push_back(item);
        return;
      }
      case 'e': {
        const std::vector<PickleId> more = pop_to_mark();
        if (!is(top(), Kind::list)) fail("appends to what is no list");
        count_items(more.size());
        items(top()).insert(items(top()).end(), more.begin(), more.end());
        return;
      }
      case 's': {
        const PickleId item = pop();
        const PickleId key = pop();
        set_items({key, item});
        return;
      }
      case 'u': set_items(pop_to_mark()); return;
      case 'p': put(number(line())); return;
      case 'q': put(little(1)); return;
      case 'r': put(little(4)); return;
      case '\x94': put(memo_.size()); return;
      case 'g': get(number(line())); return;
      case 'h': get(little(1)); return;
      case 'j': get(little(4)); return;
      case 'c': {
        const std::string_view module = line();
        global(std::string(module), std::string(line()));
        return;
      }
      case '\x93': {
        const PickleId name = pop();
        const PickleId module = pop();
        if (!is(name, Kind::text) || !is(module, Kind::text)) fail("a global whose name is no text");
        global(document_.text(value(module)), document_.text(value(name)));
        return;
      }
      case 'R':
      case '\x81': {
        const PickleId args = pop();
        const PickleId callee = pop();
        push(reduce(callee, args, op == '\x81'));
        return;
      }
      case 'b': build(); return;
      case 'Q': persistent(pop()); return;
      case 'P': fail("a persistent id as text, expected a storage");
      case 'i': {
        const std::string_view module = line();
        refuse(module, line());
      }
      case 'o': fail("builds an object (OBJ), which no tensor needs");
      case '\x92': fail("builds an object (NEWOBJ_EX), which no tensor needs");
      case '\x82': case '\x83': case '\x84': fail("a global by extension number, which no tensor needs");
      case '\x97': case '\x98': fail("out-of-band buffers, which no file holds");
      default: fail(fmt::format("unknown instruction 0x{:02x}", static_cast<unsigned char>(op)));
    }
  }

  // ---- numbers and lines of protocol 0
  std::uint64_t number(std::string_view text) const {
    const std::optional<std::uint64_t> out = parse_number<std::uint64_t>(text);
    if (!out) fail("a number that is none");
    return *out;
  }
  void int_line(std::string_view text) {
    if (text == "00" || text == "01") return push(make(Kind::boolean, 0, text == "01"));
    signed_decimal(text);
  }
  void long_line(std::string_view text) {
    if (text.ends_with('L')) text.remove_suffix(1);
    signed_decimal(text);
  }
  void signed_decimal(std::string_view text) {
    std::int64_t out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (end != text.data() + text.size() || text.empty() || error == std::errc::invalid_argument) fail("a number that is none");
    if (error == std::errc::result_out_of_range) return push(make_text(Kind::big_integer, std::string(text)));
    push(make(Kind::integer, 0, out));
  }
  void long_bytes(std::string_view raw) {
    if (raw.size() > 8) {
      // torch's magic number is the only long one of interest: kept as it lies in the file.
      return push(make_text(Kind::big_integer, std::string(raw)));
    }
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < raw.size(); ++i) out |= static_cast<std::uint64_t>(static_cast<unsigned char>(raw[i])) << (8 * i);
    if (!raw.empty() && raw.size() < 8 && (raw.back() & 0x80) != 0) out |= ~std::uint64_t{0} << (8 * raw.size());
    push(make(Kind::integer, 0, static_cast<std::int64_t>(out)));
  }
  void float_line(std::string_view text) {
    double out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error == std::errc::invalid_argument || end != text.data() + text.size()) fail("a number that is none");
    push(make(Kind::real, 0, std::bit_cast<std::int64_t>(out)));
  }
  static void append_utf8(std::string& out, std::uint32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xc0 | c >> 6);
      out += static_cast<char>(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xe0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (c & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
      out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (c & 0x3f));
    }
  }
  /// raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX.
  std::string unicode_line(std::string_view text) const {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t digits = text.substr(i).starts_with("\\u") ? 4 : text.substr(i).starts_with("\\U") ? 8 : 0;
      if (digits == 0 || text.size() - i < 2 + digits) {
        append_utf8(out, static_cast<unsigned char>(text[i++]));
        continue;
      }
      std::uint32_t c = 0;
      const char* begin = text.data() + i + 2;
      const auto [end, error] = std::from_chars(begin, begin + digits, c, 16);
      if (error != std::errc() || end != begin + digits || c > 0x10ffff) fail("a bad escape in a string");
      append_utf8(out, c);
      i += 2 + digits;
    }
    return out;
  }
  std::string quoted_line(std::string_view text) const {
    if (text.size() < 2 || (text.front() != '\'' && text.front() != '"') || text.back() != text.front()) fail("a string without quotes");
    text = text.substr(1, text.size() - 2);
    if (text.find('\\') != std::string_view::npos) fail("an escaped byte string, which no tensor name needs");
    return std::string(text);
  }

  // ---- containers
  void tuple_of(std::size_t count) {
    std::vector<PickleId> out(count);
    for (std::size_t i = count; i-- > 0;) out[i] = pop();
    push(make_sequence(Kind::tuple, std::move(out)));
  }
  void set_items(const std::vector<PickleId>& pairs) {
    if (pairs.size() % 2 != 0) fail("a dictionary with an odd number of values");
    if (!is(top(), Kind::dict)) fail("sets a key of what is no dictionary");
    count_items(pairs.size());
    items(top()).insert(items(top()).end(), pairs.begin(), pairs.end());
  }
  void build() {
    static_cast<void>(pop());
    // OrderedDict carries _metadata, parameters carry hooks: nothing of it is a tensor.
    const Kind kind = value(top()).kind;
    if (kind != Kind::dict && kind != Kind::tensor) fail("sets the state of what is no dictionary or tensor");
  }

  // ---- globals and calls
  [[noreturn]] void refuse(std::string_view module, std::string_view name) const {
    const std::string_view known = known_unsupported_global(module, name);
    throw UnsupportedError(fmt::format("{}: refused {}.{}{}{}, expected tensors and plain containers", object_, module.substr(0, 80), name.substr(0, 80),
                                       known.empty() ? "" : ": ", known),
                           "nothing in a file is executed; save the bare state_dict from the program that made it");
  }
  void global(const std::string& module, const std::string& name) {
    if (!find_pickle_global(module, name)) refuse(module, name);
    push(make_text(Kind::global, module + '\n' + name));
  }
  PickleGlobal role_of(PickleId callee) const {
    if (!is(callee, Kind::global)) fail("calls what is no global");
    const std::string& text = document_.text(value(callee));
    const std::size_t cut = text.find('\n');
    return *find_pickle_global(std::string_view(text).substr(0, cut), std::string_view(text).substr(cut + 1));
  }
  PickleId reduce(PickleId callee, PickleId args, bool new_object) {
    const PickleGlobal known = role_of(callee);
    if (!is(args, Kind::tuple)) fail("calls with what is no tuple");
    const std::vector<PickleId>& given = items(args);
    const std::vector<PickleId> a(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(std::min(given.size(), kMostArguments)));
    const auto want = [&](std::size_t least) {
      if (a.size() < least) fail(fmt::format("a call with {} arguments, expected {}", a.size(), least));
    };
    switch (known.role) {
      case PickleRole::ordered_dict: return ordered_dict(a);
      case PickleRole::rebuild_tensor: want(4); return tensor(a, std::nullopt, 4);
      case PickleRole::rebuild_tensor_v2: want(6); return tensor(a, std::nullopt, 6);
      case PickleRole::rebuild_tensor_v3: {
        want(7);
        const std::optional<DType> dtype = is(a[6], Kind::global) && role_of(a[6]).role == PickleRole::dtype ? role_of(a[6]).dtype : std::nullopt;
        if (!dtype) fail("a tensor without a known dtype");
        return tensor(a, dtype, 7);
      }
      case PickleRole::rebuild_parameter:
        want(3);
        if (!is(a[0], Kind::tensor)) fail("a parameter of what is no tensor");
        return a[0];
      case PickleRole::rebuild_from_type:
        want(4);
        if (new_object || ++from_type_depth_ > 100) fail("nested rebuilds");
        {
          const PickleId out = reduce(a[0], a[2], false);
          --from_type_depth_;
          return out;
        }
      case PickleRole::size:
        want(1);
        if (!is(a[0], Kind::tuple) && !is(a[0], Kind::list)) fail("a size of what is no tuple");
        return a[0];
      case PickleRole::tensor_type:
        want(1);
        if (!is(a[0], Kind::tensor)) fail("a tensor of what is no tensor");
        return a[0];
      case PickleRole::encode:
        want(1);
        if (!is(a[0], Kind::text)) fail("bytes of what is no text");
        return make(Kind::bytes, value(a[0]).slot);
      case PickleRole::storage_type:
      case PickleRole::dtype: fail("calls a type that is only named");
      case PickleRole::inert: return make(Kind::other);
    }
    fail("calls what is no global");
  }
  PickleId ordered_dict(const std::vector<PickleId>& a) {
    std::vector<PickleId> pairs;
    if (!a.empty()) {
      if (!is(a[0], Kind::list) && !is(a[0], Kind::tuple)) fail("a dictionary of what is no list");
      count_items(items(a[0]).size());
      for (const PickleId pair : items(a[0])) {
        if ((!is(pair, Kind::list) && !is(pair, Kind::tuple)) || items(pair).size() != 2) fail("a dictionary of what are no pairs");
        pairs.push_back(items(pair)[0]);
        pairs.push_back(items(pair)[1]);
      }
    }
    return make_sequence(Kind::dict, std::move(pairs));
  }
  std::int64_t whole(PickleId id, std::string_view what) const {
    if (!is(id, Kind::integer) || value(id).integer < 0) fail(fmt::format("{} that is no size", what));
    return value(id).integer;
  }
  std::vector<std::int64_t> whole_numbers(PickleId id, std::string_view what) {
    if (!is(id, Kind::tuple) && !is(id, Kind::list)) fail(fmt::format("{} that is no tuple", what));
    if (items(id).size() > kMostDimensions) fail(fmt::format("{} of {} dimensions, expected at most {}", what, items(id).size(), kMostDimensions));
    std::vector<std::int64_t> out;
    for (const PickleId item : items(id)) out.push_back(whole(item, what));
    return out;
  }
  /// (storage, offset, size, stride, ...); `metadata_at` is where an optional {"conj": True} stands.
  PickleId tensor(const std::vector<PickleId>& a, std::optional<DType> dtype, std::size_t metadata_at) {
    if (!is(a[0], Kind::storage)) fail("a tensor without storage");
    PickledTensor out;
    out.storage = value(a[0]).slot;
    const PickledStorage& storage = document_.storages[out.storage];
    if (!dtype && !storage.dtype) fail("a tensor without dtype");
    out.dtype = dtype ? *dtype : *storage.dtype;
    out.offset = static_cast<std::uint64_t>(whole(a[1], "an offset")) + view_offset_[a[0]];
    out.shape = whole_numbers(a[2], "a shape");
    out.strides = whole_numbers(a[3], "a stride");
    if (out.shape.size() != out.strides.size()) fail("a tensor with as many strides as it has no dimensions");
    if (a.size() > metadata_at) bits(a[metadata_at], out);
    document_.tensors.push_back(std::move(out));
    return make(Kind::tensor, static_cast<std::uint32_t>(document_.tensors.size() - 1));
  }
  void bits(PickleId id, PickledTensor& out) {
    if (is(id, Kind::none)) return;
    if (!is(id, Kind::dict)) fail("tensor metadata that is no dictionary");
    const std::vector<PickleId>& pairs = items(id);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      const std::string key = is(pairs[i], Kind::text) ? document_.text(value(pairs[i])) : "";
      const bool set = is(pairs[i + 1], Kind::boolean) && value(pairs[i + 1]).integer != 0;
      if (key == "conj") out.conjugate = set;
      else if (key == "neg") out.negative = set;
      else if (set) fail(fmt::format("tensor metadata \"{}\", which is not known", key.substr(0, 40)));
    }
  }
  void persistent(PickleId id) {
    if (!is(id, Kind::tuple)) fail("a persistent id that is no tuple");
    const std::vector<PickleId>& a = items(id);
    if (a.size() < 5 || !is(a[0], Kind::text) || document_.text(value(a[0])) != "storage") fail("a persistent id that is no storage");
    if (!is(a[1], Kind::global)) fail("a storage without type");
    const PickleGlobal type = role_of(a[1]);
    if (type.role != PickleRole::storage_type) fail("a storage without type");
    std::string key;
    if (is(a[2], Kind::text) && document_.text(value(a[2])).size() <= kMostKeyBytes) key = document_.text(value(a[2]));
    else if (is(a[2], Kind::integer)) key = std::to_string(value(a[2]).integer);
    else fail("a storage without key");
    const auto count = static_cast<std::uint64_t>(whole(a[4], "a storage size"));
    const auto [it, fresh] = by_key_.emplace(key, static_cast<std::uint32_t>(document_.storages.size()));
    if (fresh) {
      document_.storages.push_back({.key = key, .dtype = type.dtype, .count = count});
    } else {
      const PickledStorage& known = document_.storages[it->second];
      if (known.dtype != type.dtype || known.count != count) fail(fmt::format("storage \"{}\" under two types or sizes", key));
    }
    const PickleId out = make(Kind::storage, it->second);
    // Legacy files may name a view of a storage: (key, offset, count).
    if (a.size() > 5 && !is(a[5], Kind::none)) {
      if (!is(a[5], Kind::tuple) || items(a[5]).size() != 3) fail("a storage view that is none");
      view_offset_[out] = static_cast<std::uint64_t>(whole(items(a[5])[1], "an offset"));
    }
    push(out);
  }

  std::string_view bytes_;
  const std::string& object_;
  const PickleLimits& limits_;
  std::size_t at_ = 0;
  PickleDocument document_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleId> memo_;
  std::unordered_map<std::string, std::uint32_t> by_key_;
  std::unordered_map<PickleId, std::uint64_t> view_offset_;
  std::uint64_t items_ = 0;
  int from_type_depth_ = 0;
};

}  // namespace

PickleDocument read_pickle(std::string_view bytes, const std::string& object, const PickleLimits& limits) {
  return Machine(bytes, object, limits).run();
}

}  // namespace bigmodel
