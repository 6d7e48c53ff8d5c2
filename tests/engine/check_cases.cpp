// SPDX-License-Identifier: Apache-2.0
#include "engine/check_cases.h"

#include <doctest/doctest.h>

#include <utility>

#include "engine/run_case.h"
#include "support/golden_folders.h"
#include "support/temp_folder.h"

namespace bigmodel::test {

std::map<std::string, std::size_t> check_cases(const std::filesystem::path& set, bool may_refuse) {
  constexpr std::pair<const char*, CaseResult (*)(const std::filesystem::path&)> kinds[] = {
      {"decoder", &check_decoder}, {"encoder", &check_inputs},   {"seq2seq", &check_seq2seq}, {"vision", &check_inputs},
      {"audio", &check_inputs},    {"two-tower", &check_inputs}, {"patches", &check_inputs},  {"vlm", &check_vision_language},
  };
  std::map<std::string, std::size_t> counts;
  for (const auto& [kind, run] : kinds) {
    for (const auto& path : cases_of_kind(set, kind)) {
      CAPTURE(path.filename().string());
      const CaseResult result = run(path);
      if (may_refuse && !result.refused.empty()) MESSAGE("refused: ", result.refused);
      if (!may_refuse) CHECK(result.refused == "");
      for (const std::string& fault : result.faults) FAIL_CHECK(fault);
      ++counts[kind];
    }
  }
  return counts;
}

std::map<std::string, std::size_t> check_packed_cases(const std::filesystem::path& archive) {
  const TempFolder folder;
  unpack_archive(archive, folder.path());
  return check_cases(folder.path());
}

}  // namespace bigmodel::test
