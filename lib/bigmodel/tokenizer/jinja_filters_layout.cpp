// SPDX-License-Identifier: Apache-2.0
// Filters that lay text out: pprint, wordwrap, urlize. No template on the Hub needs them, so their rarer rules are left out: pprint keeps
// long strings whole, urlize links http, https and www addresses only.
#include <algorithm>

#include "bigmodel/tokenizer/jinja_filters.h"
#include "bigmodel/tokenizer/jinja_operators.h"
#include "bigmodel/tokenizer/jinja_unicode.h"

namespace bigmodel::tokenizer::jinja {
namespace {

constexpr std::int64_t kPrettyWidth = 80;

/// The same value with every dict in the order of its keys, where they can be ordered.
Value sorted_dicts(Machine& machine, const Value& value) {
  const Machine::Depth depth(machine);
  if (const Sequence* sequence = value.if_sequence()) {
    std::vector<Value> items;
    for (const Value& item : sequence->items) items.push_back(sorted_dicts(machine, item));
    return value.if_list() != nullptr ? Value::list(std::move(items)) : Value::tuple(std::move(items));
  }
  const Dict* dict = value.if_dict();
  if (dict == nullptr) return value;
  auto entries = dict->entries();
  const bool texts = std::ranges::all_of(entries, [](const auto& entry) { return entry.first.if_text() != nullptr; });
  if (texts) std::ranges::stable_sort(entries, [](const auto& a, const auto& b) { return a.first.if_text()->bytes < b.first.if_text()->bytes; });
  Dict out;
  for (auto& [key, item] : entries) out.set(std::move(key), sorted_dicts(machine, item));
  return Value::dict(std::move(out));
}

void pretty(Machine& machine, std::string& out, const Value& value, std::int64_t indent, std::int64_t allowance) {
  const Machine::Depth depth(machine);
  const std::string flat = repr(machine, value);
  const bool fits = code_points(flat) <= kPrettyWidth - indent - allowance;
  const Sequence* sequence = value.if_sequence();
  const Dict* dict = value.if_dict();
  const std::size_t count = sequence != nullptr ? sequence->items.size() : dict != nullptr ? dict->size() : 0;
  if (fits || count == 0) {
    out += flat;
    return;
  }
  out += flat[0];
  for (std::size_t i = 0; i < count; ++i) {
    if (i != 0) out += ",\n" + std::string(static_cast<std::size_t>(indent) + 1, ' ');
    const std::int64_t after = i + 1 == count ? allowance + 1 : 1;
    if (dict == nullptr) {
      pretty(machine, out, sequence->items[i], indent + 1, after);
      continue;
    }
    const auto& [key, item] = dict->entries()[i];
    const std::string name = repr(machine, key) + ": ";
    out += name;
    pretty(machine, out, item, indent + 1 + code_points(name), after);
  }
  if (value.if_tuple() != nullptr && count == 1) out += ',';
  out += flat.back();
  machine.within(out.size());
}

/// Words and the spaces between them; a word also ends at a hyphen between letters.
std::vector<std::u32string> chunks_of(std::u32string_view line, bool break_on_hyphens) {
  std::vector<std::u32string> out;
  std::size_t begin = 0;
  for (std::size_t i = 1; i <= line.size(); ++i) {
    const bool turn = i == line.size() || is_space(line[i]) != is_space(line[i - 1]);
    const bool hyphen = break_on_hyphens && !turn && i >= 3 && i + 1 < line.size() && line[i - 1] == U'-' && is_alpha(line[i - 2]) &&
                        is_word(line[i - 3]) && is_word(line[i]) && is_alpha(line[i + 1]);
    if (!turn && !hyphen) continue;
    out.emplace_back(line.substr(begin, i - begin));
    begin = i;
  }
  return out;
}

void wrap_line(std::vector<std::u32string>& lines, std::vector<std::u32string> chunks, std::size_t width, bool break_long_words) {
  std::ranges::reverse(chunks);
  const auto blank = [](const std::u32string& chunk) { return std::ranges::all_of(chunk, is_space); };
  bool first = true;
  while (!chunks.empty()) {
    std::u32string line;
    std::size_t last = 0;
    if (!first && blank(chunks.back())) chunks.pop_back();
    while (!chunks.empty() && line.size() + chunks.back().size() <= width) {
      last = line.size();
      line += chunks.back();
      chunks.pop_back();
    }
    if (!chunks.empty() && chunks.back().size() > width) {
      const std::size_t room = std::max<std::size_t>(width - std::min(width, line.size()), 1);
      if (break_long_words) {
        last = line.size();
        line += chunks.back().substr(0, room);
        chunks.back().erase(0, room);
        if (chunks.back().empty()) chunks.pop_back();
      } else if (line.empty()) {
        line = chunks.back();
        chunks.pop_back();
      }
    }
    if (!line.empty() && blank(line.substr(last))) line.resize(last);
    if (line.empty()) continue;
    lines.push_back(std::move(line));
    first = false;
  }
}

}  // namespace

std::string pretty_repr(Machine& machine, const Value& value) {
  std::string out;
  pretty(machine, out, sorted_dicts(machine, value), 0, 0);
  return out;
}

std::string word_wrap(Machine& machine, std::string_view text, std::int64_t width, bool break_long_words, std::string_view separator,
                      bool break_on_hyphens) {
  if (width <= 0) value_error("invalid width " + std::to_string(width) + " (must be > 0)");
  machine.charge(text.size() * 8);
  const std::u32string points = decode(text);
  std::vector<std::u32string> out;
  std::size_t begin = 0;
  while (begin < points.size()) {
    const std::size_t end = std::min(points.find_first_of(U"\n\r\v\f\x1C\x1D\x1E\x85\u2028\u2029", begin), points.size());
    const std::size_t before = out.size();
    wrap_line(out, chunks_of(std::u32string_view(points).substr(begin, end - begin), break_on_hyphens), static_cast<std::size_t>(width),
              break_long_words);
    if (out.size() == before) out.emplace_back();
    begin = end + (points.compare(end, 2, U"\r\n") == 0 ? 2 : 1);
  }
  std::string joined;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i != 0) joined += separator;
    joined += encode(out[i]);
    machine.within(joined.size());
  }
  return joined;
}

