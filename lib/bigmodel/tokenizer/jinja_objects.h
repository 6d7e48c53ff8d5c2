// SPDX-License-Identifier: Apache-2.0
// The globals of every template and the objects they make: range, dict, namespace, cycler, joiner, raise_exception, strftime_now.
#pragma once

#include <string>
#include <string_view>

#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

/// Every name a template finds without being handed it.
Dict make_globals();

class Namespace : public Object {
 public:
  std::string type_name() const override { return "TemplateNamespace"; }
  std::string described() const override { return "transformers.utils.chat_template_utils.TemplateNamespace object"; }
  std::string repr(Machine& machine) const override;
  std::optional<Value> attribute(std::string_view name) override;
  /// Throws SecurityError for a name that begins with an underscore.
  void set(const std::string& name, Value value);
  static void check_name(std::string_view name);

  Dict attributes;

 private:
  mutable bool in_repr_ = false;  ///< it may hold itself
};

/// datetime.strftime in the C locale.
std::string strftime(const LocalTime& time, std::string_view format);

/// json.dumps as the templates' tojson filter calls it: value, ensure_ascii, indent, separators, sort_keys.
std::string to_json(Machine& machine, Arguments arguments);

}  // namespace bigmodel::tokenizer::jinja
