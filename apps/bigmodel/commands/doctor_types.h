// SPDX-License-Identifier: Apache-2.0
// `bigmodel doctor --types`: every model type of the reference and of the descriptions, the classes it builds, whether the engine runs them.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/progress.h"
#include "bigmodel/spec/spec_library.h"
#include "render/terminal.h"

namespace bigmodel::app {

struct TypeState {
  std::string model_type;
  bool described = true;              ///< false: the reference builds it, no description does
  std::vector<std::string> classes;   ///< Python names, the base class first
  std::vector<std::string> runnable;  ///< those of `classes` that the engine runs
  std::string missing;                ///< why none of them runs; empty where one does
};

struct TypeSurvey {
  std::vector<TypeState> types;       ///< by name, without timm's architectures
  std::size_t timm_count = 0;         ///< described architectures of timm

  std::size_t described_count() const;
  std::size_t runnable_count() const;
};

/// Builds every class of every described type from its default config and tries whether the engine has all that it asks for.
/// Types that the reference builds and no description does are listed as such. Weights are neither made nor read. A type whose default config lacks keys without which it cannot be built says so.
/// Throws CancelledError.
TypeSurvey survey_types(spec::SpecLibrary& library, const WorkContext& work);

std::string text_of(const TypeSurvey& survey, const Terminal& terminal);
nlohmann::ordered_json json_of(const TypeSurvey& survey);

}  // namespace bigmodel::app
