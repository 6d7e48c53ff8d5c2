// SPDX-License-Identifier: Apache-2.0
// The depth guard of the recursive-descent parser. Internal to parser*.cpp.
#pragma once

#include "bigmodel/spec/parser.h"

namespace bigmodel::spec {

/// "{expr}" inside a string: offsets of the braces and what stands between them.
struct Parser::Embedded {
  std::size_t begin, end;
  const Expr* expr;
};

class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser) : parser_(parser) {
    // Every level costs a handful of stack frames; no description needs more than a dozen.
    if (++parser_.nesting_ > 64) {
      throw SpecError("nested deeper than 64 levels", parser_.peek().place);
    }
  }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Parser& parser_;
};

}  // namespace bigmodel::spec
