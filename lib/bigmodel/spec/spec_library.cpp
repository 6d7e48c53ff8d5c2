// SPDX-License-Identifier: Apache-2.0
// Index and parsing of descriptions, and lookups along the inheritance line; classes are in spec_classes.cpp.
#include "bigmodel/spec/spec_library.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/suggestion.h"
#include "bigmodel/spec/parser.h"

namespace bigmodel::spec {
namespace {

constexpr std::size_t kDeepestInheritance = 32;
constexpr std::string_view kCommon = "common";

std::string_view trimmed_left(std::string_view text) {
  const std::size_t at = text.find_first_not_of(' ');
  return at == std::string_view::npos ? std::string_view{} : text.substr(at);
}

bool accept_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  if (text.size() > word.size() && text[word.size()] != ' ') return false;
  text = trimmed_left(text.substr(word.size()));
  return true;
}

/// A bare or quoted type name at the start of the text.
std::string_view leading_type(std::string_view text) {
  if (text.starts_with('"')) return text.substr(1, text.find('"', 1) - 1);
  return text.substr(0, text.find_first_of(" :,#\r\n"));
}

/// Where a statement that starts at `begin` ends: the first line break outside brackets.
std::size_t statement_end(std::string_view text, std::size_t begin, std::size_t limit) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = begin; i < limit; ++i) {
    const char c = text[i];
    if (in_string) {
      in_string = c != '"' && c != '\n';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '#') {
      while (i < limit && text[i] != '\n') ++i;
      --i;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      --depth;
    } else if (c == '\n' && depth <= 0) {
      return i;
    }
  }
  return limit;
}

}  // namespace

SpecLibrary::SpecLibrary(std::span<const EmbeddedFile> files) {
  for (const EmbeddedFile& file : files) index_source({std::string(file.name), file.content, nullptr});
}

void SpecLibrary::add_text(std::string name, std::string text) {
  if (text.size() > kMostBytes) throw FormatError(fmt::format("{}: larger than 1 MiB, the limit of a description", name));
  Source source{std::move(name), {}, std::make_shared<const std::string>(std::move(text))};
  source.text = *source.owned;
  // Whoever adds a file wants its mistakes now, not when a type is first used.
  const std::size_t before = sources_.size();
  index_source(std::move(source));
  for (auto& [type, entry] : index_) {
    if (entry.source == &sources_[before]) parse(entry);
  }
}

void SpecLibrary::index_source(Source source) {
  if (prelude_ || !orders_.empty()) {
    // What was resolved before may have mentioned a type that this file replaces.
    prelude_.reset();
    orders_.clear();
    key_tables_.clear();
    classes_.clear();
  }
  source.index = static_cast<std::uint32_t>(sources_.size());
  const Source& stored = sources_.emplace_back(std::move(source));
  const std::string_view text = stored.text;
  std::size_t block_begin = std::string_view::npos;
  std::uint32_t block_line = 0;
  std::uint32_t line = 1;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const char first = text[at];
    if (first == '\t') throw SpecError("tab: indent with spaces", {&stored, line, 1});
    if (first != ' ' && first != '#' && first != '\n' && first != '\r' && first != ')' && first != ']' && first != '}') {
      if (block_begin != std::string_view::npos) index_block(stored, block_begin, at, block_line);
      block_begin = at;
      block_line = line;
    } else if (first == ' ' && block_begin != std::string_view::npos) {
      // Nearly every line comes this way and is no variant: one look at its first letter decides.
      std::size_t word = at + 1;
      while (word < end && text[word] == ' ') ++word;
      std::string_view rest = text.substr(word, end - word);
      if (rest.starts_with('v') && accept_word(rest, "variant")) {
        std::string_view header = text.substr(block_begin, text.find('\n', block_begin) - block_begin);
        accept_word(header, "abstract");
        if (accept_word(header, "model")) {
          index_[leading_type(rest)] = {&stored, at, statement_end(text, at, text.size()), line, false, leading_type(header), nullptr};
        }
      }
    }
    at = end + 1;
  }
  if (block_begin != std::string_view::npos) index_block(stored, block_begin, text.size(), block_line);
}

