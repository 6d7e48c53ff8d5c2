// SPDX-License-Identifier: Apache-2.0
// A user's JSON object seen through the config lines of a model (section 4 of docs/architecture-language.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bigmodel/spec/spec_library.h"
#include "bigmodel/spec/value.h"

namespace bigmodel::spec {

class Evaluator;

/// Values are computed by need and kept. One thread. The evaluator must outlive all reading. Lives in a shared_ptr.
class ConfigView : public std::enable_shared_from_this<ConfigView> {
 public:
  /// `where` names the object in messages: "config.json", "config.json.text_config".
  ConfigView(Evaluator& evaluator, const Model& model, const Map& data, std::string where);

  const Model& model() const { return *model_; }
  const std::string& where() const { return where_; }

  bool has(std::string_view key) const { return table_->canonical.contains(key); }
  /// The value of a key that `has` knows. Throws SpecError or FormatError.
  Value get(std::string_view key);
  /// What the file says under any spelling, else null.
  const Value* given(std::string_view key) const;

  /// Spellings in the file that no config line mentions, in file order.
  std::vector<std::string> unknown_keys() const;
  /// Every spelling that the description knows.
  std::vector<std::string> known_keys() const;
  /// The nested configs that were read so far, with their own.
  void nested(std::vector<const ConfigView*>& out) const;

 private:
  /// Writes values under canonical names, over what the file says or only where it is silent; a null leaves the file's, and keys that
  /// no line mentions are skipped.
  void write(const Map& values, bool over_the_file);
  Value compute(const Key& key);
  Value nested_config(const Key& key, const Value& value);

  Evaluator* evaluator_;
  const Model* model_;
  std::string where_;
  const KeyTable* table_;
  std::unordered_map<std::string, Value> data_;   ///< under canonical names
  std::vector<std::string> unknown_;
  struct Cached {
    Value value;
    bool ready = false;
  };
  std::unordered_map<std::string_view, Cached> cache_;
};

}  // namespace bigmodel::spec