std::string urlize(Machine& machine, std::string_view text, std::int64_t limit, std::string_view rel, std::string_view target) {
  machine.charge(text.size() * 4);
  const std::string attributes = (rel.empty() ? "" : " rel=\"" + escape_text(rel) + "\"") + (target.empty() ? "" : " target=\"" + escape_text(target) + "\"");
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t space = std::min(text.find_first_of(" \t\n\r", at), text.size());
    std::string_view word = text.substr(at, space - at);
    std::string_view tail = word;
    while (!word.empty() && std::string_view(".,)>").find(word.back()) != std::string_view::npos) word.remove_suffix(1);
    tail.remove_prefix(word.size());
    const bool www = word.starts_with("www.");
    const std::size_t host = word.starts_with("http://") ? 7 : word.starts_with("https://") ? 8 : www ? 4 : 0;
    if (host != 0 && word.size() > host + 1) {
      const bool cut = limit >= 0 && code_points(word) > limit;
      const std::string shown = cut ? encode(decode(word).substr(0, static_cast<std::size_t>(limit))) + "..." : std::string(word);
      out += "<a href=\"" + std::string(www ? "https://" : "") + std::string(word) + "\"" + attributes + ">" + shown + "</a>";
    } else {
      out += word;
    }
    out += tail;
    if (space < text.size()) out += text[space];
    at = space + 1;
    machine.within(out.size());
  }
  return out;
}

}  // namespace bigmodel::tokenizer::jinja
