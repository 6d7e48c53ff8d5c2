// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/config_view.h"

#include <fmt/format.h>

#include "bigmodel/spec/evaluator.h"

namespace bigmodel::spec {

ConfigView::ConfigView(Evaluator& evaluator, const Model& model, const Map& data, std::string where)
    : evaluator_(&evaluator), model_(&model), where_(std::move(where)), table_(&evaluator.library().keys(model)) {
  for (const auto& [spelling, value] : data) {
    const auto it = table_->canonical.find(spelling);
    if (it != table_->canonical.end()) {
      // Of several spellings an alias wins over the key's own name, and of aliases the last in the file: the reference sets its own
      // arguments first and then every other key of the file through its attribute map.
      if (spelling == it->second) {
        data_.emplace(spelling, value);
      } else {
        data_.insert_or_assign(std::string(it->second), value);
      }
    } else {
      data_.emplace(spelling, value);
      unknown_.push_back(spelling);
    }
  }
}

const Value* ConfigView::given(std::string_view key) const {
  const auto spelled = table_->canonical.find(key);
  const auto it = data_.find(std::string(spelled == table_->canonical.end() ? key : spelled->second));
  return it == data_.end() ? nullptr : &it->second;
}

Value ConfigView::get(std::string_view spelling) {
  const std::string_view name = table_->canonical.at(spelling);
  const Key& key = table_->keys.at(name);
  const auto [it, fresh] = cache_.try_emplace(name);
  if (it->second.ready) return it->second.value;
  if (!fresh) throw SpecError(fmt::format("config key '{}' depends on itself", name), key.place);
  try {
    Value value = compute(key);
    Cached& cached = cache_[name];  // computing may have grown the table
    cached = {value, true};
    return value;
  } catch (...) {
    cache_.erase(name);
    throw;
  }
}

Value ConfigView::compute(const Key& key) {
  const Frame frame(*this);
  const auto in_file = data_.find(std::string(key.name));
  Value value;
  if (key.derived) {
    value = evaluator_->eval(*key.fallback_absent, frame);
  } else if (in_file != data_.end()) {
    value = in_file->second;
  } else if (key.required) {
    throw SpecError(fmt::format("{}: key '{}' is required by model type '{}' and has no default", where_, key.name, model_->name),
                    key.place);
  } else if (key.fallback_absent != nullptr) {
    value = evaluator_->eval(*key.fallback_absent, frame);
  }
  if (value.is_null() && key.fallback_null != nullptr) value = evaluator_->eval(*key.fallback_null, frame);
  if (!key.type.empty() && (!value.is_null() || key.fallback_absent == nullptr)) value = nested_config(key, value);
  return value;
}

Value ConfigView::nested_config(const Key& key, const Value& value) {
  static const Map kEmpty;
  if (value.if_config() != nullptr) return value;
  const std::string where = fmt::format("{}.{}", where_, key.name);
  const Map* map = value.is_null() ? &kEmpty : value.if_map();
  if (map == nullptr) throw FormatError(fmt::format("{}: expected an object, got {}", where, value.describe()));
  std::string_view type = key.type;
  if (key.any) {
    const Value* stated = find(*map, "model_type");
    if (stated != nullptr && stated->if_string() != nullptr && !stated->if_string()->empty()) type = *stated->if_string();
  }
  const Model& model = evaluator_->library().get(type, key.place, type == key.type ? std::string_view{} : std::string_view(where));
  auto view = std::make_shared<ConfigView>(*evaluator_, model, *map, where);
  const auto written = [&](const Expr& expr, std::string_view word, bool over_the_file) {
    const Value values = evaluator_->eval(expr, Frame(*this));
    if (values.if_map() == nullptr) {
      throw SpecError(fmt::format("key '{}': expected a map after '{}', got {}", key.name, word, values.describe()), key.place);
    }
    view->write(*values.if_map(), over_the_file);
  };
  if (key.supplied != nullptr) written(*key.supplied, "over", false);
  if (key.imposed != nullptr) written(*key.imposed, "with", true);
  return view;
}

void ConfigView::write(const Map& values, bool over_the_file) {
  for (const auto& [spelling, value] : values) {
    const auto it = table_->canonical.find(spelling);
    if (it == table_->canonical.end() || value.is_null()) continue;
    if (over_the_file) {
      data_.insert_or_assign(std::string(it->second), value);
    } else {
      data_.try_emplace(std::string(it->second), value);
    }
  }
}

std::vector<std::string> ConfigView::unknown_keys() const { return unknown_; }

std::vector<std::string> ConfigView::known_keys() const {
  std::vector<std::string> out;
  for (const auto& [spelling, canonical] : table_->canonical) out.emplace_back(spelling);
  return out;
}

void ConfigView::nested(std::vector<const ConfigView*>& out) const {
  for (const auto& [name, cached] : cache_) {
    if (!cached.ready) continue;
    if (const auto* config = cached.value.if_config()) {
      out.push_back(config->get());
      (*config)->nested(out);
    }
  }
}

}  // namespace bigmodel::spec
