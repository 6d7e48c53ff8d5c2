// SPDX-License-Identifier: Apache-2.0
// Jinja's filters and tests by name. The first positional argument is the value that is filtered or tested.
#pragma once

#include <string_view>

#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

bool is_filter(std::string_view name);
bool is_test(std::string_view name);

/// Throws JinjaError; TemplateRuntimeError for an unknown name.
Value call_filter(Machine& machine, std::string_view name, Arguments arguments);
bool call_test(Machine& machine, std::string_view name, Arguments arguments);

/// Of jinja_filters_text.cpp: filters whose value is text. False where `name` is none of them.
bool call_text_filter(Machine& machine, std::string_view name, Arguments& arguments, Value& result);
bool is_text_filter(std::string_view name);

/// pprint.pformat
std::string pretty_repr(Machine& machine, const Value& value);
/// textwrap.wrap of every line, joined.
std::string word_wrap(Machine& machine, std::string_view text, std::int64_t width, bool break_long_words, std::string_view separator,
                      bool break_on_hyphens);
/// Web addresses of escaped text as links; a negative limit shows each in full.
std::string urlize(Machine& machine, std::string_view text, std::int64_t limit, std::string_view rel, std::string_view target);

}  // namespace bigmodel::tokenizer::jinja
