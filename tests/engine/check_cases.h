// SPDX-License-Identifier: Apache-2.0
// Sets of run goldens, case by case, whatever computes them.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace bigmodel::test {

/// Checks every case of a set (run_case.h) by its kind: what differs fails the test that runs, and so does a type that is refused, unless `may_refuse`, which
/// then is only said. How many cases of each kind there were.
std::map<std::string, std::size_t> check_cases(const std::filesystem::path& set, bool may_refuse = false);

/// Unpacks an archive of cases into a folder that goes again, and checks them.
std::map<std::string, std::size_t> check_packed_cases(const std::filesystem::path& archive);

}  // namespace bigmodel::test