void SpecLibrary::index_block(const Source& source, std::size_t begin, std::size_t end, std::uint32_t line) {
  std::string_view header = source.text.substr(begin, end - begin);
  header = header.substr(0, header.find('\n'));
  if (accept_word(header, "arch")) {
    Parser(arena_, lex(source, begin, end, line)).version_line();
    return;
  }
  const bool abstract = accept_word(header, "abstract");
  if (accept_word(header, "model")) {
    index_[leading_type(header)] = {&source, begin, end, line, abstract, {}, nullptr};
    return;
  }
  if (accept_word(header, "class") || accept_word(header, "entry") || accept_word(header, "new")) {
    prelude_blocks_.push_back({&source, begin, end, line});
    return;
  }
  throw SpecError(fmt::format("expected 'model', got '{}'", header.substr(0, header.find(' ')).substr(0, 40)), {&source, line, 1});
}

const Model& SpecLibrary::parse(Entry& entry) {
  if (entry.parsed == nullptr) {
    Parser parser(arena_, lex(*entry.source, entry.begin, entry.end, entry.line));
    entry.parsed = &arena_.models.emplace_back(entry.variant_of.empty() ? parser.model() : parser.variant(entry.variant_of));
  }
  return *entry.parsed;
}

const Model& SpecLibrary::get(std::string_view type, const Place& place, std::string_view where) {
  const auto it = index_.find(type);
  if (it != index_.end()) return parse(it->second);
  std::vector<std::string> known;
  for (const auto& [name, entry] : index_) {
    if (!entry.abstract) known.emplace_back(name);
  }
  std::string hint;
  for (const std::string& near : nearest_names(type, known)) hint += hint.empty() ? "known types near it: " + near : ", " + near;
  if (hint.empty()) hint = "describe it in a file and pass its folder with --arch-dir, or use a folder with the checkpoint";
  const std::string what = fmt::format("unknown model type '{}'", type.substr(0, 80));
  if (place.source != nullptr && where.empty()) throw SpecError(what, place, hint);
  throw UnsupportedError(where.empty() ? what : fmt::format("{}: {}", where, what), hint);
}

std::vector<std::string> SpecLibrary::type_names() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : index_) {
    if (!entry.abstract) out.emplace_back(name);
  }
  return out;
}

std::vector<std::string> SpecLibrary::source_names() const {
  std::vector<std::string> out;
  for (const Source& source : sources_) out.push_back(source.name);
  return out;
}

const Model& SpecLibrary::prelude() {
  if (!prelude_) {
    Model model;
    model.name = "prelude";
    for (const PreludeBlock& block : prelude_blocks_) {
      ClassDef def = Parser(arena_, lex(*block.source, block.begin, block.end, block.line)).top_level_class();
      const auto same = [&def](const ClassDef& other) { return other.name == def.name; };
      if (std::ranges::any_of(model.classes, same)) throw SpecError(fmt::format("class {} is defined twice", def.name), def.place);
      model.classes.push_back(std::move(def));
    }
    prelude_ = std::move(model);
  }
  return *prelude_;
}

/// C3 linearisation, as Python orders the bases of a class.
void SpecLibrary::merge_order(const Model& model, std::vector<std::string_view>& path, std::vector<const Model*>& out) {
  if (std::ranges::find(path, model.name) != path.end()) {
    throw SpecError(fmt::format("model '{}' inherits from itself", model.name), model.place);
  }
  if (path.size() >= kDeepestInheritance) {
    throw SpecError(fmt::format("more than {} levels of inheritance", kDeepestInheritance), model.place);
  }
  path.push_back(model.name);
  std::vector<std::vector<const Model*>> rows;
  std::vector<const Model*> parents;
  for (const std::string_view parent : model.parents) {
    const Model& found = get(parent, model.place);
    parents.push_back(&found);
    std::vector<const Model*> row;
    merge_order(found, path, row);
    rows.push_back(std::move(row));
  }
  path.pop_back();
  rows.push_back(parents);
  out.push_back(&model);
  const auto in_a_tail = [&rows](const Model* candidate) {
    return std::ranges::any_of(rows, [candidate](const auto& row) {
      return row.size() > 1 && std::find(row.begin() + 1, row.end(), candidate) != row.end();
    });
  };
  while (std::ranges::any_of(rows, [](const auto& row) { return !row.empty(); })) {
    const Model* head = nullptr;
    for (const auto& row : rows) {
      if (!row.empty() && !in_a_tail(row.front())) {
        head = row.front();
        break;
      }
    }
    if (head == nullptr) {
      throw SpecError(fmt::format("the parents of model '{}' have no consistent order", model.name), model.place);
    }
    out.push_back(head);
    for (auto& row : rows) std::erase(row, head);
  }
}

