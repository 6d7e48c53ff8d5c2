// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/atomic_file.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <filesystem>

#include "bigmodel/core/error.h"
#include "bigmodel/io/read_file.h"
#include "support/temp_folder.h"

using namespace bigmodel;

TEST_SUITE("io/atomic_file") {
  TEST_CASE("the target appears on commit and not before") {
    const test::TempFolder folder;
    {
      AtomicFile file(folder / "out");
      file.write("abc");
      CHECK_FALSE(std::filesystem::exists(folder / "out"));
      file.commit();
    }
    CHECK(read_file(folder / "out", 10) == "abc");
  }

  TEST_CASE("without commit nothing is left and the old target stays") {
    const test::TempFolder folder;
    folder.write("out", "old");
    {
      AtomicFile file(folder / "out");
      file.write("new");
    }
    CHECK(read_file(folder / "out", 10) == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  }

  TEST_CASE("a pipe or a device is not replaced") {
    const test::TempFolder folder;
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    CHECK_THROWS_AS(AtomicFile(folder / "pipe"), IoError);
    CHECK(std::filesystem::is_fifo(folder / "pipe"));
    CHECK_THROWS_AS(AtomicFile("/dev/null"), IoError);
  }

  TEST_CASE("a missing folder is an error") {
    const test::TempFolder folder;
    CHECK_THROWS_AS(AtomicFile(folder.path() / "no" / "out"), IoError);
  }
}
