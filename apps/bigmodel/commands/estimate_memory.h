// SPDX-License-Identifier: Apache-2.0
// `bigmodel estimate-memory MODEL...`.
#pragma once

#include "commands/command.h"
#include "commands/estimate_text.h"

namespace bigmodel::app {

Command estimate_memory_command();

/// All that the call asks about one model. Warnings go to session.notes.
EstimateResult estimate_model(const std::string& argument, spec::SpecLibrary& library, const Options& options, Session& session);

}  // namespace bigmodel::app
