// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/read_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "bigmodel/core/error.h"
#include "bigmodel/io/mapped_file.h"
#include "support/temp_folder.h"

using namespace bigmodel;

TEST_SUITE("io/read_file") {
  TEST_CASE("reads whole files up to the limit") {
    const test::TempFolder folder;
    const auto path = folder.write("a", "hello");
    CHECK(read_file(path, 5) == "hello");
    CHECK_THROWS_AS(read_file(path, 4), FormatError);
    CHECK_THROWS_AS(read_file(folder / "missing", 4), NotFoundError);
    CHECK_THROWS_AS(read_file(folder.path(), 4), IoError);
    CHECK(read_file(folder.write("empty", ""), 4).empty());
  }

  TEST_CASE("an endless device ends at the limit and a pipe without a writer does not hang") {
    CHECK_THROWS_AS(read_file("/dev/zero", 1 << 20), FormatError);
    const test::TempFolder folder;
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    CHECK(read_file(folder / "pipe", 10).empty());
  }

  TEST_CASE("maps files") {
    const test::TempFolder folder;
    const MappedFile file(folder.write("a", "hello"));
    CHECK(file.bytes().size() == 5);
    CHECK(MappedFile(folder.write("empty", "")).bytes().empty());
    CHECK_THROWS_AS(MappedFile(folder / "missing"), NotFoundError);
    CHECK_THROWS_AS(MappedFile(folder.path()), IoError);
  }
}
