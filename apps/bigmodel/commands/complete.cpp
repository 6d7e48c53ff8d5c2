// SPDX-License-Identifier: Apache-2.0
#include "commands/complete.h"

#include "bigmodel/core/dtype.h"
#include "commands/model_argument.h"

namespace bigmodel::app {
namespace {

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "__complete",
      .summary = "print words for completion scripts",
      .positionals = {{.name = "KIND",
                       .kind = ValueKind::choice,
                       .value_name = "KIND",
                       .help = "which words",
                       .choices = {"models", "dtypes"},
                       .required = true}},
      .hidden = true};
  return kSpec;
}

ExitStatus run(const Options& options, Session& session) {
  if (options.text("KIND") == "models") {
    for (const std::string& name : known_model_names(session.environment)) session.out.line(name);
    return ExitStatus::done;
  }
  if (options.text("KIND") == "dtypes") {
    for (const DType dtype : all_dtypes()) session.out.line(name(dtype));
  }
  return ExitStatus::done;
}

}  // namespace

Command complete_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
