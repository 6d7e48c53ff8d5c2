// SPDX-License-Identifier: Apache-2.0
// Every command line of docs/from-accelerate.md is run.
#include <doctest/doctest.h>

#include <filesystem>
#include <iomanip>
#include <sstream>

#include "bigmodel/io/read_file.h"
#include "cli/run_binary.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {

TEST_SUITE("cli/from_accelerate") {
  TEST_CASE("every command line of the page works") {
    const TempFolder folder;
    std::filesystem::create_directory_symlink(source_root() / "apps/bigmodel/demo_model", folder / "demo-model");
    std::istringstream in(read_file(source_root() / "docs/from-accelerate.md", 1'000'000));
    int count = 0;
    for (std::string line; std::getline(in, line);) {
      for (std::size_t at = line.find("`bigmodel "); at != std::string::npos; at = line.find("`bigmodel ", at)) {
        const std::size_t begin = at + 10, end = line.find('`', begin);
        std::istringstream words(line.substr(begin, end - begin));
        std::vector<std::string> args;
        for (std::string word; words >> std::quoted(word);) args.push_back(word);
        at = end;
        ++count;
        CAPTURE(line);
        const RunResult r = run_binary(args, {.folder = folder.path().string()});
        CHECK_MESSAGE(r.exit_code == 0, r.err);
        CHECK(!r.out.empty());
      }
    }
    CHECK(count >= 12);
  }
}

}  // namespace bigmodel::test
