// SPDX-License-Identifier: Apache-2.0
// All descriptions that a program knows: found by an index of their headers, parsed when first asked for,
// with inheritance resolved (sections 4-6 of docs/architecture-language.md).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bigmodel/core/embedded_file.h"
#include "bigmodel/spec/ast.h"

namespace bigmodel::spec {

/// A class with the edits of its whole inheritance line applied.
struct EffectiveClass {
  std::string_view name;
  Place place;
  const Model* model = nullptr;   ///< whose world it was resolved in; the prelude for layers
  std::vector<Param> params;
  bool entry = false;
  const Expr* alias = nullptr;
  Body body;
};

/// The config keys of a model: every line by its canonical name, and every spelling.
struct KeyTable {
  std::unordered_map<std::string_view, Key> keys;
  std::unordered_map<std::string_view, std::string_view> canonical;  ///< spelling -> key
};

/// Not thread-safe: looking something up may parse it. One library per thread, or a lock around it.
class SpecLibrary {
 public:
  /// The limit on one file.
  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;

  SpecLibrary() = default;
  /// The descriptions built into the program.
  explicit SpecLibrary(std::span<const EmbeddedFile> files);
  SpecLibrary(const SpecLibrary&) = delete;
  SpecLibrary& operator=(const SpecLibrary&) = delete;

  /// Every *.arch of a folder, in name order; its models replace earlier ones of the same type.
  /// Throws NotFoundError, IoError, FormatError.
  void add_folder(const std::filesystem::path& folder);
  /// One file from memory.
  void add_text(std::string name, std::string text);

  bool has(std::string_view type) const { return index_.contains(type); }
  /// Throws UnsupportedError naming the nearest known types where there is none; `where` starts the message.
  const Model& get(std::string_view type, const Place& place = {}, std::string_view where = {});
  /// All described types, sorted; without abstract ones.
  std::vector<std::string> type_names() const;

  /// The model and its ancestors in C3 order, `common` last.
  const std::vector<const Model*>& resolution_order(const Model& model);
  const KeyTable& keys(const Model& model);
  const Def* find_def(const Model& model, std::string_view name);
  /// Throws SpecError where the model has no such class.
  const EffectiveClass& class_of(const Model& model, std::string_view name, const Place& place = {});
  bool has_own_class(const Model& model, std::string_view name);

  std::string_view prefix(const Model& model);
  std::optional<std::string_view> base(const Model& model);
  /// Empty where no line says anything.
  const std::vector<std::string_view>& nosplit(const Model& model);
  const std::vector<std::string_view>& fp32(const Model& model);
  /// Names of classes that the model or an ancestor defines or uses, most derived first, each once.
  std::vector<std::string_view> class_names(const Model& model);

  const Model& prelude();
  std::vector<std::string> source_names() const;

 private:
  struct Entry {
    const Source* source = nullptr;
    std::size_t begin = 0, end = 0;
    std::uint32_t line = 0;
    bool abstract = false;
    std::string_view variant_of;   ///< empty: a model block
    const Model* parsed = nullptr;
  };

  void index_source(Source source);
  void index_block(const Source& source, std::size_t begin, std::size_t end, std::uint32_t line);
  const Model& parse(Entry& entry);
  std::vector<const ClassDef*> definitions(const Model& model, std::string_view name, int depth);
  const EffectiveClass& resolve(const Model& model, std::string_view name, const Place& place, int depth);
  void merge_order(const Model& model, std::vector<std::string_view>& path, std::vector<const Model*>& out);

  using ClassId = std::pair<const Model*, std::string_view>;

  std::deque<Source> sources_;
  std::map<std::string_view, Entry, std::less<>> index_;
  struct PreludeBlock {
    const Source* source;
    std::size_t begin, end;
    std::uint32_t line;
  };
  std::vector<PreludeBlock> prelude_blocks_;
  Arena arena_;
  std::optional<Model> prelude_;
  std::unordered_map<const Model*, std::vector<const Model*>> orders_;
  std::unordered_map<const Model*, KeyTable> key_tables_;
  std::map<ClassId, EffectiveClass> classes_;
};

}  // namespace bigmodel::spec