const std::vector<const Model*>& SpecLibrary::resolution_order(const Model& model) {
  if (const auto it = orders_.find(&model); it != orders_.end()) return it->second;
  std::vector<const Model*> out;
  std::vector<std::string_view> path;
  if (prelude_ && &model == &*prelude_) {
    out.push_back(&model);
  } else {
    merge_order(model, path, out);
    if (has(kCommon)) {
      const Model& common = get(kCommon);
      std::erase(out, &common);
      out.push_back(&common);
    }
  }
  return orders_.emplace(&model, std::move(out)).first->second;
}

const KeyTable& SpecLibrary::keys(const Model& model) {
  if (const auto it = key_tables_.find(&model); it != key_tables_.end()) return it->second;
  KeyTable table;
  const std::vector<const Model*>& order = resolution_order(model);
  for (auto ancestor = order.rbegin(); ancestor != order.rend(); ++ancestor) {
    for (const Key& line : (*ancestor)->config) {
      Key key = line;
      const auto spelled = table.canonical.find(key.name);
      if (spelled != table.canonical.end() && !table.keys.contains(key.name)) {
        // An inherited alias becomes the key's own name.
        const std::string_view old = spelled->second;
        for (auto& [spelling, canonical] : table.canonical) {
          if (canonical == old) canonical = key.name;
        }
        table.keys.erase(old);
      }
      if (const auto inherited = table.keys.find(key.name); inherited != table.keys.end()) {
        if (key.type.empty() && !key.derived) {
          key.type = inherited->second.type;
          key.any = inherited->second.any;
          key.supplied = inherited->second.supplied;
          key.imposed = inherited->second.imposed;
        }
      }
      table.canonical[key.name] = key.name;
      for (const std::string_view alias : key.aka) {
        table.canonical[alias] = key.name;
        table.keys.erase(alias);
      }
      table.keys.insert_or_assign(key.name, std::move(key));
    }
  }
  return key_tables_.emplace(&model, std::move(table)).first->second;
}

const Def* SpecLibrary::find_def(const Model& model, std::string_view name) {
  for (const Model* ancestor : resolution_order(model)) {
    for (const Def& def : ancestor->defs) {
      if (def.name == name) return &def;
    }
  }
  return nullptr;
}

std::string_view SpecLibrary::prefix(const Model& model) {
  for (const Model* ancestor : resolution_order(model)) {
    if (ancestor->prefix) return *ancestor->prefix;
  }
  return {};
}

std::optional<std::string_view> SpecLibrary::base(const Model& model) {
  for (const Model* ancestor : resolution_order(model)) {
    if (ancestor->base) return ancestor->base;
  }
  return std::nullopt;
}

const std::vector<std::string_view>& SpecLibrary::nosplit(const Model& model) {
  static const std::vector<std::string_view> kNone;
  for (const Model* ancestor : resolution_order(model)) {
    if (ancestor->nosplit) return *ancestor->nosplit;
  }
  return kNone;
}

const std::vector<std::string_view>& SpecLibrary::fp32(const Model& model) {
  static const std::vector<std::string_view> kNone;
  for (const Model* ancestor : resolution_order(model)) {
    if (ancestor->fp32) return *ancestor->fp32;
  }
  return kNone;
}

}  // namespace bigmodel::spec
